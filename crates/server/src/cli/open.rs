//! The database of the configuration, as commands of administration open it.
//!
//! Invariant: a command works while servers are running. It never migrates an existing database, and a command that
//! only reads does not create one.

use anyhow::{Context as _, bail};
use store::{OpenError, OpenOptions, Store};

use crate::config::Config;

/// Runs a command on the database of the configuration.
///
/// # Errors
/// The error of the command, or the reason why the database cannot be used.
pub(crate) fn with_store<T>(
    config: &Config,
    command: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    require_database(config)?;
    on_database(config, command)
}

/// As `with_store`, also if master keys are missing: for showing and retiring keys.
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

/// As `with_store`, and creates the database if there is none.
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
