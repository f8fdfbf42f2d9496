//! What the commands of administration have in common: the store, the tenant, the output.
//!
//! Invariant: a command works beside a running server. A database that is there is never migrated, and
//! none is made by a command that only looks.

use std::io::{self, Write as _};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use model::{Login, TenantId};
use serde::Serialize;
use store::{OpenError, OpenOptions, Store, StoreError};

use super::terminal;
use crate::config::{Config, tenants};

/// How a command answers.
#[derive(Args, Clone, Copy)]
pub(crate) struct Output {
    /// For people, or for programs
    #[arg(long, global = true, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Output {
    /// Prints rows: a table with a head, or an array of objects.
    pub(crate) fn rows<T: Serialize>(
        self,
        head: &[&str],
        rows: &[T],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if self.output == Format::Json {
            let json = serde_json::to_string_pretty(rows)?;
            return Ok(writeln!(out, "{}", terminal::json(&json))?);
        }
        let head: Vec<String> = head.iter().map(ToString::to_string).collect();
        let cells = |row| cells(row).iter().map(|cell| terminal::line(cell)).collect();
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
        for line in &lines {
            let padded = line.iter().enumerate().map(|(column, cell)| {
                let widths = lines.iter().map(|line| line[column].chars().count());
                format!("{cell:width$}", width = widths.max().unwrap_or_default())
            });
            let text = padded.collect::<Vec<_>>().join("  ");
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }

    /// Prints what was made: `plain` alone, so that a script can take it, or an object.
    pub(crate) fn made(self, plain: &str, object: &impl Serialize) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match self.output {
            Format::Text => writeln!(out, "{}", terminal::lines(plain))?,
            Format::Json => {
                let json = serde_json::to_string_pretty(object)?;
                writeln!(out, "{}", terminal::json(&json))?;
            }
        }
        Ok(out.flush()?)
    }
}

/// A tenant of this installation.
#[derive(Args)]
pub(crate) struct TenantArgument {
    /// The tenant, where paths name tenants
    #[arg(long, default_value = "default")]
    tenant: String,
}

impl TenantArgument {
    pub(crate) fn read(&self, config: &Config) -> anyhow::Result<TenantId> {
        tenant(&self.tenant, config)
    }
}

/// A tenant by its name.
///
/// # Errors
/// It cannot be one, or there is only one.
pub(crate) fn tenant(name: &str, config: &Config) -> anyhow::Result<TenantId> {
    let tenant = tenants::parse(name).with_context(|| {
        format!("`{name}` cannot be a tenant: it is a path of the server, or has odd characters")
    })?;
    match config.only_tenant()? {
        None => Ok(tenant),
        Some(only) if tenant == only || tenant.is_named_as(&only) => Ok(only),
        Some(only) => {
            bail!("there is only one tenant, {only}, unless tenants = \"path\" is set")
        }
    }
}

pub(crate) fn login(name: &str) -> anyhow::Result<Login> {
    Login::parse(name).with_context(|| format!("`{name}` is no login"))
}

/// Runs a command on the database of the configuration.
///
/// # Errors
/// What the command says, or why the database cannot be used.
pub(crate) fn with_store<T>(
    config: &Config,
    command: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    require_database(config)?;
    on_database(config, command)
}

/// As `with_store`, also if master keys are missing: for looking at them, and for retiring them.
pub(crate) fn with_store_for_keys<T>(
    config: &Config,
    command: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    require_database(config)?;
    on_opened(config, Store::open_for_keys, command)
}

fn require_database(config: &Config) -> anyhow::Result<()> {
    let database = config.database()?;
    if !database.exists() {
        bail!(
            "there is no database at {database}; check its path, or start the server to make one"
        );
    }
    Ok(())
}

/// As `with_store`, and makes the database if there is none.
pub(crate) fn on_database<T>(
    config: &Config,
    command: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    on_opened(config, Store::open_beside, command)
}

fn on_opened<T>(
    config: &Config,
    open: fn(&OpenOptions) -> Result<Store, OpenError>,
    command: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let options = config.open_options()?;
    let options = OpenOptions { auto_migrate: !options.database.exists(), ..options };
    let store =
        open(&options).with_context(|| format!("cannot use the database {}", options.database))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(command(&store));
    store.close();
    outcome
}

/// A store's refusal as the command line tells it.
pub(crate) fn told(error: StoreError, name: &str) -> anyhow::Error {
    match error {
        StoreError::NotFound(kind) => anyhow::anyhow!("there is no {kind} {name}"),
        StoreError::Conflict(kind) => anyhow::anyhow!("{kind} {name} is there already"),
        other => other.into(),
    }
}

/// A time as programs and people read it: UTC, to the second.
pub(crate) fn moment(microseconds: i64) -> String {
    let moment = Timestamp::from_microsecond(microseconds).unwrap_or_default();
    Timestamp::from_second(moment.as_second()).unwrap_or_default().to_string()
}
