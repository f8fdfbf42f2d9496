//! Leases: the right of a server to refresh a record, for some seconds.
//!
//! Invariant: a lease is renewed exactly as long as its attempt, or the file with the attempt's tokens, is held.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use diesel::prelude::*;

use super::{Current, GrantRow, claim::Attempt, find, lock};
use crate::{StoreError, backend::conn::Conn, tables::schema::grants};

/// How long a claim holds unless it is renewed, in microseconds.
pub(super) const LEASE_US: i64 = 5_000_000;

/// The process that claims.
#[derive(Clone, Debug)]
pub(crate) struct LeaseHolder {
    /// The unique name of this process.
    pub(crate) boot: String,
    /// Whether other servers may use the database at the same time. If not, a lease of another process belongs to one
    /// that has ended.
    pub(crate) is_shared: bool,
    /// Whether expired leases of other servers may be taken over. For a while after an outage they may not, because
    /// those servers may be returning with new tokens.
    pub(crate) may_take_over: bool,
}

/// A lease that this process renews until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Arc<Leases>,
    record: i64,
    number: i64,
}

/// The leases that this process renews: attempt numbers by record.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<BTreeMap<i64, i64>>);

impl Leases {
    pub(crate) fn hold(self: &Arc<Self>, attempt: &Attempt) -> Arc<Lease> {
        let (record, number) = (attempt.record.as_i64(), attempt.number);
        self.attempts().insert(record, number);
        Arc::new(Lease { leases: Arc::clone(self), record, number })
    }

    /// Returns pairs of record and attempt number, ordered by record.
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

/// Renews the lease of an attempt. Returns whether the attempt is still the last one for the record's current tokens.
pub(crate) fn renew(conn: &mut Conn, now: i64, attempt: &Attempt) -> Result<bool, StoreError> {
    let current = lock(conn, attempt.record)?;
    let is_same =
        |current: &Current| current.lives(now) && current.generation == attempt.generation;
    let row = find(conn, attempt.record)?;
    let is_last = |row: &GrantRow| row.attempt == attempt.number && row.lease_until.is_some();
    if !current.as_ref().is_some_and(is_same) || !row.as_ref().is_some_and(is_last) {
        return Ok(false);
    }
    renew_all(conn, now, &[(attempt.record.as_i64(), attempt.number)])?;
    Ok(true)
}

/// Renews the leases of these attempts, given by record and number. Locks the rows in the order of their ids.
pub(crate) fn renew_all(
    conn: &mut Conn,
    now: i64,
    attempts: &[(i64, i64)],
) -> Result<(), StoreError> {
    for (record, number) in attempts {
        let row = grants::table.find(record).filter(grants::attempt.eq(number));
        diesel::update(row.filter(grants::lease_until.is_not_null()))
            .set(grants::lease_until.eq(now + LEASE_US))
            .execute(conn)?;
    }
    Ok(())
}
