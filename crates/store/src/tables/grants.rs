//! The grants table: the state of the grants of records.
//!
//! Invariant: a row is changed only by a transaction that has locked its record.

pub(crate) mod claim;
pub(crate) mod lease;
pub(crate) mod outcome;
pub(crate) mod rekey;
pub(crate) mod replace;
pub(crate) mod report;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use diesel::{dsl::count_star, prelude::*};
use model::{GrantCause, GrantState, RecordId};

use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    tables::schema::{external_tokens, grants},
};

/// The version of the migration that made the table, and the others that belong to it.
pub(crate) const MIGRATION: &str = "20261128180000";

/// A row.
#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable, AsChangeset)]
#[diesel(table_name = grants, treat_none_as_null = true)]
pub(crate) struct GrantRow {
    pub(crate) record: i64,
    client_digest: Vec<u8>,
    state: String,
    since: i64,
    cause: Option<String>,
    failures: i32,
    retry_at: Option<i64>,
    refreshed: Option<i64>,
    refresh_by: Option<i64>,
    pub(crate) attempt: i64,
    claimed: i64,
    first_sent: Option<i64>,
    won_by: Option<i64>,
    lease_by: Option<String>,
    lease_until: Option<i64>,
    /// The events that were reported to receivers of webhooks (`report`).
    reported: i32,
}

/// The state of a record's grant. Times are microseconds since 1970 UTC, by the database's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Whether refreshes work.
    pub state: GrantState,
    /// Time of the last change of `state`; `None` if no refresh was tried.
    pub since: Option<i64>,
    /// Cause of the last failed refresh.
    pub cause: Option<GrantCause>,
    /// Failed refreshes since the last successful one.
    pub failures: u32,
    /// End of the pause before the next refresh.
    pub retry_at: Option<i64>,
    /// Time of the last successful refresh.
    pub refreshed: Option<i64>,
    /// Expiry of the refresh token unless it is used before.
    pub refresh_by: Option<i64>,
    /// Number of claimed attempts.
    pub attempts: u64,
    /// Time of the last claim; `None` if there was none.
    pub claimed: Option<i64>,
    /// Time of the first attempt with an unknown outcome.
    pub first_sent: Option<i64>,
    /// The client that the grant was given to; `None` if no refresh was tried.
    pub client_digest: Option<Vec<u8>>,
    /// End of a lease; until then a running server may be refreshing the record.
    pub leased_until: Option<i64>,
    /// The name of that server's process.
    pub lease_by: Option<String>,
}

impl From<GrantRow> for Grant {
    fn from(row: GrantRow) -> Self {
        Self {
            state: GrantState::of_name(&row.state).unwrap_or_default(),
            since: Some(row.since),
            cause: row.cause.as_deref().and_then(GrantCause::of_name),
            failures: row.failures.unsigned_abs(),
            retry_at: row.retry_at,
            refreshed: row.refreshed,
            refresh_by: row.refresh_by,
            attempts: row.attempt.unsigned_abs(),
            claimed: (row.attempt > 0).then_some(row.claimed),
            first_sent: row.first_sent,
            client_digest: Some(row.client_digest),
            leased_until: row.lease_until,
            lease_by: row.lease_by,
        }
    }
}

/// A grant that the server obtained itself, by exchanging a code.
#[derive(Clone, Copy, Debug)]
pub struct NewGrant {
    /// The client that it was given to.
    pub client_digest: [u8; 32],
    /// Expiry of the refresh token unless it is used before.
    pub refresh_by: Option<i64>,
}

/// A record's columns, read while it is locked.
#[derive(Queryable, Selectable)]
#[diesel(table_name = external_tokens)]
struct Current {
    generation: i32,
    key_digest: Vec<u8>,
    ended: Option<i64>,
    expires: Option<i64>,
}

impl Current {
    fn lives(&self, now: i64) -> bool {
        self.ended.is_none() && self.expires.is_none_or(|expires| expires > now)
    }
}

/// Locks a record and reads these columns.
fn lock(conn: &mut Conn, record: RecordId) -> Result<Option<Current>, StoreError> {
    let row = external_tokens::table.find(record.as_i64());
    let row = match conn {
        Conn::Sqlite(conn) => row.select(Current::as_select()).first(conn),
        Conn::Postgres(session) => row.select(Current::as_select()).for_update().first(session),
    };
    Ok(row.optional()?)
}

/// Locks a record and returns its generation, which stays the same until the transaction ends. Returns `None` if there
/// is no such record.
pub(crate) fn lock_generation(
    conn: &mut Conn,
    record: RecordId,
) -> Result<Option<i32>, StoreError> {
    Ok(lock(conn, record)?.map(|current| current.generation))
}

/// Reads the grant's row of a record.
pub(crate) fn find(conn: &mut Conn, record: RecordId) -> Result<Option<GrantRow>, StoreError> {
    let row = grants::table.find(record.as_i64());
    Ok(on_backend!(conn, |conn| row.select(GrantRow::as_select()).first(conn)).optional()?)
}

/// Returns a record's generation, or `None` if it has ended or does not exist.
pub(crate) fn generation(conn: &mut Conn, record: RecordId) -> Result<Option<i32>, StoreError> {
    let living = external_tokens::table
        .find(record.as_i64())
        .filter(external_tokens::ended.is_null())
        .select(external_tokens::generation);
    Ok(on_backend!(conn, |conn| living.first(conn)).optional()?)
}

/// Number of living records with grants of a client in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantCount {
    /// The provider's client.
    pub client_digest: Vec<u8>,
    /// The state.
    pub state: GrantState,
    /// Number of records.
    pub records: u64,
}

/// Counts the grants of living records by client and state.
pub(crate) fn count(conn: &mut Conn) -> Result<Vec<GrantCount>, StoreError> {
    let counts = grants::table
        .inner_join(external_tokens::table.on(external_tokens::id.eq(grants::record)))
        .filter(external_tokens::ended.is_null())
        .group_by((grants::client_digest, grants::state))
        .select((grants::client_digest, grants::state, count_star()));
    let rows: Vec<(Vec<u8>, String, i64)> = on_backend!(conn, |conn| counts.load(conn))?;
    let count = |(client_digest, state, records): (_, String, i64)| GrantCount {
        client_digest,
        state: GrantState::of_name(&state).unwrap_or_default(),
        records: records.unsigned_abs(),
    };
    Ok(rows.into_iter().map(count).collect())
}

/// Ends the pause before the next attempt of a record and keeps the rest of the grant's state. Returns whether there
/// was a pause.
pub(crate) fn end_pause(conn: &mut Conn, record: RecordId) -> Result<bool, StoreError> {
    if lock(conn, record)?.is_none() {
        return Ok(false);
    }
    let Some(row) = find(conn, record)?.filter(|row| row.retry_at.is_some()) else {
        return Ok(false);
    };
    write(conn, &GrantRow { retry_at: None, ..row })?;
    Ok(true)
}

/// Returns the grants of records, by id.
pub(crate) fn of_records(
    conn: &mut Conn,
    records: &[i64],
) -> Result<HashMap<i64, Grant>, StoreError> {
    let rows = grants::table.filter(grants::record.eq_any(records));
    let rows: Vec<GrantRow> =
        on_backend!(conn, |conn| rows.select(GrantRow::as_select()).load(conn))?;
    Ok(rows.into_iter().map(|row| (row.record, row.into())).collect())
}

impl GrantRow {
    /// Creates the row of an unused grant, whose refresh was never claimed, so that the first claim is not too early.
    fn unused(record: RecordId, client_digest: [u8; 32], state: GrantState, now: i64) -> Self {
        Self {
            record: record.as_i64(),
            client_digest: client_digest.to_vec(),
            state: state.name().to_owned(),
            since: now,
            cause: None,
            failures: 0,
            retry_at: None,
            refreshed: None,
            refresh_by: None,
            attempt: 0,
            claimed: 0,
            first_sent: None,
            won_by: None,
            lease_by: None,
            lease_until: None,
            reported: 0,
        }
    }

    /// Creates the row of a grant that is saved with its record.
    pub(crate) fn of_exchange(record: RecordId, grant: NewGrant, now: i64) -> Self {
        let NewGrant { client_digest, refresh_by } = grant;
        Self { refresh_by, ..Self::unused(record, client_digest, GrantState::Live, now) }
    }

    /// Inserts the row.
    pub(crate) fn insert(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let insert = diesel::insert_into(grants::table).values(self);
        on_backend!(conn, |conn| insert.execute(conn))?;
        Ok(())
    }

    fn set_state(&mut self, state: GrantState, now: i64) -> bool {
        let is_other = self.state != state.name();
        if is_other {
            self.state = state.name().to_owned();
            self.since = now;
        }
        is_other
    }
}

fn write(conn: &mut Conn, row: &GrantRow) -> Result<(), StoreError> {
    diesel::update(grants::table.find(row.record)).set(row).execute(conn)?;
    Ok(())
}

/// Removes the grants of removed records.
pub(crate) fn remove(conn: &mut Conn, records: &[i64]) -> Result<(), StoreError> {
    let rows = grants::table.filter(grants::record.eq_any(records));
    on_backend!(conn, |conn| diesel::delete(rows).execute(conn))?;
    Ok(())
}
