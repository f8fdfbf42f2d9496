//! References to texts within values, in SuperOffice's notation: `[SR_NOT_OWNER]`.
//!
//! Invariant: an unknown reference is kept unchanged.

use std::borrow::Cow;

const PREFIX: &str = "[SR_";

/// Replaces each reference by the text that `text_of` returns for its name. Names include `SR_` but no brackets.
///
/// ```
/// let text_of = |name: &str| (name == "SR_HELLO").then(|| "Hei".to_owned());
/// assert_eq!(negotiate::string_references("[SR_HELLO], [SR_OTHER]!", text_of), "Hei, [SR_OTHER]!");
/// ```
pub fn string_references(value: &str, text_of: impl Fn(&str) -> Option<String>) -> Cow<'_, str> {
    let mut replaced = String::new();
    let mut rest = value;
    while let Some(start) = rest.find(PREFIX) {
        let (before, reference) = rest.split_at(start);
        let name_end = reference[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = name_end.map_or("", |end| &reference[1..=end]);
        let after = &reference[1 + name.len()..];
        replaced.push_str(before);
        match after.strip_prefix(']').and_then(|after| Some((text_of(name)?, after))) {
            Some((text, after)) => {
                replaced.push_str(&text);
                rest = after;
            }
            None => {
                replaced.push_str(PREFIX);
                rest = &reference[PREFIX.len()..];
            }
        }
    }
    if replaced.is_empty() {
        return Cow::Borrowed(rest);
    }
    replaced.push_str(rest);
    Cow::Owned(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn text_of(name: &str) -> Option<String> {
        match name {
            "SR_A" => Some("alpha".to_owned()),
            "SR_EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    /// CONTRACT 19: known references are replaced wherever they stand, all else is kept.
    #[rstest]
    #[case("", "")]
    #[case("et", "et")]
    #[case("[SR_A]", "alpha")]
    #[case("x [SR_A] y [SR_A]", "x alpha y alpha")]
    #[case("[SR_UNKNOWN] [SR_A]", "[SR_UNKNOWN] alpha")]
    #[case("[SR_EMPTY]", "")]
    #[case("[SR_A", "[SR_A")]
    #[case("SR_A]", "SR_A]")]
    #[case("[SR_A x]", "[SR_A x]")]
    #[case("[SR_[SR_A]]", "[SR_alpha]")]
    #[case("[sr_a]", "[sr_a]")]
    #[case("[SR_]", "[SR_]")]
    #[case("[SR_Å]", "[SR_Å]")]
    fn known_references_are_replaced(#[case] value: &str, #[case] expected: &str) {
        assert_eq!(string_references(value, text_of), expected);
    }

    proptest! {
        #[test]
        fn without_known_references_nothing_changes(value in r"(\[SR_|\]|[a-z_Åé ]){0,40}") {
            prop_assert_eq!(string_references(&value, |_| None), value.as_str());
        }
    }
}
