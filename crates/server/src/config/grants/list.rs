//! Reads the list of providers.
//!
//! Invariant: the settings of a preset are added to those of the configuration, and never replace one.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{ProviderSettings, Providers, preset};
use crate::config::list_of_tables;

pub(super) const EXPECTED: &str = "expected an array of tables [[grants.providers]], or the same as JSON, such as \
                        [{\"name\": \"xero\", \"issuer\": \"https://identity.xero.com\", …}]";

impl<'de> Deserialize<'de> for Providers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        list_of_tables::read_all(deserializer, EXPECTED, read_one).map(Self)
    }
}

/// A provider, with the settings of its preset.
pub(super) fn read_one(index: usize, item: Value) -> Result<ProviderSettings, String> {
    let Value::Object(mut members) = item else {
        return Err(format!("{}: {EXPECTED}", place(index, "")));
    };
    preset::write_out(&mut members);
    let name = members.get("name").and_then(Value::as_str).unwrap_or_default();
    let place = place(index, name);
    let at_place = |why| format!("{place}: {why}");
    list_of_tables::check_keys::<ProviderSettings>(&members).map_err(at_place)?;
    let from_preset = preset::apply(&mut members).map_err(at_place)?;
    let settings: ProviderSettings = serde_json::from_value(Value::Object(members))
        .map_err(|_checked| format!("{place}: {EXPECTED}"))?;
    Ok(ProviderSettings { from_preset, ..settings })
}

/// The name of a provider in errors.
pub(super) fn place(index: usize, name: &str) -> String {
    list_of_tables::place("grants.providers", index, name)
}
