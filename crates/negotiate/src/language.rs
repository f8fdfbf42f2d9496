//! The language that a client wants: `SO-Language` and `Accept-Language` (RFC 9110 §12.5.4, RFC 4647).
//!
//! Invariant: reading a header never fails. Invalid parts are ignored.

use crate::accept::thousandths;

/// A language that values may be translated into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Language {
    /// English
    English,
    /// Norwegian
    Norwegian,
    /// Swedish
    Swedish,
    /// Danish
    Danish,
    /// German
    German,
    /// Finnish
    Finnish,
    /// Dutch
    Dutch,
    /// French
    French,
    /// Spanish
    Spanish,
    /// Italian
    Italian,
    /// Czech
    Czech,
    /// Polish
    Polish,
    /// Russian
    Russian,
    /// Chinese
    Chinese,
    /// Japanese
    Japanese,
}

/// A language, and the tag by which the client asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLanguage {
    /// The language to translate into.
    pub language: Language,
    /// The BCP 47 tag, such as `nb-NO`. It is also the culture, unless the client asks for another.
    pub tag: String,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 15] = [
        Self::English,
        Self::Norwegian,
        Self::Swedish,
        Self::Danish,
        Self::German,
        Self::Finnish,
        Self::Dutch,
        Self::French,
        Self::Spanish,
        Self::Italian,
        Self::Czech,
        Self::Polish,
        Self::Russian,
        Self::Chinese,
        Self::Japanese,
    ];

    /// SuperOffice's code of the language, as multi-language values use it.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "US",
            Self::Norwegian => "NO",
            Self::Swedish => "SW",
            Self::Danish => "DA",
            Self::German => "GE",
            Self::Finnish => "FI",
            Self::Dutch => "NL",
            Self::French => "FR",
            Self::Spanish => "SP",
            Self::Italian => "IT",
            Self::Czech => "CZ",
            Self::Polish => "PL",
            Self::Russian => "RU",
            Self::Chinese => "CN",
            Self::Japanese => "JP",
        }
    }

    /// The ISO 639-1 codes of the language, the usual one first.
    fn iso_codes(self) -> &'static [&'static str] {
        match self {
            Self::English => &["en"],
            Self::Norwegian => &["nb", "no", "nn"],
            Self::Swedish => &["sv"],
            Self::Danish => &["da"],
            Self::German => &["de"],
            Self::Finnish => &["fi"],
            Self::Dutch => &["nl"],
            Self::French => &["fr"],
            Self::Spanish => &["es"],
            Self::Italian => &["it"],
            Self::Czech => &["cs"],
            Self::Polish => &["pl"],
            Self::Russian => &["ru"],
            Self::Chinese => &["zh"],
            Self::Japanese => &["ja"],
        }
    }

    /// The usual ISO 639-1 code.
    pub fn iso(self) -> &'static str {
        self.iso_codes()[0]
    }

    /// The language of a language range, by lookup (RFC 4647 §3.4).
    pub fn of_range(range: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().flat_map(Self::iso_codes).copied();
        let found = lookup(range, known)?;
        Self::ALL.into_iter().find(|language| language.iso_codes().contains(&found))
    }

    /// The language of a code in a multi-language value: SuperOffice's code, or else a BCP 47 tag.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        let own = Self::ALL.into_iter().find(|own| own.code().eq_ignore_ascii_case(code));
        own.or_else(|| Self::of_range(code))
    }
}

/// The language that the headers `SO-Language` and `Accept-Language` ask for. `None` means no translation.
///
/// If `SO-Language` is there, `Accept-Language` is ignored. Of known languages the one with the highest quality value
/// wins (RFC 9110 §12.4.2).
///
/// ```
/// use negotiate::{Language, wanted_language};
///
/// let wanted = wanted_language(None, Some("pt, nb-NO;q=0.9, en;q=0.8")).expect("Norwegian");
/// assert_eq!((wanted.language, wanted.tag.as_str()), (Language::Norwegian, "nb-NO"));
/// assert_eq!(wanted_language(Some("*"), Some("en")), None);
/// ```
pub fn wanted_language(
    so_language: Option<&str>,
    accept_language: Option<&str>,
) -> Option<WantedLanguage> {
    let header = so_language.or(accept_language)?;
    ranges(header).into_iter().find_map(|range| {
        let language = Language::of_range(range)?;
        Some(WantedLanguage { language, tag: range.to_owned() })
    })
}

/// The maximum length of a tag, in bytes. RFC 5646 §4.4.1 asks for 35.
pub(crate) const MAX_TAG_BYTES: usize = 64;

/// The ranges of a header, the best first, without those of quality 0. Commas and semicolons separate ranges, because
/// SuperOffice's documentation shows `en-us; en-gb`.
pub(crate) fn ranges(header: &str) -> Vec<&str> {
    let mut found: Vec<(&str, u16)> = Vec::new();
    for part in header.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            None if part.len() > MAX_TAG_BYTES => {}
            None => found.push((part, 1000)),
            Some((name, value)) => {
                let quality = thousandths(value).filter(|_| name.trim().eq_ignore_ascii_case("q"));
                if let (Some(last), Some(quality)) = (found.last_mut(), quality) {
                    last.1 = quality;
                }
            }
        }
    }
    found.retain(|(_, quality)| *quality > 0);
    found.sort_by_key(|(_, quality)| std::cmp::Reverse(*quality));
    found.into_iter().map(|(range, _)| range).collect()
}

/// Finds the tag for a range by lookup (RFC 4647 §3.4).
///
/// If no tag in `available` equals the range, the last subtag of the range is removed, and so on. A subtag of one
/// character is removed together with the one after it.
///
/// ```
/// use negotiate::lookup;
///
/// assert_eq!(lookup("zh-Hant-CN-x-private", ["zh", "zh-hant"]), Some("zh-hant"));
/// assert_eq!(lookup("*", ["en"]), None);
/// ```
pub fn lookup<'a>(
    range: &str,
    available: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
) -> Option<&'a str> {
    let available = available.into_iter();
    let mut rest = range;
    loop {
        let found = available.clone().find(|tag| tag.eq_ignore_ascii_case(rest));
        if found.is_some() {
            return found;
        }
        (rest, _) = rest.rsplit_once('-')?;
        if let Some((before, subtag)) = rest.rsplit_once('-')
            && subtag.len() == 1
        {
            rest = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    /// CONTRACT 18: RFC 4647 §3.4, with its own example and the edges of it.
    #[rstest]
    #[case("zh-Hant-CN-x-private1-private2", &["zh-Hant-CN-x-private1", "zh"], Some("zh-Hant-CN-x-private1"))]
    #[case("zh-Hant-CN-x-private1-private2", &["zh-Hant-CN-x", "zh-Hant-CN", "zh"], Some("zh-Hant-CN"))]
    #[case("zh-Hant-CN-x-private1-private2", &["zh-Hant", "zh"], Some("zh-Hant"))]
    #[case("zh-Hant-CN-x-private1-private2", &["zh"], Some("zh"))]
    #[case("zh-Hant-CN-x-private1-private2", &["en"], None)]
    #[case("zh-Hant-CN-x-p", &["zh-hant-cn"], Some("zh-hant-cn"))]
    #[case("nb-NO", &["no", "nb"], Some("nb"))]
    #[case("NB-no", &["nb"], Some("nb"))]
    #[case("en", &["en-US"], None)]
    #[case("en-GB", &["en-US", "en"], Some("en"))]
    #[case("de-DE-1996", &["de-DE", "de"], Some("de-DE"))]
    #[case("x-private", &["x", "private"], Some("x"))]
    #[case("*", &["en"], None)]
    #[case("*-CH", &["de-CH", "de"], None)]
    #[case("", &["en"], None)]
    #[case("-", &["en"], None)]
    #[case("--", &["en"], None)]
    #[case("en-", &["en"], Some("en"))]
    fn lookup_takes_subtags_off(
        #[case] range: &str,
        #[case] available: &[&'static str],
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(lookup(range, available.iter().copied()), expected, "{range}");
    }

    /// CONTRACT 18: `SO-Language` wins, also when it switches translation off.
    #[rstest]
    #[case(None, None, None)]
    #[case(None, Some("en"), Some((Language::English, "en")))]
    #[case(Some("nb-no"), Some("en-us; en-gb"), Some((Language::Norwegian, "nb-no")))]
    #[case(Some("no"), None, Some((Language::Norwegian, "no")))]
    #[case(Some("nn-NO"), None, Some((Language::Norwegian, "nn-NO")))]
    #[case(Some(""), Some("en"), None)]
    #[case(Some("*"), Some("en"), None)]
    #[case(Some("x"), Some("en"), None)]
    #[case(Some("-"), Some("en"), None)]
    #[case(Some("pt"), Some("en"), None)]
    #[case(None, Some(""), None)]
    #[case(None, Some("*"), None)]
    #[case(None, Some("pt, eu"), None)]
    #[case(None, Some("en-us; en-gb"), Some((Language::English, "en-us")))]
    #[case(None, Some("nb-NO,nb;q=0.9,no;q=0.8,en;q=0.6"), Some((Language::Norwegian, "nb-NO")))]
    #[case(None, Some("en;q=0.5, sv;q=0.7"), Some((Language::Swedish, "sv")))]
    #[case(None, Some("en;q=0, sv;q=0.1"), Some((Language::Swedish, "sv")))]
    #[case(None, Some("en;q=0"), None)]
    #[case(None, Some("pt-BR, *;q=0.5, de;q=0.1"), Some((Language::German, "de")))]
    #[case(None, Some("da, en-gb;q=0.8, en;q=0.7"), Some((Language::Danish, "da")))]
    #[case(None, Some("zh-Hant-TW"), Some((Language::Chinese, "zh-Hant-TW")))]
    #[case(None, Some("q=0.5, fr"), Some((Language::French, "fr")))]
    #[case(None, Some("fr;level=1;q=0.1, es"), Some((Language::Spanish, "es")))]
    #[case(None, Some("sw"), None)]
    fn the_language_that_is_wanted(
        #[case] so_language: Option<&str>,
        #[case] accept_language: Option<&str>,
        #[case] expected: Option<(Language, &str)>,
    ) {
        let wanted = wanted_language(so_language, accept_language);
        let wanted = wanted.as_ref().map(|wanted| (wanted.language, wanted.tag.as_str()));
        assert_eq!(wanted, expected, "{so_language:?} {accept_language:?}");
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "(?s).{0,200}") {
            let _ = wanted_language(None, Some(&header));
        }
    }
}
