//! A JSON tree that wipes its texts and keeps repeated names.
//!
//! Invariant: all values of a repeated name are kept, and the look-up decides which counts. `serde_json` bounds nesting
//! (128 levels). While `serde_json` parses a text with escapes, it has a copy in a buffer that it frees. Only an
//! allocator that wipes freed memory erases that copy.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use zeroize::Zeroizing;

/// A value of JSON.
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// A number. The numbers that are read are small enough to be exact.
    Number(f64),
    Text(Zeroizing<String>),
    Array(Vec<Self>),
    /// The members in their order. A name may be repeated.
    Object(Vec<(Zeroizing<String>, Self)>),
}

impl Json {
    /// Parses a whole text.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// All values at a path of member names, separated by dots. The path `""` has none.
    pub(crate) fn all<'a>(&'a self, path: &str) -> Vec<&'a Self> {
        if path.is_empty() {
            return Vec::new();
        }
        path.split('.').fold(vec![self], |values, name| {
            let members = values.into_iter().filter_map(|value| match value {
                Self::Object(members) => Some(members),
                _ => None,
            });
            let named = members.flatten().filter(|(member, _)| member.as_str() == name);
            named.map(|(_, value)| value).collect()
        })
    }

    /// The last value at a path.
    pub(crate) fn at<'a>(&'a self, path: &str) -> Option<&'a Self> {
        self.all(path).pop()
    }

    /// The text; `None` for other values.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(Zeroizing::new(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = values.next_element()? {
            array.push(value);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some((name, value)) = members.next_entry()? {
            object.push((Zeroizing::new(name), value));
        }
        Ok(Json::Object(object))
    }
}
