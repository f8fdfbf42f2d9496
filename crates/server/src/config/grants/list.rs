//! The list of providers, as it is written: tables of TOML, or JSON in a variable of the environment.
//!
//! Invariant: an error names the provider and the key, and never the value, which may be a secret.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::{ProviderSettings, Providers, preset};

pub(super) const EXPECTED: &str = "expected an array of tables [[grants.providers]], or the same as JSON, such as \
                        [{\"name\": \"xero\", \"issuer\": \"https://identity.xero.com\", …}]";

impl<'de> Deserialize<'de> for Providers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> de::Visitor<'de> for Written {
            type Value = Providers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED.trim_start_matches("expected "))
            }

            fn visit_str<E: de::Error>(self, json: &str) -> Result<Providers, E> {
                let items = serde_json::from_str(json).map_err(|error| match error.classify() {
                    serde_json::error::Category::Data => E::custom(EXPECTED),
                    _ => E::custom(format!("it is not JSON: {error}; {EXPECTED}")),
                })?;
                read_all(items)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Providers, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                read_all(items)
            }
        }

        deserializer.deserialize_any(Written)
    }
}

fn read_all<E: de::Error>(items: Vec<Value>) -> Result<Providers, E> {
    let read = |(index, item)| read_one(index, item).map_err(E::custom);
    items.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Providers)
}

/// Reads each key by itself, so that an error names it, and drops the value from the error, which may be a secret.
///
/// The settings of a preset are added to those that are read.
pub(super) fn read_one(index: usize, item: Value) -> Result<ProviderSettings, String> {
    let Value::Object(mut members) = item else {
        return Err(format!("{}: {EXPECTED}", place(index, "")));
    };
    preset::write_out(&mut members);
    let name = members.get("name").and_then(Value::as_str).unwrap_or_default();
    for (key, value) in &members {
        let alone = Value::Object([(key.clone(), value.clone())].into_iter().collect());
        if let Err(error) = serde_json::from_value::<ProviderSettings>(alone) {
            let error = error.to_string();
            let error = match error.rsplit_once("expected ") {
                Some((_value, expected)) if !error.starts_with("unknown field") => {
                    format!("wrong value for {key}, expected {expected}")
                }
                _ if members.get(key).is_some_and(Value::is_object) => format!("{key}: {error}"),
                _ => error,
            };
            return Err(format!("{}: {error}", place(index, name)));
        }
    }
    let place = place(index, name);
    let from_preset = preset::apply(&mut members).map_err(|why| format!("{place}: {why}"))?;
    let settings: ProviderSettings = serde_json::from_value(Value::Object(members))
        .map_err(|_checked| format!("{place}: {EXPECTED}"))?;
    Ok(ProviderSettings { from_preset, ..settings })
}

/// A provider as errors name it.
pub(super) fn place(index: usize, name: &str) -> String {
    let item = index + 1;
    match name {
        "" => format!("grants.providers[{item}]"),
        name => format!("grants.providers[{item}] ({})", name.escape_debug()),
    }
}
