//! The keks table, for what is sealed under its keys.
//!
//! Invariant: what is written under a key is written while the key's row cannot go.

use diesel::prelude::*;

use crate::{StoreError, backend::conn::Conn, tables::schema::keks};

/// Keeps a master key from being retired until the transaction ends; `KeyRetired` if the database does not know it.
pub(crate) fn hold(conn: &mut Conn, id: &str) -> Result<(), StoreError> {
    let known = keks::table.find(id).select(keks::id);
    let known: Option<String> = match conn {
        // The transaction has the file for itself.
        Conn::Sqlite(conn) => known.first(conn),
        Conn::Postgres(session) => known.for_key_share().first(session),
    }
    .optional()?;
    known.map(drop).ok_or_else(|| StoreError::KeyRetired(id.to_owned()))
}
