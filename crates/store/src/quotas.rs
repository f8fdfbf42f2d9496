//! Quotas: the rows that a user has and may add.
//!
//! Invariant: no save waits for a count. Records are counted in the background, and saves of this process are added to
//! the count. With several servers, or before the first count, a user may exceed its quota by the records that were not
//! counted yet. At most `CAPACITY` users are cached.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use model::{Login, Principal, TenantId};

use crate::{Quota, StoreError, expiry_limits::IDEMPOTENCY_KEY_LIFETIME_US};

/// The most users to cache. Beyond that, one is evicted for each new one, and counted again when it saves.
const CAPACITY: usize = 10_000;
/// The most users to count in one batch.
const TOGETHER: usize = 100;

/// The most rows that a user may have.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Living credentials of each kind, at least 1. A new credential beyond that ends the one that was used longest
    /// ago.
    pub credentials: i64,
    /// Records, including ended ones until they are removed.
    pub records: u64,
    /// Idempotency keys in 24 hours, for each server.
    pub idempotency_keys: u64,
}

/// A user, by tenant and login.
pub(crate) type Key = (TenantId, Login);

/// Cached counts of the users who save.
#[derive(Default)]
pub(crate) struct RecordCounts(Mutex<HashMap<Key, RecordCount>>);

/// A user's counts.
struct RecordCount {
    /// Records at the last count, and those saved since.
    records: u64,
    /// Records saved since the last count.
    saved: u64,
    /// Time of the last count.
    counted: Option<Instant>,
    /// Whether a save was rejected since the last count.
    was_refused: bool,
    /// Idempotency keys of the last 24 hours, approximately, and the start of that period.
    keys: u64,
    keys_since: i64,
}

impl RecordCount {
    fn new(now: i64) -> Self {
        Self { records: 0, saved: 0, counted: None, was_refused: false, keys: 0, keys_since: now }
    }

    fn admit_key(&mut self, quotas: &Quotas, now: i64) -> Result<(), StoreError> {
        if !(self.keys_since..self.keys_since + IDEMPOTENCY_KEY_LIFETIME_US).contains(&now) {
            (self.keys, self.keys_since) = (0, now);
        }
        if self.keys >= quotas.idempotency_keys {
            let quota = Quota::IdempotencyKeys(quotas.idempotency_keys);
            return Err(StoreError::QuotaReached(quota));
        }
        Ok(())
    }

    /// Returns whether the user's records should be counted now. The first count is due at once. They are due at most
    /// once in `every`. Later counts need a reason: a save was rejected, the user is near its quota, or it saved a
    /// tenth of its quota.
    fn is_due(&self, most: u64, every: Duration) -> bool {
        let Some(counted) = self.counted else { return self.saved > 0 };
        let is_near = self.saved > 0 && self.records >= most / 10 * 9;
        let matters = self.was_refused || is_near || self.saved >= most / 10;
        matters && counted.elapsed() >= every
    }
}

impl RecordCounts {
    /// Checks whether a user may save a record.
    ///
    /// # Errors
    /// `QuotaReached`: the user has reached its quota of records or idempotency keys.
    pub(crate) fn admit(
        &self,
        owner: &Principal,
        has_key: bool,
        quotas: &Quotas,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count_of) = counts.get_mut(&key(owner)) else { return Ok(()) };
        if count_of.records >= quotas.records {
            count_of.was_refused = true;
            return Err(StoreError::QuotaReached(Quota::Records(quotas.records)));
        }
        if has_key { count_of.admit_key(quotas, now) } else { Ok(()) }
    }

    /// Checks whether a user may use another idempotency key for a call that adds no record.
    ///
    /// # Errors
    /// `QuotaReached`: the user has reached its quota of idempotency keys.
    pub(crate) fn admit_key(
        &self,
        owner: &Principal,
        quotas: &Quotas,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get_mut(&key(owner)).map_or(Ok(()), |count_of| count_of.admit_key(quotas, now))
    }

    /// Counts a saved record.
    pub(crate) fn saved(&self, owner: &Principal, has_key: bool, now: i64) {
        self.note(owner, now, |count_of| {
            count_of.records += 1;
            count_of.saved += 1;
            count_of.keys += u64::from(has_key);
        });
    }

    /// Counts an idempotency key of a call that added no record.
    pub(crate) fn key_used(&self, owner: &Principal, now: i64) {
        self.note(owner, now, |count_of| count_of.keys += 1);
    }

    fn note<T>(
        &self,
        owner: &Principal,
        now: i64,
        change: impl FnOnce(&mut RecordCount) -> T,
    ) -> T {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(owner);
        if counts.len() >= CAPACITY && !counts.contains_key(&key) {
            let other = counts.keys().next().cloned();
            other.map(|other| counts.remove(&other));
        }
        change(counts.entry(key).or_insert_with(|| RecordCount::new(now)))
    }

    /// Returns the number of records that the user has saved, if its records were never counted. Pass it to `counted`.
    pub(crate) fn uncounted(&self, owner: &Principal, now: i64) -> Option<u64> {
        self.note(owner, now, |count_of| count_of.counted.is_none().then_some(count_of.saved))
    }

    /// Checks whether a user may save this number of records.
    ///
    /// # Errors
    /// `QuotaReached`: the user would exceed its quota.
    pub(crate) fn admit_many(
        &self,
        owner: &Principal,
        records: u64,
        quotas: &Quotas,
    ) -> Result<(), StoreError> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has = counts.get(&key(owner)).map_or(0, |count_of| count_of.records);
        match has.saturating_add(records) > quotas.records {
            true => Err(StoreError::QuotaReached(Quota::Records(quotas.records))),
            false => Ok(()),
        }
    }

    /// Returns the users whose records should be counted now.
    pub(crate) fn due(&self, most: u64, every: Duration) -> Vec<Key> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = counts.iter().filter(|(_, count_of)| count_of.is_due(most, every));
        due.map(|(key, _)| key.clone()).take(TOGETHER).collect()
    }

    /// Returns the number of uncounted saves before a count begins. Pass it to `counted`.
    pub(crate) fn saved_before(&self, key: &Key) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(key).map_or(0, |count_of| count_of.saved)
    }

    /// Stores a user's record count. `before` is the number of saves that the count already includes.
    pub(crate) fn counted(&self, key: &Key, records: u64, before: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count_of) = counts.get_mut(key) else { return };
        count_of.saved = count_of.saved.saturating_sub(before);
        count_of.records = records + count_of.saved;
        (count_of.counted, count_of.was_refused) = (Some(Instant::now()), false);
    }
}

fn key(owner: &Principal) -> Key {
    (owner.tenant.clone(), owner.login.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTAS: Quotas = Quotas { credentials: 1, records: 20, idempotency_keys: 2 };

    fn principal(login: &str) -> Principal {
        let login = Login::parse(login).expect("login");
        Principal { tenant: TenantId::single(), login, is_administrator: false }
    }

    fn admits(counts: &RecordCounts, login: &str, has_key: bool) -> bool {
        counts.admit(&principal(login), has_key, &QUOTAS, 0).is_ok()
    }

    /// CONTRACT 35: a user is refused at its quota and not before, and others are not.
    #[test]
    fn a_user_is_refused_at_its_quota() {
        let counts = RecordCounts::default();
        let (ann, key) = (principal("ann"), key(&principal("ann")));
        counts.saved(&ann, false, 0);
        assert_eq!(counts.due(20, Duration::ZERO).len(), 1, "it was never counted");
        let before = counts.saved_before(&key);
        counts.saved(&ann, false, 0);
        counts.counted(&key, 18, before);
        assert!(admits(&counts, "ann", false), "18 and one more");
        assert_eq!(counts.due(20, Duration::ZERO).len(), 1, "it is near");
        assert_eq!(counts.due(20, Duration::from_secs(60)).len(), 0, "it was counted just now");
        counts.saved(&ann, false, 0);
        assert!(!admits(&counts, "ann", false) && admits(&counts, "bob", false));
        counts.counted(&key, 5, counts.saved_before(&key));
        assert!(admits(&counts, "ann", false), "some were removed");
        assert_eq!(counts.due(20, Duration::ZERO).len(), 0, "nothing was saved since");
    }

    /// CONTRACT 35: idempotency keys have a quota of their own.
    #[test]
    fn keys_are_counted_by_themselves() {
        let counts = RecordCounts::default();
        for _ in 0..2 {
            assert!(admits(&counts, "ann", true));
            counts.saved(&principal("ann"), true, 0);
        }
        assert!(!admits(&counts, "ann", true) && admits(&counts, "ann", false));
        let bob = principal("bob");
        for _ in 0..2 {
            counts.admit_key(&bob, &QUOTAS, 0).expect("admitted");
            counts.key_used(&bob, 0);
        }
        assert!(counts.admit_key(&bob, &QUOTAS, 0).is_err() && admits(&counts, "bob", false));
        assert!(counts.due(20, Duration::ZERO).iter().all(|user| *user != key(&bob)), "no record");
        let mut users = counts.0.lock().expect("lock");
        let count_of = users.get_mut(&key(&principal("ann"))).expect("known");
        count_of.keys_since -= IDEMPOTENCY_KEY_LIFETIME_US;
        drop(users);
        assert!(admits(&counts, "ann", true), "a day later");
    }

    #[test]
    fn many_records_are_admitted_as_far_as_they_fit() {
        let (counts, owner) = (RecordCounts::default(), principal("ann"));
        let quotas = Quotas { credentials: 1, records: 10, idempotency_keys: 1 };
        assert_eq!(counts.uncounted(&owner, 0), Some(0));
        counts.counted(&key(&owner), 7, 0);
        assert_eq!(counts.uncounted(&owner, 0), None, "it was counted");
        counts.admit_many(&owner, 3, &quotas).expect("it fits");
        counts.saved(&owner, false, 0);
        let refused = counts.admit_many(&owner, 3, &quotas).expect_err("one too many");
        assert!(matches!(refused, StoreError::QuotaReached(Quota::Records(10))), "{refused}");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let counts = RecordCounts::default();
        for number in 0..CAPACITY + 10 {
            counts.saved(&principal(&format!("user{number}")), false, 0);
        }
        assert_eq!(counts.0.lock().expect("lock").len(), CAPACITY);
    }
}
