//! The messages of `texts/*.ftl`: the server's texts for people, in their language (CONTRACT 19–22).
//!
//! Invariant: a message holds this project's own text, names of properties and numbers. It never holds a value that a
//! client sent or that the database stores.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::LazyLock,
};

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use jiff::ZonedDateTime;
use negotiate::{Culture, Language, multi_language, neutral_date_time, string_references};
use unic_langid::LanguageIdentifier;

type Bundle = FluentBundle<FluentResource>;

const FILES: [(Language, &str); 8] = [
    (Language::English, include_str!("../texts/en.ftl")),
    (Language::Norwegian, include_str!("../texts/nb.ftl")),
    (Language::Swedish, include_str!("../texts/sv.ftl")),
    (Language::Danish, include_str!("../texts/da.ftl")),
    (Language::German, include_str!("../texts/de.ftl")),
    (Language::Dutch, include_str!("../texts/nl.ftl")),
    (Language::French, include_str!("../texts/fr.ftl")),
    (Language::Finnish, include_str!("../texts/fi.ftl")),
];

static BUNDLES: LazyLock<BTreeMap<Language, Bundle>> =
    LazyLock::new(|| FILES.map(|(language, file)| (language, bundle(language, file))).into());

/// The language of an answer for people, and the culture of its numbers and dates.
#[derive(Clone, Debug)]
pub(crate) struct Locale {
    pub(crate) language: Language,
    pub(crate) culture: Culture,
}

/// A message of `texts/*.ftl`, by its name, with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    name: &'static str,
    arguments: Vec<(&'static str, Argument)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Argument {
    /// A name or a list of names, in no language.
    Verbatim(Cow<'static, str>),
    Number(u64),
    /// The name of another message.
    Message(&'static str),
    /// A date and time, and whether its offset from UTC is to be shown.
    Time(ZonedDateTime, bool),
}

impl Locale {
    /// Translates a stored value: selects one language of a multi-language value, and replaces references by texts.
    pub(crate) fn of_value(&self, value: &str) -> String {
        let text_of = |name: &str| message(self.language, name, &FluentArgs::new());
        string_references(multi_language(value, self.language), text_of).into_owned()
    }
}

impl Message {
    /// Returns its name, `SR_…`.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, arguments: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, argument: impl Into<Argument>) -> Self {
        self.arguments.push((name, argument.into()));
        self
    }

    /// Returns the message in words. Without a locale it is English, with neutral numbers and dates.
    pub(crate) fn in_words(&self, locale: Option<&Locale>) -> String {
        let language = locale.map_or(Language::English, |locale| locale.language);
        let mut arguments = FluentArgs::new();
        for (name, argument) in &self.arguments {
            arguments.set(*name, FluentValue::from(argument.shown(locale)));
        }
        let words = message(language, self.name, &arguments);
        words.unwrap_or_else(|| self.reference())
    }

    /// Returns the message as a reference, for clients that ask for no translation (CONTRACT 19): `[SR_NAME]`, followed
    /// by the arguments.
    pub(crate) fn reference(&self) -> String {
        let mut reference = format!("[{}]", self.name);
        for (position, (_, argument)) in self.arguments.iter().enumerate() {
            let separator = if position == 0 { ": " } else { ", " };
            let _ = write!(reference, "{separator}{}", argument.shown(None));
        }
        reference
    }
}

impl fmt::Display for Message {
    /// Formats the message in English.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_words(None))
    }
}

impl Argument {
    fn shown(&self, locale: Option<&Locale>) -> String {
        match (self, locale) {
            (Self::Verbatim(text), _) => text.to_string(),
            (Self::Number(number), Some(locale)) => locale.culture.number(*number),
            (Self::Number(number), None) => number.to_string(),
            (Self::Message(name), _) => Message::new(name).in_words(locale),
            (Self::Time(time, with_offset), Some(locale)) => {
                locale.culture.date_time(time, *with_offset)
            }
            (Self::Time(time, with_offset), None) => neutral_date_time(time, *with_offset),
        }
    }
}

impl From<&'static str> for Argument {
    fn from(text: &'static str) -> Self {
        Self::Verbatim(text.into())
    }
}

impl From<Cow<'static, str>> for Argument {
    fn from(text: Cow<'static, str>) -> Self {
        Self::Verbatim(text)
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self::Verbatim(text.into())
    }
}

impl From<usize> for Argument {
    fn from(number: usize) -> Self {
        Self::Number(number as u64)
    }
}

impl From<u64> for Argument {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// Returns a message in a language, or in English if the language has no messages. `None` if no such message exists, or
/// if an argument is missing.
fn message(language: Language, name: &str, arguments: &FluentArgs<'_>) -> Option<String> {
    let bundle = BUNDLES.get(&language).or_else(|| BUNDLES.get(&Language::English))?;
    let pattern = bundle.get_message(name)?.value()?;
    let mut errors = Vec::new();
    let words = bundle.format_pattern(pattern, Some(arguments), &mut errors);
    errors.is_empty().then(|| words.into_owned())
}

fn bundle(language: Language, file: &str) -> Bundle {
    let tag: LanguageIdentifier = language.iso().parse().unwrap_or_default();
    let mut bundle = Bundle::new_concurrent(vec![tag]);
    bundle.set_use_isolating(false);
    // A test parses every file. A message that does not parse is shown as its reference.
    let (Ok(resource) | Err((resource, _))) = FluentResource::try_new(file.to_owned());
    let _ = bundle.add_resource(resource);
    bundle
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    fn locale(language: Language, culture: &str) -> Locale {
        Locale { language, culture: Culture::parse(culture).expect(culture) }
    }

    /// Returns the names in a file, each with its arguments, in the file's order.
    fn outline(file: &str) -> Vec<(String, Vec<String>)> {
        let messages = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut outline = Vec::new();
        for line in messages {
            let (name, pattern) = line.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
            assert!(!pattern.trim().is_empty(), "{line}");
            let after = pattern.split("{ $").skip(1);
            let mut arguments: Vec<String> =
                after.map(|rest| rest.split_once(" }").expect(line).0.to_owned()).collect();
            arguments.sort();
            outline.push((name.to_owned(), arguments));
        }
        outline
    }

    /// CONTRACT 21: every text exists in every language, with the same arguments.
    #[test]
    fn no_text_is_missing_in_any_language() {
        let english = outline(FILES[0].1);
        assert!(english.len() > 50);
        for (language, file) in FILES {
            assert_eq!(outline(file), english, "{language:?}");
            let read = FluentResource::try_new(file.to_owned());
            assert!(read.is_ok(), "{language:?} is not valid");
        }
    }

    /// Each text that the code names is in the files, and the code names each text in the files.
    #[test]
    fn the_texts_are_those_that_the_code_names() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut named = BTreeSet::new();
        let mut folders = vec![source];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("folder") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let code = fs::read_to_string(&path).expect("UTF-8");
                    let code = code.split("#[cfg(test)]").next().unwrap_or_default();
                    let mentions = code.split("\"SR_").skip(1);
                    named.extend(mentions.filter_map(|rest| {
                        rest.split_once('"').map(|(name, _)| format!("SR_{name}"))
                    }));
                }
            }
        }
        let known: BTreeSet<String> =
            outline(FILES[0].1).into_iter().map(|(name, _)| name).collect();
        assert_eq!(named, known);
    }

    /// CONTRACT 19, 22: with a language, words in its culture; without one, a reference and neutral values.
    #[test]
    fn a_text_is_words_or_a_reference() {
        let text =
            Message::new("SR_TOO_MANY_BYTES").with("property", "Claims").with("limit", 65536_usize);
        assert_eq!(text.in_words(None), "Claims is longer than 65536 bytes.");
        let american = locale(Language::English, "en-US");
        assert_eq!(text.in_words(Some(&american)), "Claims is longer than 65,536 bytes.");
        let mixed = locale(Language::English, "de");
        assert_eq!(text.in_words(Some(&mixed)), "Claims is longer than 65.536 bytes.");
        assert_eq!(text.reference(), "[SR_TOO_MANY_BYTES]: Claims, 65536");
        let norwegian = text.in_words(Some(&locale(Language::Norwegian, "nb")));
        assert!(norwegian.contains("Claims") && norwegian.contains("65\u{a0}536"), "{norwegian}");
        assert_eq!(Message::new("SR_NOT_OWNER").reference(), "[SR_NOT_OWNER]");
    }

    /// CONTRACT 20, 21: a language that values may have, but texts have not, falls back to English.
    #[test]
    fn texts_fall_back_to_english() {
        let spanish = locale(Language::Spanish, "es");
        let text = Message::new("SR_NOT_OWNER").in_words(Some(&spanish));
        assert_eq!(text, "You are not the owner of these tokens.");
        assert_eq!(spanish.of_value(r#"US:"Supplier";SP:"Proveedor""#), "Proveedor");
    }

    /// CONTRACT 19: references in values; one that needs an argument, or is not known, stays.
    #[test]
    fn a_value_is_translated() {
        let english = locale(Language::English, "en");
        for (value, expected) in [
            ("et", "et"),
            ("[SR_NOT_OWNER]", "You are not the owner of these tokens."),
            (r#"NO:"[SR_NOT_OWNER]";US:"[SR_KIND_NULL]!""#, "null!"),
            ("[SR_TOO_MANY_BYTES]", "[SR_TOO_MANY_BYTES]"),
            ("[SR_MANDATORY_FIELD_1281]", "[SR_MANDATORY_FIELD_1281]"),
        ] {
            assert_eq!(english.of_value(value), expected);
        }
    }
}
