//! The exchanges table: authorization codes that were sent to a provider.
//!
//! Invariant: every code is sent only by the caller whose row was inserted, after that row was committed.

use diesel::prelude::*;

use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    tables::{records::BATCH, schema::exchanges},
};

/// How long sent codes are kept, in microseconds. RFC 6749 §4.1.2 recommends a lifetime of at most ten minutes.
pub(crate) const KEPT_US: i64 = 24 * 3_600_000_000;

/// Records that a code is about to be sent. Returns whether it was never sent before.
pub(crate) fn begin(conn: &mut Conn, digest: &[u8], now: i64) -> Result<bool, StoreError> {
    let row = (exchanges::digest.eq(digest), exchanges::began.eq(now));
    let insert = diesel::insert_into(exchanges::table).values(row).on_conflict_do_nothing();
    Ok(on_backend!(conn, |conn| insert.execute(conn))? > 0)
}

/// Returns when a code was sent, if it was.
pub(crate) fn began(conn: &mut Conn, digest: &[u8]) -> Result<Option<i64>, StoreError> {
    let row = exchanges::table.find(digest).select(exchanges::began);
    Ok(on_backend!(conn, |conn| row.first(conn)).optional()?)
}

/// Returns some rows older than this.
pub(crate) fn older(conn: &mut Conn, than: i64) -> Result<Vec<Vec<u8>>, StoreError> {
    let old = exchanges::table.filter(exchanges::began.le(than)).order(exchanges::began);
    Ok(old.select(exchanges::digest).limit(BATCH).load(conn)?)
}

/// Removes rows.
pub(crate) fn remove(conn: &mut Conn, digests: &[Vec<u8>]) -> Result<(), StoreError> {
    let rows = exchanges::table.filter(exchanges::digest.eq_any(digests));
    on_backend!(conn, |conn| diesel::delete(rows).execute(conn))?;
    Ok(())
}
