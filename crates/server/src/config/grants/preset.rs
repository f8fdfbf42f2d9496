//! Presets: settings that come with the server, under those of the configuration.
//!
//! Invariant: settings of the configuration override those of a preset. The addresses of a provider are either all its
//! own or all the preset's, because otherwise codes would go to one provider and refresh tokens to another.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The addresses of requests, and the parameters in them.
const ADDRESSES: [&str; 8] = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "refresh_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
    "jwks",
    "parameters",
];
/// The addresses that identify the provider.
const PROVIDER: [&str; 4] =
    ["issuer", "authorization_endpoint", "token_endpoint", "refresh_endpoint"];

/// Replaces a parameter that is only a value by a table with that value.
pub(super) fn write_out(members: &mut Map<String, Value>) {
    if let Some(Value::Object(parameters)) = members.get_mut("parameters") {
        for (_name, parameter) in parameters {
            if parameter.is_string() {
                let value = [("value".to_owned(), parameter.take())];
                *parameter = Value::Object(value.into_iter().collect());
            }
        }
    }
}

/// Adds the settings of the preset that a provider names, if it names one, and returns their keys.
///
/// # Errors
/// There is no such preset.
pub(super) fn apply(members: &mut Map<String, Value>) -> Result<BTreeSet<String>, String> {
    let Some(name) = members.get("preset").and_then(Value::as_str) else {
        return Ok(BTreeSet::new());
    };
    let Some(mut preset) = provider::presets::find(name) else {
        return Err(format!(
            "preset: there is no {}; the nearest are {}, and `latchkey providers list` shows all",
            name.escape_debug(),
            provider::presets::nearest(name).join(", ")
        ));
    };
    if PROVIDER.iter().any(|key| members.contains_key(*key)) {
        preset.settings.retain(|key, _value| !ADDRESSES.contains(&key.as_str()));
    }
    let new = preset.settings.keys().filter(|key| !members.contains_key(*key));
    let new = new.cloned().collect();
    add(members, preset.settings);
    Ok(new)
}

/// Adds the members that are missing, in tables one by one.
fn add(members: &mut Map<String, Value>, settings: Map<String, Value>) {
    for (key, value) in settings {
        match (members.get_mut(&key), value) {
            (None, value) => {
                members.insert(key, value);
            }
            (Some(Value::Object(table)), Value::Object(value)) => add(table, value),
            (Some(_own), _value) => {}
        }
    }
}
