//! Reads lists of tables: tables of TOML, or JSON in an environment variable, which cannot hold tables.
//!
//! Invariant: an error names the item and the key, and never the value, which may be a secret.

use std::fmt;

use serde::{Deserializer, de, de::DeserializeOwned};
use serde_json::{Map, Value};

/// The items of a list, each read by `read_one` at its place. `expected` is for errors, such as "expected an array of
/// tables".
pub(super) fn read_all<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    read_one: fn(usize, Value) -> Result<T, String>,
) -> Result<Vec<T>, D::Error> {
    let items = read(deserializer, expected)?.into_iter().enumerate();
    items.map(|(index, item)| read_one(index, item).map_err(de::Error::custom)).collect()
}

fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<Vec<Value>, D::Error> {
    struct Written(&'static str);

    impl<'de> de::Visitor<'de> for Written {
        type Value = Vec<Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0.trim_start_matches("expected "))
        }

        fn visit_str<E: de::Error>(self, json: &str) -> Result<Vec<Value>, E> {
            serde_json::from_str(json).map_err(|error| match error.classify() {
                serde_json::error::Category::Data => E::custom(self.0),
                _ => E::custom(format!("it is not JSON: {error}; {}", self.0)),
            })
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Value>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = seq.next_element()? {
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_any(Written(expected))
}

/// Reads each key of an item alone, so that an error names the key.
pub(super) fn check_keys<T: DeserializeOwned>(members: &Map<String, Value>) -> Result<(), String> {
    for (key, value) in members {
        let alone = Value::Object([(key.clone(), value.clone())].into_iter().collect());
        if let Err(error) = serde_json::from_value::<T>(alone) {
            let error = error.to_string();
            return Err(match error.rsplit_once("expected ") {
                Some((_value, expected)) if !error.starts_with("unknown field") => {
                    format!("wrong value for {key}, expected {expected}")
                }
                _ if value.is_object() => format!("{key}: {error}"),
                _ => error,
            });
        }
    }
    Ok(())
}

/// The name of an item in errors.
pub(super) fn place(list: &str, index: usize, name: &str) -> String {
    let item = index + 1;
    match name {
        "" => format!("{list}[{item}]"),
        name => format!("{list}[{item}] ({})", name.escape_debug()),
    }
}
