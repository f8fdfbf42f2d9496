//! JSON as RFC 8259 has it, read into a tree of lower-case names.
//!
//! Invariant: bounded depth; of names that differ only by case the last one wins, at every level.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Map, Value};

use super::Malformed;

const MAX_DEPTH: usize = 32;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses a whole body; nothing but white space is null.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Malformed> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    let mut deserializer = Deserializer::from_slice(bytes);
    Tree { depth_left: MAX_DEPTH }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| Malformed(format!("the body is not valid JSON: {error}")))
}

/// Builds a tree that may be this deep.
#[derive(Clone, Copy)]
struct Tree {
    depth_left: usize,
}

impl Tree {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1);
        depth_left
            .map(|depth_left| Self { depth_left })
            .ok_or_else(|| E::custom(format_args!("it is nested more than {MAX_DEPTH} deep")))
    }
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(mut name) = members.next_key::<String>()? {
            name.make_ascii_lowercase();
            object.insert(name, members.next_value_seed(inner)?);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// CONTRACT 9: a byte order mark is tolerated, the last of equal names wins, in any case.
    #[test]
    fn what_is_tolerated() {
        for (text, tree) in [
            ("\u{feff}{\"Key\":\"x\"}", json!({"key": "x"})),
            (r#"{"key":1,"KEY":2,"Key":3}"#, json!({"key": 3})),
            (r#"{"a":{"B":[{"C":null}]}}"#, json!({"a": {"b": [{"c": null}]}})),
            (r#" {"a":"\u00e5\ud83d\ude00\u0000"} "#, json!({"a": "å😀\0"})),
            ("[1,-1,1.5,true]", json!([1, -1, 1.5, true])),
            ("", json!(null)),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(tree), "{text}");
        }
    }

    /// CONTRACT 9: trailing data and depth over 32 are refused; no error quotes the body.
    #[test]
    fn what_is_refused() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(deep(32).as_bytes()).is_ok());
        let (deep_33, deep_10_000) = (deep(33), deep(10_000));
        for text in [
            "{\"fugit\":1} x",
            "{\"fugit\":1",
            "{'fugit':1}",
            "{\"fugit\":\"\\ud83d\"}",
            "{\"fugit\":1,}",
            "fugit",
            &deep_33,
            &deep_10_000,
        ] {
            let error = parse(text.as_bytes()).expect_err(text).to_string();
            assert!(error.starts_with("the body is not valid JSON: "), "{error}");
            assert!(!error.contains("fugit"), "{error}");
        }
        assert!(parse(b"\"\xff\"").is_err(), "not UTF-8");
        assert!(parse(b"\xfe\xff\0{\0}").is_err(), "UTF-16");
    }

    proptest! {
        #[test]
        fn no_input_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
