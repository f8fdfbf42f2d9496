//! The grants table: claims of refreshes, and what became of them.
//!
//! Invariant: an attempt is in the table before its request is sent. Its success is guarded by the generation of the
//! record, and its failure by the number of the attempt, so that a late one never speaks for another.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use diesel::prelude::*;
use model::{CauseKind, GrantCause, GrantState, RecordId};

use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    tables::{
        external_tokens::SealedTokens,
        schema::{external_tokens, grants, keks},
    },
};

/// The version of the migration that made the table, and the others that belong to it.
pub(crate) const MIGRATION: &str = "20261128180000";
/// How long a claim holds unless it is renewed, in microseconds.
const LEASE_US: i64 = 5_000_000;

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
    /// When the last attempt was claimed; `None` or 0 if none was.
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
            claimed: Some(row.claimed),
            first_sent: row.first_sent,
            client_digest: Some(row.client_digest),
            leased_until: row.lease_until,
            lease_by: row.lease_by,
        }
    }
}

impl Grant {
    /// Whether a server other than this one has the right to refresh it at this time.
    pub(crate) fn is_leased(&self, holder: &LeaseHolder, now: i64) -> bool {
        let is_others = self.lease_by.as_ref().is_some_and(|by| *by != holder.boot);
        let holds = |until: i64| until > now || !holder.may_take_over;
        is_others && holder.is_shared && self.leased_until.is_some_and(holds)
    }
}

/// Who claims.
#[derive(Clone, Debug)]
pub(crate) struct LeaseHolder {
    /// A name of this process, which no other has.
    pub(crate) boot: String,
    /// Whether other servers may use the database at the same time. Otherwise a lease of another process is one of a
    /// process that ended.
    pub(crate) is_shared: bool,
    /// Whether leases of others that ran out are over. For a while after an outage they are not, because their servers
    /// may be on their way back to the database with new tokens.
    pub(crate) may_take_over: bool,
}

/// The wish to refresh a record.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Which one.
    pub record: RecordId,
    /// The generation whose refresh token would be sent.
    pub generation: i32,
    /// The client that would send it.
    pub client_digest: [u8; 32],
    /// No attempt may have been claimed within this time, in microseconds.
    pub pause_us: i64,
    /// An attempt of this process whose request was never sent: this one takes its place.
    pub unsent: Option<Attempt>,
}

/// What became of a claim.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// This process may refresh the record.
    Ours(Attempt),
    /// The record has other tokens now, or none: it must be read again.
    Moved,
    /// Another server is refreshing it.
    Leased,
    /// The grant waits until a time, or is another client's.
    NotNow,
    /// New tokens of the record wait in a file, and cannot be committed yet.
    Unsaved,
}

/// The right to send one request with the refresh token of a record. It is renewed while there is a clone of it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Of which record.
    pub record: RecordId,
    /// The generation whose refresh token is sent.
    pub generation: i32,
    /// Its number.
    pub number: i64,
    /// When it was claimed, in microseconds since 1970 UTC by the database's clock.
    pub claimed: i64,
    /// When the first of the attempts began whose outcome is unknown; this one, if there was none before.
    pub first_sent: i64,
    /// Whether there was one before: then the refresh token may be spent already.
    pub is_replay: bool,
    /// Whether that one was another server's, which let its lease run out.
    pub is_taken_over: bool,
    /// The attempt that got the tokens of this generation.
    won_by: Option<i64>,
    /// What is renewed, where other servers use the database.
    pub(crate) _lease: Option<Arc<Lease>>,
}

/// A lease among those that this process renews, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Arc<Leases>,
    record: i64,
    number: i64,
}

/// The leases that this process renews: the number of an attempt by its record.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<BTreeMap<i64, i64>>);

impl Leases {
    pub(crate) fn hold(self: &Arc<Self>, attempt: &Attempt) -> Arc<Lease> {
        let (record, number) = (attempt.record.as_i64(), attempt.number);
        self.attempts().insert(record, number);
        Arc::new(Lease { leases: Arc::clone(self), record, number })
    }

    /// Records and numbers, by record.
    pub(crate) fn list(&self) -> Vec<(i64, i64)> {
        self.attempts().iter().map(|(record, number)| (*record, *number)).collect()
    }

    fn attempts(&self) -> MutexGuard<'_, BTreeMap<i64, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut attempts = self.leases.attempts();
        if attempts.get(&self.record) == Some(&self.number) {
            attempts.remove(&self.record);
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

/// When new tokens end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshTimes {
    /// When the access token ends, in microseconds since 1970 UTC by the database's clock.
    pub access_expires: Option<i64>,
    /// When the refresh token ends unless it is used before.
    pub refresh_by: Option<i64>,
}

/// New tokens of a record, as they were sealed for it.
#[derive(Clone)]
pub(crate) struct Replacement {
    pub(crate) record: RecordId,
    /// The number of the attempt that got them.
    pub(crate) attempt: i64,
    /// The generation of the tokens that these replace.
    pub(crate) replaced: i32,
    pub(crate) key_digest: [u8; 32],
    pub(crate) times: RefreshTimes,
    pub(crate) sealed: SealedTokens,
}

/// What became of new tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The record has them; whether its grant was failing or dead before.
    Done {
        /// Whether the state of the grant was another before.
        has_recovered: bool,
    },
    /// The record ended meanwhile: they were dropped.
    Ended,
    /// There is no such record: it may be one of another database.
    Absent,
    /// A later attempt got other tokens: these were dropped.
    Superseded,
    /// The database is away: the sealed tokens wait in a file.
    Unsaved,
}

/// Why an attempt failed, and what follows.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// The state that the grant is in from now on; `None` if it stays what it is, with its cause and its pause.
    pub state: Option<GrantState>,
    /// Why.
    pub cause: GrantCause,
    /// For how long no other attempt is made, in microseconds.
    pub pause_us: i64,
    /// Whether the failure counts for a longer pause next time.
    pub counts: bool,
    /// Whether the outcome is unknown: the provider may have spent the refresh token.
    pub is_ambiguous: bool,
}

/// What a failed attempt made of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the state is another now.
    pub is_other_state: bool,
    /// The cause: that of the attempt, or that the answer to an earlier one was lost.
    pub cause: GrantCause,
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

/// Claims a record for one request. `now` is the database's time.
pub(crate) fn claim(
    conn: &mut Conn,
    now: i64,
    holder: &LeaseHolder,
    claim: &Claim,
) -> Result<Claimed, StoreError> {
    match lock(conn, claim.record)? {
        Some(current) if current.lives(now) && current.generation == claim.generation => {}
        _ => return Ok(Claimed::Moved),
    }
    let before = find(conn, claim.record)?;
    if let Some(row) = &before {
        let known = Grant::from(row.clone());
        if known.is_leased(holder, now) {
            return Ok(Claimed::Leased);
        }
        let is_early = row.retry_at.is_some_and(|retry_at| retry_at > now)
            || claim.unsent.is_none() && row.claimed.saturating_add(claim.pause_us) > now;
        if is_early || row.client_digest != claim.client_digest {
            return Ok(Claimed::NotNow);
        }
    }
    let is_unsent =
        |row: &GrantRow| claim.unsent.as_ref().is_some_and(|unsent| unsent.is_first_of(row));
    let earlier = before.as_ref().filter(|row| !is_unsent(row)).and_then(|row| row.first_sent);
    let attempt = Attempt {
        record: claim.record,
        generation: claim.generation,
        number: before.as_ref().map_or(0, |row| row.attempt) + 1,
        claimed: now,
        first_sent: earlier.unwrap_or(now),
        is_replay: earlier.is_some(),
        is_taken_over: earlier.is_some()
            && before
                .as_ref()
                .is_some_and(|row| row.lease_by.as_ref().is_some_and(|by| *by != holder.boot)),
        won_by: before.as_ref().and_then(|row| row.won_by),
        _lease: None,
    };
    let is_new = before.is_none();
    let row = GrantRow {
        attempt: attempt.number,
        claimed: now,
        first_sent: Some(attempt.first_sent),
        lease_by: Some(holder.boot.clone()),
        lease_until: Some(now + LEASE_US),
        ..before.unwrap_or_else(|| GrantRow::new(claim, now))
    };
    if is_new {
        row.insert(conn)?;
    } else {
        write(conn, &row)?;
    }
    Ok(Claimed::Ours(attempt))
}

impl Attempt {
    /// Whether no other attempt of this row has an outcome that is unknown.
    fn is_first_of(&self, row: &GrantRow) -> bool {
        row.attempt == self.number && !self.is_replay
    }
}

impl GrantRow {
    /// Of a record whose grant is used for the first time: that it works is not known to be wrong.
    fn new(claim: &Claim, now: i64) -> Self {
        Self {
            record: claim.record.as_i64(),
            client_digest: claim.client_digest.to_vec(),
            state: GrantState::Unknown.name().to_owned(),
            since: now,
            cause: None,
            failures: 0,
            retry_at: None,
            refreshed: None,
            refresh_by: None,
            attempt: 0,
            claimed: now,
            first_sent: None,
            won_by: None,
            lease_by: None,
            lease_until: None,
        }
    }

    /// Of a record that is saved with it.
    pub(crate) fn of_exchange(record: RecordId, grant: NewGrant, now: i64) -> Self {
        Self {
            record: record.as_i64(),
            client_digest: grant.client_digest.to_vec(),
            state: GrantState::Live.name().to_owned(),
            since: now,
            cause: None,
            failures: 0,
            retry_at: None,
            refreshed: None,
            refresh_by: grant.refresh_by,
            attempt: 0,
            // No refresh was claimed yet, so that none is too early.
            claimed: 0,
            first_sent: None,
            won_by: None,
            lease_by: None,
            lease_until: None,
        }
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

/// Puts new tokens in the place of those that the attempt was made with. `KeyRetired` if the database does not know
/// their master key.
pub(crate) fn commit(
    conn: &mut Conn,
    now: i64,
    new: &Replacement,
) -> Result<Committed, StoreError> {
    let Replacement { record, attempt, replaced, times, sealed, .. } = new;
    let known = keks::table.find(&sealed.kek_id).select(keks::id);
    let known: Option<String> = match conn {
        Conn::Sqlite(conn) => known.first(conn),
        Conn::Postgres(session) => known.for_key_share().first(session),
    }
    .optional()?;
    known.ok_or_else(|| StoreError::KeyRetired(sealed.kek_id.clone()))?;
    let Some(current) = lock(conn, *record)?.filter(|found| found.key_digest == new.key_digest)
    else {
        return Ok(Committed::Absent);
    };
    if !current.lives(now) {
        return Ok(Committed::Ended);
    }
    let row = find(conn, *record)?;
    // The provider answered the later request last, so that its tokens are those that live.
    let is_later = current.generation == replaced + 1
        && row.as_ref().and_then(|row| row.won_by).is_some_and(|won_by| won_by < *attempt);
    // A database that lost its last commits has an earlier generation, or no row: the tokens are newer than what it has.
    if current.generation > *replaced && !is_later {
        return Ok(Committed::Superseded);
    }
    let tokens = (
        external_tokens::generation.eq(sealed.generation),
        external_tokens::kek_id.eq(&sealed.kek_id),
        external_tokens::wrapped_dek.eq(&sealed.wrapped_dek),
        external_tokens::sealed.eq(&sealed.sealed),
        external_tokens::updated.eq(now),
        external_tokens::access_expires.eq(times.access_expires),
    );
    let changed = external_tokens::table.find(record.as_i64());
    diesel::update(changed).set(tokens).execute(conn)?;
    let Some(mut row) = row else { return Ok(Committed::Done { has_recovered: false }) };
    let had_failed = row.state != GrantState::Unknown.name();
    let has_recovered = row.set_state(GrantState::Live, now) && had_failed;
    if row.attempt == *attempt {
        row = GrantRow { lease_by: None, lease_until: None, ..row };
    }
    let row = GrantRow {
        cause: None,
        failures: 0,
        retry_at: None,
        // What is open is about the tokens before.
        first_sent: None,
        refreshed: Some(now),
        refresh_by: times.refresh_by,
        won_by: Some(*attempt),
        ..row
    };
    write(conn, &row)?;
    Ok(Committed::Done { has_recovered })
}

/// Notes that an attempt failed. `None` if another one was made meanwhile, which is judged by itself.
pub(crate) fn fail(
    conn: &mut Conn,
    now: i64,
    attempt: &Attempt,
    failure: Failure,
) -> Result<Option<Verdict>, StoreError> {
    let Some(current) = lock(conn, attempt.record)? else { return Ok(None) };
    let Some(row) = find(conn, attempt.record)? else { return Ok(None) };
    let is_ours = row.attempt == attempt.number && row.won_by == attempt.won_by;
    if !is_ours || current.generation != attempt.generation {
        return Ok(None);
    }
    // What the provider has against the client is not the grant's.
    let is_grants = failure.state.is_some();
    let is_dead = failure.state == Some(GrantState::Dead);
    let is_open = failure.is_ambiguous || attempt.is_replay && !is_dead;
    let cause = match failure.cause.kind {
        CauseKind::InvalidGrant if is_dead && attempt.is_replay => CauseKind::LostAnswer.into(),
        _ => failure.cause,
    };
    let mut row = GrantRow {
        cause: if is_grants { Some(cause.to_string()) } else { row.cause },
        failures: row.failures.saturating_add(failure.counts.into()),
        retry_at: if is_grants { Some(now.saturating_add(failure.pause_us)) } else { row.retry_at },
        first_sent: row.first_sent.filter(|_| is_open),
        lease_by: None,
        lease_until: None,
        ..row
    };
    let is_other_state = failure.state.is_some_and(|state| row.set_state(state, now));
    write(conn, &row)?;
    Ok(Some(Verdict { is_other_state, cause }))
}

/// Renews the lease of one attempt; whether it is still the last one, and about the tokens that the record has.
pub(crate) fn hold(conn: &mut Conn, now: i64, attempt: &Attempt) -> Result<bool, StoreError> {
    let current = lock(conn, attempt.record)?;
    let is_same =
        |current: &Current| current.lives(now) && current.generation == attempt.generation;
    let row = find(conn, attempt.record)?;
    let is_last = |row: &GrantRow| row.attempt == attempt.number && row.lease_until.is_some();
    if !current.as_ref().is_some_and(is_same) || !row.as_ref().is_some_and(is_last) {
        return Ok(false);
    }
    renew(conn, now, &[(attempt.record.as_i64(), attempt.number)])?;
    Ok(true)
}

/// Renews the leases of attempts that go on, by record and number. The rows are locked in the order of their ids.
pub(crate) fn renew(conn: &mut Conn, now: i64, attempts: &[(i64, i64)]) -> Result<(), StoreError> {
    for (record, number) in attempts {
        let row = grants::table.find(record).filter(grants::attempt.eq(number));
        diesel::update(row.filter(grants::lease_until.is_not_null()))
            .set(grants::lease_until.eq(now + LEASE_US))
            .execute(conn)?;
    }
    Ok(())
}

/// Removes the rows of records that are removed.
pub(crate) fn remove(conn: &mut Conn, records: &[i64]) -> Result<(), StoreError> {
    let rows = grants::table.filter(grants::record.eq_any(records));
    on_backend!(conn, |conn| diesel::delete(rows).execute(conn))?;
    Ok(())
}
