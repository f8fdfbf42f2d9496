//! `Claims` of a record: those of the id_token, and the other fields that are kept of a provider's answers.
//!
//! Invariant: a text that a client saved and that is not a JSON object stays unchanged.

use std::collections::BTreeMap;

use model::SecretText;
use serde_json::{Map, Value};

/// Adds the kept fields of an answer to the claims. They replace members of the same name.
pub(super) fn with_kept(
    claims: Option<SecretText>,
    kept: BTreeMap<String, SecretText>,
) -> Option<SecretText> {
    if kept.is_empty() {
        return claims;
    }
    let mut members: Map<String, Value> = match &claims {
        None => Map::new(),
        Some(text) => match serde_json::from_str(text.expose()) {
            Ok(members) => members,
            Err(_no_object) => return claims,
        },
    };
    members.extend(kept.into_iter().map(|(name, value)| (name, value.expose().into())));
    Some(SecretText::from(Value::Object(members).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_joins_the_claims() {
        let kept = || BTreeMap::from([("instance_url".to_owned(), SecretText::from("https://b"))]);
        let with = |claims: Option<&str>, kept| {
            with_kept(claims.map(SecretText::from), kept).map(|text| text.expose().to_owned())
        };
        assert_eq!(with(None, BTreeMap::new()), None);
        assert_eq!(with(None, kept()).as_deref(), Some(r#"{"instance_url":"https://b"}"#));
        let before = r#"{"instance_url":"https://a","sub":"1"}"#;
        let after = r#"{"instance_url":"https://b","sub":"1"}"#;
        assert_eq!(with(Some(before), kept()).as_deref(), Some(after));
        assert_eq!(with(Some(before), BTreeMap::new()).as_deref(), Some(before));
        for text in ["", "no JSON", "[1]", "\"text\""] {
            assert_eq!(with(Some(text), kept()).as_deref(), Some(text));
        }
    }
}
