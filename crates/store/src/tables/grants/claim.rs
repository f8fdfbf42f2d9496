//! Claims: who may send the next request with a record's refresh token.
//!
//! Invariant: an attempt is in the table before its request is sent, and no two servers that run have one at a time.

use std::sync::Arc;

use model::{GrantState, RecordId};

use super::{
    Grant, GrantRow, find,
    lease::{LEASE_US, Lease, LeaseHolder},
    lock, write,
};
use crate::{StoreError, backend::conn::Conn};

/// For how long after its lease a server that was stopped may come back with new tokens, in microseconds.
const COMES_BACK_WITHIN_US: i64 = 3_600_000_000;

/// The wish to refresh a record, or to revoke its grant.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Which one.
    pub record: RecordId,
    /// The generation whose tokens would be sent.
    pub generation: i32,
    /// The client that would send it.
    pub client_digest: [u8; 32],
    /// No attempt may have been claimed within this time, in microseconds, and the grant must not wait for another one.
    /// `None` for a revocation, which waits for neither.
    pub pause_us: Option<i64>,
    /// An attempt of this process whose request was never sent: this one takes its place.
    pub unsent: Option<Attempt>,
}

/// What became of a claim.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// This process may send the record's tokens.
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

/// The right to send one request with the refresh token of a record, or to revoke its grant. It is renewed while there is a clone of it.
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
    pub(super) won_by: Option<i64>,
    /// What is renewed, where other servers use the database.
    pub(crate) _lease: Option<Arc<Lease>>,
}

impl Grant {
    /// Whether a server other than this one has the right to refresh it at this time.
    pub(crate) fn is_leased(&self, holder: &LeaseHolder, now: i64) -> bool {
        let is_others = self.lease_by.as_ref().is_some_and(|by| *by != holder.boot);
        let holds = |until: i64| until > now || !holder.may_take_over;
        is_others && holder.is_shared && self.leased_until.is_some_and(holds)
    }

    /// Whether a server other than this one may come back with tokens that replace what the record has now: it has the
    /// right to refresh it, or let that run out within an hour and did not say what became of it.
    pub(super) fn may_be_refreshed_elsewhere(&self, holder: &LeaseHolder, now: i64) -> bool {
        let is_others = self.lease_by.as_ref().is_some_and(|by| *by != holder.boot);
        let is_recent = |until: i64| until.saturating_add(COMES_BACK_WITHIN_US) > now;
        let is_open = is_others && holder.is_shared && self.first_sent.is_some();
        is_open && self.leased_until.is_some_and(is_recent) || self.is_leased(holder, now)
    }
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
        let is_early = |pause_us: i64| {
            row.retry_at.is_some_and(|retry_at| retry_at > now)
                || claim.unsent.is_none() && row.claimed.saturating_add(pause_us) > now
        };
        if claim.pause_us.is_some_and(is_early) || row.client_digest != claim.client_digest {
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
        ..before.unwrap_or_else(|| {
            GrantRow::unused(claim.record, claim.client_digest, GrantState::Unknown, now)
        })
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
