//! What `config check` says of the providers.
//!
//! Invariant: no secret is sent and none is printed.

use std::io::{self, Write as _};

use anyhow::bail;

use super::{output::counted, terminal};
use crate::{config::Config, grants::providers::Providers};

/// Prints what each provider changes for clients.
pub(crate) fn describe(config: &Config) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if !config.grants.enabled {
        if !config.grants.providers.items().is_empty() {
            writeln!(out, "grants.enabled = false: no token is refreshed, and no code exchanged")?;
        }
        return Ok(());
    }
    for (place, provider) in config.grants.providers.named() {
        let hidden = match provider.give_refresh_token {
            true => "",
            false => ", clients are not given its refresh tokens (give_refresh_token = false)",
        };
        let line = format!(
            "{place}: its records are refreshed when they are got, whenever they were saved{hidden}, and a \
             grant that ended is a 424"
        );
        writeln!(out, "{}", terminal::line(&line))?;
    }
    Ok(())
}

/// Asks each provider whether it is there, and prints what it found.
///
/// # Errors
/// A provider is not there.
pub(crate) fn probe(providers: &Providers) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let mut missing = 0;
    for provider in providers.all() {
        let line = match provider.probe() {
            Ok(found) => format!("{}: {found}", provider.place),
            Err(error) => {
                missing += 1;
                format!("{}: cannot be used ({}): {error}", provider.place, error.cause.name())
            }
        };
        writeln!(out, "{}", terminal::line(&line))?;
    }
    if missing > 0 {
        bail!("{} cannot be used", counted(missing, "provider"));
    }
    Ok(())
}
