//! Settings in environment variables.
//!
//! Invariant: a variable that looks like a setting is read, or a message says that it is not. No message has a value.

use std::env;

use anyhow::{Context as _, bail};
use config::{Environment, Map};

use super::settings::SETTINGS;

/// The prefixes of settings, and of other variables of the server.
const PREFIX: &str = "LATCHKEY__";
const NAME: &str = "LATCHKEY_";
/// The variable that names the file, as `--config` does.
pub(crate) const CONFIG: &str = "LATCHKEY_CONFIG";
/// The beginnings of variables that Kubernetes and Docker set for a service with the name `latchkey`.
const LINKS: [&str; 4] = ["PORT", "SERVICE", "NAME", "ENV"];

/// The settings, without the white space around each; an empty variable is unset.
///
/// # Errors
/// A value is not UTF-8, or the name of a variable has one underscore where a setting has two.
pub(super) fn read() -> anyhow::Result<Environment> {
    let mut settings = Map::new();
    for (name, value) in env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        refuse_single_underscores(&name)?;
        if !name.to_uppercase().starts_with(PREFIX) {
            continue;
        }
        let Ok(value) = value.into_string() else { bail!("the value of {name} is not UTF-8") };
        let value = value.trim();
        if !value.is_empty() {
            settings.insert(name, value.to_owned());
        }
    }
    let environment = Environment::with_prefix("LATCHKEY").prefix_separator("__").separator("__");
    Ok(environment.source(Some(settings)))
}

/// The value of a variable that is not a setting.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn variable(name: &str) -> anyhow::Result<Option<String>> {
    let found = env::vars_os().find(|(known, _value)| known == name);
    let Some((_name, value)) = found else { return Ok(None) };
    let value = value.into_string().ok().with_context(|| format!("{name} is not UTF-8"))?;
    Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty()))
}

/// Variables that look like settings and are not read, each with the setting that is probably meant.
pub(crate) fn unread() -> Vec<(String, Option<String>)> {
    let names = env::vars_os().filter_map(|(name, _value)| name.into_string().ok());
    let mut unread: Vec<_> = names.filter(|name| is_unread(name)).collect();
    unread.sort();
    unread.into_iter().map(|name| (name.clone(), likely(&name))).collect()
}

fn is_unread(name: &str) -> bool {
    let upper = name.to_uppercase();
    let Some(rest) = upper.strip_prefix(NAME) else { return false };
    let is_link = LINKS.iter().any(|link| rest.split('_').next() == Some(link));
    name != CONFIG && !is_link && !upper.starts_with(PREFIX)
}

/// The only setting whose last part is in the name. Of the two addresses to listen on, a name that does not say which
/// means that of calls.
fn likely(name: &str) -> Option<String> {
    let name = format!("{}_", name.to_uppercase());
    let is_in = |setting: &&&str| {
        let last = setting.rsplit('.').next().unwrap_or(setting);
        **setting != "metrics.listen" && name.contains(&format!("_{}_", last.to_uppercase()))
    };
    let mut settings = SETTINGS.iter().filter(is_in);
    match (settings.next(), settings.next()) {
        (Some(setting), None) => Some(variable_of(setting)),
        _ => None,
    }
}

/// The variable of a setting.
fn variable_of(setting: &str) -> String {
    format!("{PREFIX}{}", setting.replace('.', "__").to_uppercase())
}

/// Refuses a setting that would be ignored because it has one underscore where there should be two. Other names
/// pass: a platform may set `LATCHKEY_PORT` for a service of that name.
fn refuse_single_underscores(name: &str) -> anyhow::Result<()> {
    let upper = name.to_uppercase();
    if upper.starts_with(PREFIX) || !upper.starts_with(NAME) {
        return Ok(());
    }
    let letters = |name: &str| name.replace(['_', '.'], "").to_uppercase();
    let meant = letters(&upper["LATCHKEY".len()..]);
    match SETTINGS.iter().find(|setting| letters(setting) == meant) {
        Some(setting) => {
            let right = variable_of(setting);
            bail!("{name} is no setting; with two underscores, {right}, it is one");
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near_a_setting_are_refused() {
        for name in ["LATCHKEY_SERVER_LISTEN", "LATCHKEY_SERVER__LISTEN", "latchkey_database_url"] {
            assert!(refuse_single_underscores(name).is_err(), "{name}");
        }
        for name in ["LATCHKEY_PORT", "LATCHKEY__SERVER__LISTEN", "LATCHKEY_CONFIG", "HOME"] {
            assert!(refuse_single_underscores(name).is_ok(), "{name}");
            assert!(!is_unread(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_read_is_known() {
        for (name, setting) in [
            ("LATCHKEY_LISTEN", Some("LATCHKEY__SERVER__LISTEN")),
            ("LATCHKEY_LOG_LEVEL", None),
            ("LATCHKEY_HTTP_LISTEN", Some("LATCHKEY__SERVER__LISTEN")),
        ] {
            assert!(is_unread(name), "{name}");
            assert_eq!(likely(name).as_deref(), setting, "{name}");
        }
        for name in ["LATCHKEY_SERVICE_HOST", "LATCHKEY_PORT_8080_TCP_ADDR", "LATCHKEYS"] {
            assert!(!is_unread(name), "{name}");
        }
    }
}
