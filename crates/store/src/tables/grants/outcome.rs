//! The outcome of an attempt: new tokens, or a failure.
//!
//! Invariant: every success is checked against the record's generation, and every failure against the attempt's number,
//! so that a late one never counts for another.

use diesel::prelude::*;
use model::{CauseKind, GrantCause, GrantState, RecordId};

use super::{GrantRow, claim::Attempt, find, lock, write};
use crate::{
    StoreError,
    backend::conn::Conn,
    tables::{external_tokens::SealedTokens, keks, schema::external_tokens},
};

/// Expiry times of new tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshTimes {
    /// Expiry of the access token, in microseconds since 1970 UTC by the database's clock.
    pub access_expires: Option<i64>,
    /// Expiry of the refresh token unless it is used before.
    pub refresh_by: Option<i64>,
}

/// New tokens, sealed for a record.
#[derive(Clone)]
pub(crate) struct Replacement {
    pub(crate) record: RecordId,
    /// The number of the attempt that got them.
    pub(crate) attempt: i64,
    /// The generation of the replaced tokens.
    pub(crate) replaced: i32,
    pub(crate) key_digest: [u8; 32],
    pub(crate) times: RefreshTimes,
    pub(crate) sealed: SealedTokens,
}

/// Outcome of committing new tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The record has the new tokens.
    Done {
        /// Whether the grant was failing or dead before.
        has_recovered: bool,
    },
    /// The record ended meanwhile; the tokens were dropped.
    Ended,
    /// There is no such record; it may belong to another database.
    Absent,
    /// A later attempt got other tokens; these were dropped.
    Superseded,
    /// The database is away; the sealed tokens wait in a file.
    Unsaved,
}

/// The cause of a failed attempt, and its consequences.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// The new state of the grant; `None` keeps its state, cause and pause.
    pub state: Option<GrantState>,
    /// The cause.
    pub cause: GrantCause,
    /// Pause before the next attempt, in microseconds.
    pub pause_us: i64,
    /// Whether the failure lengthens the next pause.
    pub counts: bool,
    /// Whether the outcome is unknown: the provider may have spent the refresh token.
    pub is_ambiguous: bool,
}

/// The effect of a failed attempt on its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the state changed.
    pub is_other_state: bool,
    /// The cause: that of the attempt, or that the answer to an earlier one was lost.
    pub cause: GrantCause,
}

/// Replaces the tokens that the attempt was made with. `KeyRetired`: the database does not know their master key.
pub(crate) fn commit(
    conn: &mut Conn,
    now: i64,
    new: &Replacement,
) -> Result<Committed, StoreError> {
    let Replacement { record, attempt, replaced, times, sealed, .. } = new;
    keks::hold(conn, &sealed.kek_id)?;
    let Some(current) = lock(conn, *record)?.filter(|found| found.key_digest == new.key_digest)
    else {
        return Ok(Committed::Absent);
    };
    if !current.lives(now) {
        return Ok(Committed::Ended);
    }
    let row = find(conn, *record)?;
    // The provider answered the later request last, so its tokens are the valid ones.
    let is_later = current.generation == replaced + 1
        && row.as_ref().and_then(|row| row.won_by).is_some_and(|won_by| won_by < *attempt);
    // A database that lost its last commits has an earlier generation, or no row. The new tokens are newer than its
    // own.
    if current.generation > *replaced && !is_later {
        return Ok(Committed::Superseded);
    }
    put(conn, now, *record, sealed, times.access_expires)?;
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
        // An unknown outcome concerns the old tokens.
        first_sent: None,
        refreshed: Some(now),
        refresh_by: times.refresh_by,
        won_by: Some(*attempt),
        ..row
    };
    write(conn, &row)?;
    Ok(Committed::Done { has_recovered })
}

/// Ends an attempt that spent no refresh token, such as one for a revocation. An unknown outcome stays unknown.
pub(crate) fn release(conn: &mut Conn, now: i64, attempt: &Attempt) -> Result<(), StoreError> {
    let nothing = Failure {
        state: None,
        cause: CauseKind::Network.into(),
        pause_us: 0,
        counts: false,
        is_ambiguous: false,
    };
    fail(conn, now, attempt, nothing).map(drop)
}

/// Writes tokens into the row of a record, which the caller has locked.
pub(super) fn put(
    conn: &mut Conn,
    now: i64,
    record: RecordId,
    sealed: &SealedTokens,
    access_expires: Option<i64>,
) -> Result<(), StoreError> {
    let tokens = (
        external_tokens::generation.eq(sealed.generation),
        external_tokens::kek_id.eq(&sealed.kek_id),
        external_tokens::wrapped_dek.eq(&sealed.wrapped_dek),
        external_tokens::sealed.eq(&sealed.sealed),
        external_tokens::updated.eq(now),
        external_tokens::access_expires.eq(access_expires),
    );
    let changed = external_tokens::table.find(record.as_i64());
    diesel::update(changed).set(tokens).execute(conn)?;
    Ok(())
}

/// Records a failed attempt. Returns `None` if another attempt was made meanwhile, which is judged separately.
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
    // A problem with the client is not one of the grant.
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
