//! `database`: the URL of the database, and the connections to it.
//!
//! Invariant: a URL, which may hold a password, is not shown; a file's path is.

use std::{ops::RangeInclusive, path::PathBuf};

use anyhow::bail;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// One connection writes, and at least one reads.
const CONNECTIONS: RangeInclusive<usize> = 2..=64;

/// The database.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    #[serde(serialize_with = "redact")]
    pub(super) url: Option<SecretString>,
    pub(super) url_file: Option<PathBuf>,
    pub(crate) auto_migrate: bool,
    pub(super) connections: usize,
}

impl Database {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !CONNECTIONS.contains(&self.connections) {
            bail!("database.connections must be from 2 to 64");
        }
        Ok(())
    }
}

/// Shows the path of a file, or the address of a server; the rest of a URL may be a password.
fn redact<S: Serializer>(url: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(url) = url.as_ref().map(ExposeSecret::expose_secret) else {
        return serializer.serialize_none();
    };
    match url.parse::<store::Database>() {
        Ok(store::Database::Sqlite(_)) => serializer.serialize_some(url),
        Ok(server @ store::Database::Postgres(_)) => serializer.serialize_some(&server.to_string()),
        Err(_) => serializer.serialize_some("(set)"),
    }
}
