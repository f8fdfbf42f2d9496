//! Values in several languages, in SuperOffice's notation: `NO:"Leverandør";US:"Supplier"`.
//!
//! Invariant: a value that does not parse is returned unchanged.

use crate::Language;

/// The text of a value in a language. If the value lacks it, the English text, or else the first.
///
/// ```
/// use negotiate::{Language, multi_language};
///
/// let value = r#"NO:"Leverandør";US:"Supplier""#;
/// assert_eq!(multi_language(value, Language::Norwegian), "Leverandør");
/// assert_eq!(multi_language(value, Language::German), "Supplier");
/// assert_eq!(multi_language("Supplier", Language::German), "Supplier");
/// ```
pub fn multi_language(value: &str, language: Language) -> &str {
    let Some(texts) = texts(value) else { return value };
    let text_in = |wanted: Language| {
        texts
            .iter()
            .find(|(code, _)| Language::of_code(code) == Some(wanted))
            .map(|(_, text)| *text)
    };
    text_in(language)
        .or_else(|| text_in(Language::English))
        .or_else(|| texts.first().map(|(_, text)| *text))
        .unwrap_or(value)
}

/// The codes and texts of a value; `None` if the value is not in this notation.
fn texts(value: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = value.trim();
    let mut texts = Vec::new();
    loop {
        let (code, quoted) = opening(rest)?;
        let (text, after) = quoted.split_once('"')?;
        texts.push((code, text));
        if after.is_empty() || after == ";" {
            return Some(texts);
        }
        rest = after.strip_prefix(';')?;
    }
}

/// Splits `CODE:"rest`. The rest is not checked.
fn opening(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphabetic() && c != '-')?;
    let (code, rest) = text.split_at(end);
    let is_code = (2..=8).contains(&code.len());
    rest.strip_prefix(":\"").filter(|_| is_code).map(|rest| (code, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    /// CONTRACT 20: codes of both kinds, fallback to US and to the first, and what is no such value.
    #[rstest]
    #[case(r#"NO:"Leverandør";US:"Supplier""#, Language::Norwegian, "Leverandør")]
    #[case(r#"NO:"Leverandør";US:"Supplier""#, Language::English, "Supplier")]
    #[case(r#"NO:"Leverandør";US:"Supplier""#, Language::German, "Supplier")]
    #[case(r#"NO:"Leverandør";SW:"Leverantör""#, Language::German, "Leverandør")]
    #[case(r#"nb:"Leverandør";en:"Supplier""#, Language::Norwegian, "Leverandør")]
    #[case(r#"nb-NO:"Leverandør";en-US:"Supplier""#, Language::English, "Supplier")]
    #[case(r#"GE:"Lieferant";de:"zweiter""#, Language::German, "Lieferant")]
    #[case(r#"no:"Leverandør"; us:"Supplier";"#, Language::English, "Supplier")]
    #[case(r#"US:"""#, Language::English, "")]
    #[case(r#"US:"a;b";NO:"x""#, Language::English, "a;b")]
    #[case(r#"XX:"a";YY:"b""#, Language::English, "a")]
    #[case(r#"SP:"Proveedor";IT:"Fornitore";CZ:"Dodavatel""#, Language::Czech, "Dodavatel")]
    #[case(r#"PL:"1";RU:"2";CN:"3";JP:"4";FI:"5";NL:"6";FR:"7";DA:"8""#, Language::Japanese, "4")]
    fn the_text_of_a_language(
        #[case] value: &str,
        #[case] language: Language,
        #[case] expected: &str,
    ) {
        assert_eq!(multi_language(value, language), expected, "{value}");
    }

    /// CONTRACT 20: a value that does not parse is returned unchanged.
    #[rstest]
    #[case("")]
    #[case("et")]
    #[case("NO:Leverandør")]
    #[case(r#"NO:"Leverandør"#)]
    #[case(r#"NO:"Leverandør" and more"#)]
    #[case(r#"US:"the "big" one";NO:"x""#)]
    #[case(r#"NO:"Leverandør",US:"Supplier""#)]
    #[case(r#"https://"x""#)]
    #[case(r#""US":"Supplier""#)]
    #[case(r#"{"US":"Supplier"}"#)]
    fn anything_else_is_returned_whole(#[case] value: &str) {
        assert_eq!(multi_language(value, Language::English), value);
    }

    proptest! {
        #[test]
        fn no_value_panics(value in r#"([A-Z:";\\ é]|NO:"|";US:"){0,40}"#) {
            let _ = multi_language(&value, Language::German);
        }
    }
}
