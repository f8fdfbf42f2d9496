//! `backup`: the backups that a server makes of its SQLite database.
//!
//! Invariant: without a folder there are no backups, and at least one backup stays.

use std::{path::PathBuf, time::Duration};

use anyhow::bail;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{at_least_1, check_range};

/// The most backups that a rule keeps.
const MOST: u32 = 1000;

/// The backups of a server.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backup {
    pub(crate) directory: Option<PathBuf>,
    every_hours: u32,
    retry_seconds: u64,
    pub(crate) keep: u32,
    pub(crate) keep_daily: u32,
    pub(crate) keep_weekly: u32,
    pub(crate) keep_monthly: u32,
}

impl Backup {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        check_range("backup.every_hours", self.every_hours, 1..=8760)?;
        at_least_1("backup.retry_seconds", self.retry_seconds)?;
        check_range("backup.keep", self.keep, 1..=MOST)?;
        check_range("backup.keep_daily", self.keep_daily, 0..=MOST)?;
        check_range("backup.keep_weekly", self.keep_weekly, 0..=MOST)?;
        check_range("backup.keep_monthly", self.keep_monthly, 0..=MOST)
    }

    /// Refuses a folder for a database that a server cannot back up.
    ///
    /// # Errors
    /// The database is on PostgreSQL.
    pub(crate) fn check_database(&self, database: &store::Database) -> anyhow::Result<()> {
        if self.directory.is_some() && matches!(database, store::Database::Postgres(_)) {
            bail!(
                "backup.directory is for SQLite: a database on PostgreSQL is backed up by PostgreSQL's own tools, \
                 such as pg_dump or pg_basebackup; leave it out"
            );
        }
        Ok(())
    }

    /// The time between two backups.
    pub(crate) fn every(&self) -> SignedDuration {
        SignedDuration::from_hours(self.every_hours.into())
    }

    /// The time between two looks whether a backup is due.
    pub(crate) fn retry_every(&self) -> Duration {
        Duration::from_secs(self.retry_seconds)
    }
}
