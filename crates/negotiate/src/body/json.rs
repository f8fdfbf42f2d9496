//! JSON (RFC 8259), read into a tree of lower-case names.
//!
//! Invariant: depth is bounded. At every level, the last of names that differ only by case wins.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Map, Value};

use super::{MAX_DEPTH, MAX_VALUES, Malformed, is_blank};

/// Parses a whole body. A body of white space is null.
pub(super) fn parse(text: &str) -> Result<Value, Malformed> {
    if is_blank(text) {
        return Ok(Value::Null);
    }
    let values = Cell::new(0);
    let refused = Cell::new(None);
    let mut deserializer = Deserializer::from_str(text);
    Tree { depth_left: MAX_DEPTH, values: &values, refused: &refused }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| {
            let malformed = Malformed::Json { line: error.line(), column: error.column() };
            refused.get().unwrap_or(malformed)
        })
}

/// Builds a tree of bounded depth.
#[derive(Clone, Copy)]
struct Tree<'a> {
    depth_left: usize,
    /// The number of values so far.
    values: &'a Cell<usize>,
    /// Set when a limit was exceeded.
    refused: &'a Cell<Option<Malformed>>,
}

impl Tree<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1);
        let deeper = depth_left.map(|depth_left| Self { depth_left, ..self });
        deeper.ok_or_else(|| self.refuse(Malformed::TooDeep(MAX_DEPTH)))
    }

    fn count<E: serde::de::Error>(self) -> Result<(), E> {
        let values = self.values.get() + 1;
        self.values.set(values);
        if values > MAX_VALUES { Err(self.refuse(Malformed::TooMany(MAX_VALUES))) } else { Ok(()) }
    }

    fn refuse<E: serde::de::Error>(self, why: Malformed) -> E {
        self.refused.set(Some(why));
        E::custom("too deep, or too much")
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
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

    /// CONTRACT 9: the last of equal names wins, in any case.
    #[test]
    fn what_is_read() {
        for (text, tree) in [
            (r#"{"key":1,"KEY":2,"Key":3}"#, json!({"key": 3})),
            (r#"{"a":{"B":[{"C":null}]}}"#, json!({"a": {"b": [{"c": null}]}})),
            (r#" {"a":"\u00e5\ud83d\ude00\u0000"} "#, json!({"a": "å😀\0"})),
            ("[1,-1,1.5,true]", json!([1, -1, 1.5, true])),
            ("", json!(null)),
        ] {
            assert_eq!(parse(text), Ok(tree), "{text}");
        }
    }

    /// CONTRACT 9: trailing data, lone surrogates and other errors are rejected with their position.
    #[test]
    fn what_is_refused() {
        for (text, line, column) in [
            ("{\"fugit\":1} x", 1, 13),
            ("{\"fugit\":1", 1, 10),
            ("{'fugit':1}", 1, 2),
            ("{\"fugit\":\n\"\\ud83d\"}", 2, 8),
            ("{\"fugit\":1,}", 1, 12),
            ("fugit", 1, 2),
            ("\"\u{1}\"", 1, 2),
        ] {
            assert_eq!(parse(text), Err(Malformed::Json { line, column }), "{text}");
        }
    }

    /// CONTRACT 9: depth over 32.
    #[test]
    fn deep_nesting_is_refused() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(parse(&deep(32)).is_ok());
            assert_eq!(parse(&deep(33)), Err(Malformed::TooDeep(32)));
            assert_eq!(parse(&deep(10_000)), Err(Malformed::TooDeep(32)));
            assert_eq!(parse(&open.repeat(100_000)), Err(Malformed::TooDeep(32)));
        }
    }

    /// CONTRACT 9: more than 20,000 values.
    #[test]
    fn very_many_values_are_refused() {
        for value in ["[]", "{}", "1", "null", "\"\""] {
            let many = |values: usize| format!("[{}]", vec![value; values - 1].join(","));
            assert!(parse(&many(20_000)).is_ok(), "{value}");
            assert_eq!(parse(&many(20_001)), Err(Malformed::TooMany(20_000)), "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read(text in "(?s).{0,40}") {
            let written = json!({"a": [text]}).to_string();
            prop_assert_eq!(parse(&written), Ok(json!({"a": [text]})));
        }

        #[test]
        fn no_input_panics(text in "(?s)[\\[\\]{}\":,\\\\u0-9a-e ]{0,60}") {
            let _ = parse(&text);
        }
    }
}
