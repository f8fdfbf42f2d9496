//! Rate limits for wrong passwords (CONTRACT 33).
//!
//! Invariants:
//! - Only failures count.
//! - A user with too many failures is rejected before any look-up, so that the response time reveals nothing.
//! - A user that signed in from a network within the last day is rejected there only for its own failures from there.
//!   Attempts by others do not count.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    num::{NonZeroU32, NonZeroUsize},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::MonotonicClock,
    middleware::{NoOpMiddleware, StateInformationMiddleware},
    state::keyed::HashMapStateStore,
};
use lru::LruCache;
use model::{Login, TenantId};

use super::error::CallerError;
use crate::config::auth as settings;

/// Above this number of keys, keys that are no longer blocked are evicted.
const MAX_KEYS: usize = 10_000;
/// The ratio of a user's limit over all networks to its limit for one network. An attacker who tries many passwords
/// locks the user out of one network, but not at once out of all.
const ALL_NETWORKS_FACTOR: u32 = 10;
/// The time for which a user counts as known in the network that it signed in from.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);
/// The maximum number of known users. The least recently used one is evicted first.
const MAX_KNOWN: NonZeroUsize = NonZeroUsize::new(10_000).expect("not 0");

/// The user whose password is tried, and its network. The network is `None` if it is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) tenant: TenantId,
    pub(crate) login: Login,
    pub(crate) network: Option<IpAddr>,
}

/// The recent failures, and the known users.
pub(crate) struct Throttle {
    by_user_and_network: Failures<Attempt>,
    by_user: Failures<(TenantId, Login)>,
    by_network: Failures<IpAddr>,
    /// The last sign-in of each known user.
    known: Mutex<LruCache<Attempt, Instant>>,
}

impl Throttle {
    pub(crate) fn new(limits: settings::Throttle) -> Self {
        let settings::Throttle { per_user, per_address } = limits;
        let everywhere =
            NonZeroU32::new(ALL_NETWORKS_FACTOR).expect("not 0").saturating_mul(per_user);
        Self {
            by_user_and_network: Failures::new(per_user),
            by_user: Failures::new(everywhere),
            by_network: Failures::new(per_address),
            known: Mutex::new(LruCache::new(MAX_KNOWN)),
        }
    }

    /// Rejects a user with too many failures from this network, also if its password is cached. Otherwise an attacker
    /// could tell a right guess from a wrong one.
    ///
    /// # Errors
    /// `Throttled`: the user has too many failures from this network.
    pub(crate) fn check_user_and_network(&self, attempt: &Attempt) -> Result<(), CallerError> {
        self.by_user_and_network.check(attempt)
    }

    /// Rejects a user with too many failures in total, and a network with too many failures. For a user that is known
    /// in this network only its own failures from there count.
    ///
    /// # Errors
    /// `Throttled`: one of the limits is reached.
    pub(crate) fn check_all(&self, attempt: &Attempt) -> Result<(), CallerError> {
        self.by_user_and_network.check(attempt)?;
        if self.is_known(attempt) {
            return Ok(());
        }
        self.by_user.check(&(attempt.tenant.clone(), attempt.login.clone()))?;
        attempt.network.map_or(Ok(()), |network| self.by_network.check(&network))
    }

    /// Returns whether the user signed in from this network within the last day.
    pub(crate) fn is_known(&self, attempt: &Attempt) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(attempt).is_some_and(|at| at.elapsed() < KNOWN_FOR)
    }

    /// Records a right password.
    pub(crate) fn succeeded(&self, attempt: &Attempt, now: Instant) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).put(attempt.clone(), now);
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, attempt: &Attempt) {
        self.by_user_and_network.count(attempt);
        self.by_user.count(&(attempt.tenant.clone(), attempt.login.clone()));
        if let Some(network) = attempt.network {
            self.by_network.count(&network);
        }
    }
}

/// The failures of one kind of key, and the blocked keys.
struct Failures<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, HashMapStateStore<K>, MonotonicClock, StateInformationMiddleware>,
    interval: Duration,
    refused_until: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq + Clone> Failures<K> {
    fn new(per_minute: NonZeroU32) -> Self {
        let quota = Quota::per_minute(per_minute);
        let states = HashMapStateStore::default();
        let limiter: RateLimiter<_, _, _, NoOpMiddleware<Instant>> =
            RateLimiter::new(quota, states, MonotonicClock);
        Self {
            limiter: limiter.with_middleware(),
            interval: quota.replenish_interval(),
            refused_until: Mutex::default(),
        }
    }

    fn check(&self, key: &K) -> Result<(), CallerError> {
        let refused_until = self.refused_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match refused_until.get(key) {
            Some(until) if now < *until => {
                Err(CallerError::Throttled { seconds: (*until - now).as_secs() + 1 })
            }
            _ => Ok(()),
        }
    }

    fn count(&self, key: &K) {
        let is_used_up = match self.limiter.check_key(key) {
            Ok(state) => state.remaining_burst_capacity() == 0,
            Err(_over) => true,
        };
        let mut refused_until = self.refused_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if is_used_up {
            refused_until.insert(key.clone(), now + self.interval);
        }
        if refused_until.len() > MAX_KEYS {
            refused_until.retain(|_, until| now < *until);
        }
        drop(refused_until);
        // Every 1000 keys only, because it visits every key.
        if self.limiter.len() > MAX_KEYS && self.limiter.len().is_multiple_of(1000) {
            self.limiter.retain_recent();
        }
    }
}
