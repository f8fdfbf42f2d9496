//! The keks table, as seen by rows that are sealed under its keys.
//!
//! Invariant: every row under a key is written while the key's row cannot be removed.

use diesel::prelude::*;

use crate::{StoreError, backend::conn::Conn, tables::schema::keks};

/// Keeps a master key from being retired until the transaction ends. `KeyRetired`: the database does not know the key.
pub(crate) fn hold(conn: &mut Conn, id: &str) -> Result<(), StoreError> {
    let known = keks::table.find(id).select(keks::id);
    let known: Option<String> = match conn {
        // SQLite's transaction already excludes other writers.
        Conn::Sqlite(conn) => known.first(conn),
        Conn::Postgres(session) => known.for_key_share().first(session),
    }
    .optional()?;
    known.map(drop).ok_or_else(|| StoreError::KeyRetired(id.to_owned()))
}
