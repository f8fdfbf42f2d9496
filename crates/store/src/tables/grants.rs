//! The grants table: what is known of the grants behind records.
//!
//! Invariant: a row is changed only by who has locked its record.

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
    /// What receivers of webhooks know (`report`).
    reported: i32,
}

/// What is known of the grant behind a record. Times are microseconds since 1970 UTC, by the database's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Whether refreshes work.
    pub state: GrantState,
    /// Since when that is so; `None` if no refresh was tried.
    pub since: Option<i64>,
    /// Why the last refresh failed.
    pub cause: Option<GrantCause>,
    /// How many failed since the last one that succeeded.
    pub failures: u32,
    /// Before then no refresh is tried.
    pub retry_at: Option<i64>,
    /// When the last one succeeded.
    pub refreshed: Option<i64>,
    /// When the refresh token ends unless it is used before.
    pub refresh_by: Option<i64>,
    /// How many attempts were claimed.
    pub attempts: u64,
    /// When the last attempt was claimed; `None` if none was.
    pub claimed: Option<i64>,
    /// Since when the outcome of an attempt is unknown.
    pub first_sent: Option<i64>,
    /// Which client the grant was given to; `None` if no refresh was tried.
    pub client_digest: Option<Vec<u8>>,
    /// Until when another server may be refreshing it, if it is not stopped meanwhile.
    pub leased_until: Option<i64>,
    /// A name of that server's process.
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

/// A grant that the server got itself, by the exchange of a code.
#[derive(Clone, Copy, Debug)]
pub struct NewGrant {
    /// The client that it was given to.
    pub client_digest: [u8; 32],
    /// When the refresh token ends unless it is used before.
    pub refresh_by: Option<i64>,
}

/// What the database knows of a record while it is locked.
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

/// Locks a record and reads which tokens it has.
fn lock(conn: &mut Conn, record: RecordId) -> Result<Option<Current>, StoreError> {
    let row = external_tokens::table.find(record.as_i64());
    let row = match conn {
        Conn::Sqlite(conn) => row.select(Current::as_select()).first(conn),
        Conn::Postgres(session) => row.select(Current::as_select()).for_update().first(session),
    };
    Ok(row.optional()?)
}

/// The generation of a record, which it keeps until the transaction ends; `None` if it is not there.
pub(crate) fn lock_generation(
    conn: &mut Conn,
    record: RecordId,
) -> Result<Option<i32>, StoreError> {
    Ok(lock(conn, record)?.map(|current| current.generation))
}

/// The row of a record.
pub(crate) fn find(conn: &mut Conn, record: RecordId) -> Result<Option<GrantRow>, StoreError> {
    let row = grants::table.find(record.as_i64());
    Ok(on_backend!(conn, |conn| row.select(GrantRow::as_select()).first(conn)).optional()?)
}

/// The generation that a record has; `None` if it has ended or is not there.
pub(crate) fn generation(conn: &mut Conn, record: RecordId) -> Result<Option<i32>, StoreError> {
    let living = external_tokens::table
        .find(record.as_i64())
        .filter(external_tokens::ended.is_null())
        .select(external_tokens::generation);
    Ok(on_backend!(conn, |conn| living.first(conn)).optional()?)
}

/// How many living records have grants of a client in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantCount {
    /// Which client of which provider.
    pub client_digest: Vec<u8>,
    /// The state.
    pub state: GrantState,
    /// The records.
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

/// Lets the next attempt of a record be made at once; whether it had to wait. What is known of the grant stays.
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

/// The grants of records, by their ids.
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
    /// Of a record whose grant was not used yet: no refresh was claimed, so that none is too early.
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

    /// Of a record that is saved with it.
    pub(crate) fn of_exchange(record: RecordId, grant: NewGrant, now: i64) -> Self {
        let NewGrant { client_digest, refresh_by } = grant;
        Self { refresh_by, ..Self::unused(record, client_digest, GrantState::Live, now) }
    }

    /// Adds the row of a new record.
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

/// Removes the rows of records that are removed.
pub(crate) fn remove(conn: &mut Conn, records: &[i64]) -> Result<(), StoreError> {
    let rows = grants::table.filter(grants::record.eq_any(records));
    on_backend!(conn, |conn| diesel::delete(rows).execute(conn))?;
    Ok(())
}
