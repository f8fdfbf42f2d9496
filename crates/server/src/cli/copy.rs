//! `latchkey copy`: copies one database to another, of any kind.
//!
//! Invariant: no URL is printed, because it may hold a password.

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use store::{Copied, Database};
use tracing::info;

use super::{
    grants::PAUSED,
    output::{Output, Progress, counted, grouped},
};
use crate::config::Config;

/// Both databases.
#[derive(Args)]
pub(crate) struct Sides {
    /// The URL of the database to copy. The default is `database.url`
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// The URL of a new database, or of an earlier copy. The default is `database.url`
    ///
    /// Other users of this machine can read a password that is given here, but not one in `database.url`.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
}

#[derive(Serialize)]
struct Report {
    from: String,
    to: String,
    master_keys: u64,
    users: u64,
    credentials: u64,
    applications: u64,
    records: u64,
    idempotency_keys: u64,
    grants: u64,
}

pub(crate) fn run(config: &Config, output: Output, sides: &Sides) -> anyhow::Result<()> {
    let read = |url: &Option<String>, option: &str| match url {
        Some(url) => url
            .parse::<Database>()
            .with_context(|| format!("{option} cannot be read as a database's URL")),
        None => Ok(config.database()?),
    };
    let (from, to) = (read(&sides.from, "--from")?, read(&sides.to, "--to")?);
    if from.to_string() == to.to_string() {
        bail!(
            "--from and --to name the same database (both are database.url by default); give one of them \
             another URL"
        );
    }
    let mut printed = Progress::begin();
    let mut progress = |done: &str, table: &str, rows: u64| {
        printed.tell(|| format!("{table}: {done} {}", grouped(rows)));
    };
    let copied = store::copy(&from, &to, &config.keys()?, &mut progress)
        .with_context(|| format!("cannot copy the database {from} to {to}"))?;
    let Copied { master_keys, users, credentials, applications, records, idempotency_keys, grants } =
        copied;
    let counts = [
        (records, "record"),
        (grants, "grant"),
        (users, "user"),
        (credentials, "ticket or session"),
        (applications, "application"),
        (idempotency_keys, "idempotency key"),
        (master_keys, "master key"),
    ];
    let counts = counts.map(|(count, thing)| match (count, thing) {
        (count, "ticket or session") if count != 1 => {
            format!("{} tickets and sessions", grouped(count))
        }
        (count, thing) => counted(count, thing),
    });
    info!(records, from = %from, to = %to, "copied the database");
    let plain = format!(
        "copied {from} to {to}, and compared every row: both are the same\n{}\nA server on it needs the same \
         master keys. {PAUSED} This command does not lock out servers on PostgreSQL: if one ran meanwhile, run the \
         command again before you use the copy.",
        counts.join(", ")
    );
    let report = Report {
        from: from.to_string(),
        to: to.to_string(),
        master_keys,
        users,
        credentials,
        applications,
        records,
        idempotency_keys,
        grants,
    };
    output.made(&plain, &report)
}
