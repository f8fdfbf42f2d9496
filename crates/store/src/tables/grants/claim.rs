//! Claims: the right of a server to send the next request with a record's refresh token.
//!
//! Invariant: every attempt is in the table before its request is sent. At most one running server has an attempt for a
//! record at a time.

use std::sync::Arc;

use model::{GrantState, RecordId};

use super::{
    Grant, GrantRow, find,
    lease::{LEASE_US, Lease, LeaseHolder},
    lock, write,
};
use crate::{StoreError, backend::conn::Conn};

/// How long after its lease a suspended server may return with new tokens, in microseconds.
const COMES_BACK_WITHIN_US: i64 = 3_600_000_000;

/// A request to refresh a record, or to revoke its grant.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The record.
    pub record: RecordId,
    /// The generation whose tokens would be sent.
    pub generation: i32,
    /// The client that would send it.
    pub client_digest: [u8; 32],
    /// Minimum time since the last claim, in microseconds. The grant must not be paused either. `None` for a
    /// revocation, which ignores both.
    pub pause_us: Option<i64>,
    /// An attempt of this process whose request was never sent, to be replaced by the new one.
    pub unsent: Option<Attempt>,
}

/// Outcome of a claim.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// This process may send the record's tokens.
    Ours(Attempt),
    /// The record has other tokens now, or none; read it again.
    Moved,
    /// Another server is refreshing it.
    Leased,
    /// The grant is paused, or belongs to another client.
    NotNow,
    /// New tokens of the record wait in a file, and cannot be committed yet.
    Unsaved,
}

/// The right to send one request with the refresh token of a record, or to revoke its grant. It is renewed while a
/// clone of it lives.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The record.
    pub record: RecordId,
    /// The generation whose refresh token is sent.
    pub generation: i32,
    /// The attempt's number.
    pub number: i64,
    /// Time of the claim, in microseconds since 1970 UTC by the database's clock.
    pub claimed: i64,
    /// Time of the first attempt with an unknown outcome, or of this attempt if there is none.
    pub first_sent: i64,
    /// Whether an earlier attempt has an unknown outcome, so that the refresh token may be spent already.
    pub is_replay: bool,
    /// Whether that earlier attempt belonged to another server, whose lease expired.
    pub is_taken_over: bool,
    /// The attempt that got the tokens of this generation.
    pub(super) won_by: Option<i64>,
    /// The lease to renew, if other servers use the database.
    pub(crate) _lease: Option<Arc<Lease>>,
}

impl Grant {
    /// Returns whether another server has the right to refresh the record at this time.
    pub(crate) fn is_leased(&self, holder: &LeaseHolder, now: i64) -> bool {
        let is_others = self.lease_by.as_ref().is_some_and(|by| *by != holder.boot);
        let holds = |until: i64| until > now || !holder.may_take_over;
        is_others && holder.is_shared && self.leased_until.is_some_and(holds)
    }

    /// Returns whether another server may return with tokens that replace the record's current ones. Such a server has
    /// a lease, or had one within the last hour without reporting an outcome.
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
    /// Returns whether no other attempt of this row has an unknown outcome.
    fn is_first_of(&self, row: &GrantRow) -> bool {
        row.attempt == self.number && !self.is_replay
    }
}
