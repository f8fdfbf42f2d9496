//! The figures of a store, for metrics.
//!
//! Invariant: `figures` does not read the database. `counts` reads it by statements that read indexes alone.

use std::fs;

use model::CredentialKind;

use crate::{
    Figures, GrantCount, Store, StoreError,
    backend::conn::Conn,
    figures,
    keys::wrap_budget,
    tables::{credentials, grants, records},
};

/// Time before its expiry from which a record counts as one that expires soon, in microseconds.
const SOON: i64 = 24 * 3600 * 1_000_000;

/// The rows of a database, counted.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Records that live.
    pub living: u64,
    /// Those of them that expire within a day.
    pub expiring: u64,
    /// Records that ended or expired, and are not removed yet.
    pub ended: u64,
    /// Credentials that have not expired, by kind.
    pub credentials: Vec<(CredentialKind, u64)>,
    /// Living records with a grant, by client and state.
    pub grants: Vec<GrantCount>,
    /// The active master key, and how many others the database knows.
    pub key: KeyCounts,
}

/// The master keys of a database.
#[derive(Clone, Copy, Debug)]
pub struct KeyCounts {
    /// Number of keys in the database.
    pub keys: u64,
    /// Number of keys in the database that this process cannot load.
    pub missing: u64,
    /// Time of creation of the active key, in microseconds since 1970 UTC.
    pub created: i64,
    /// Number of data keys wrapped under the active key, rounded up.
    pub wraps: i64,
}

impl KeyCounts {
    /// The most data keys that one master key may ever wrap.
    pub const MOST_WRAPS: i64 = wrap_budget::MOST;
}

impl Store {
    /// Returns the work of this process, and its state. May ask the file system for a size.
    pub fn figures(&self) -> Figures {
        let inner = &self.0;
        let size = |path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        Figures {
            is_available: !inner.outage.is_on(),
            write_ahead_log: inner.database_file.as_ref().map(|file| size(file.log())),
            receivers: inner.outbox.figures(),
            ..figures::of_work(inner.writer.figures(), inner.readers.figures())
        }
    }

    /// Counts the rows of the database. Reads whole indexes, so it is slow for millions of rows.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let (keyring, rows) = self.load_keyring().await?;
        let known = || rows.iter().filter(|row| !row.is_announced());
        let active = known().find(|row| row.id == keyring.active().id());
        let key = KeyCounts {
            keys: known().count() as u64,
            missing: keyring.missing().count() as u64,
            created: active.map_or(0, |row| row.created),
            wraps: active.map_or(0, |row| row.wraps),
        };
        let clock = self.0.clock;
        let count = move |conn: &mut Conn| {
            let now = clock.now();
            let records = records::count_all(conn, now, now.saturating_add(SOON))?;
            let credentials = credentials::count_all(conn, now)?;
            Ok((records, credentials, grants::count(conn)?))
        };
        let (records, credentials, grants) = self.0.readers.run_slowly(count).await?;
        let records::RecordsCounted { all, ended, expired, expiring } = records;
        let ended = ended.saturating_add(expired);
        Ok(Counts { living: all.saturating_sub(ended), expiring, ended, credentials, grants, key })
    }
}
