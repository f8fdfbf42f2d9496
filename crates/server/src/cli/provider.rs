//! The report of `config check` and `providers check` on the configured providers.
//!
//! Invariant: no secret is sent or printed.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use anyhow::bail;
use serde::Serialize;

use super::{output::counted, terminal};
use crate::{
    config::Config,
    grants::providers::{ConfiguredProvider, Providers},
};

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
            "{place}: a get refreshes its records, also those saved before it was configured{hidden}, and answers \
             424 if the grant has ended"
        );
        writeln!(out, "{}", terminal::line(&line))?;
    }
    Ok(())
}

/// The result of a check of a configured provider.
#[derive(Serialize)]
pub(super) struct Look {
    /// Its name in errors and in the log.
    provider: String,
    usable: bool,
    /// The findings, or the reason why it cannot be used.
    found: String,
}

/// Sends a request without a secret to each of the providers. Blocks.
pub(super) fn look_at<'a>(
    providers: impl Iterator<Item = &'a Arc<ConfiguredProvider>>,
) -> Vec<Look> {
    let look = |provider: &'a Arc<ConfiguredProvider>| {
        let (usable, found) = match provider.probe() {
            Ok(found) => (true, found),
            Err(error) => (false, format!("cannot be used ({}): {error}", error.cause.name())),
        };
        Look { provider: provider.place.clone(), usable, found }
    };
    providers.map(look).collect()
}

impl Look {
    /// The result as a line for people.
    pub(super) fn line(&self) -> String {
        format!("{}: {}", self.provider, self.found)
    }
}

/// Fails if a provider cannot be used.
pub(super) fn check(looks: &[Look]) -> anyhow::Result<()> {
    match looks.iter().filter(|look| !look.usable).count() as u64 {
        0 => Ok(()),
        missing => bail!("{} cannot be used", counted(missing, "provider")),
    }
}

/// Sends a request to each provider, and prints the findings.
///
/// # Errors
/// A provider cannot be used.
pub(crate) fn probe(providers: &Providers) -> anyhow::Result<()> {
    let looks = look_at(providers.all());
    let mut out = io::stdout().lock();
    for look in &looks {
        writeln!(out, "{}", terminal::line(&look.line()))?;
    }
    check(&looks)
}
