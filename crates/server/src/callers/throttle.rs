//! How many passwords may be tried (CONTRACT 33).
//!
//! Invariant: only failures count. What was tried too often is refused before anything is looked up, so
//! that the time that it takes gives nothing away. A user that signed in from a network lately is refused
//! there only for wrong passwords of its own there, whatever others try.

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

use crate::{config::access, http::problem::Problem};

/// Past this many keys those that are not refused any more are forgotten.
const REMEMBERED_KEYS: usize = 10_000;
/// How much more a user may be tried from everywhere than from one network: somebody who tries many
/// passwords shuts the user out of one network, not at once of all.
const NETWORKS: u32 = 10;
/// For how long a user counts as known in the network that it signed in from.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);
/// How many are known at most; the one that was not looked for the longest is evicted first.
const KNOWN: NonZeroUsize = NonZeroUsize::new(10_000).expect("not 0");

/// Whose password is tried, and from where; `None` if that is not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Try {
    pub(crate) tenant: TenantId,
    pub(crate) login: Login,
    pub(crate) network: Option<IpAddr>,
}

/// The failures of the last minute.
pub(crate) struct Throttle {
    by_user_and_network: Failures<Try>,
    by_user: Failures<(TenantId, Login)>,
    by_network: Failures<IpAddr>,
    /// When each of them signed in.
    known: Mutex<LruCache<Try, Instant>>,
}

impl Throttle {
    pub(crate) fn new(limits: access::Throttle) -> Self {
        let access::Throttle { per_user, per_address } = limits;
        let everywhere = NonZeroU32::new(NETWORKS).expect("not 0").saturating_mul(per_user);
        Self {
            by_user_and_network: Failures::new(per_user),
            by_user: Failures::new(everywhere),
            by_network: Failures::new(per_address),
            known: Mutex::new(LruCache::new(KNOWN)),
        }
    }

    /// Refuses a user that was tried too often from this network; who is remembered there, too, or
    /// the right guess would be told from the wrong ones.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn check_user_and_network(&self, tried: &Try) -> Result<(), Problem> {
        self.by_user_and_network.check(tried)
    }

    /// Refuses a user that was tried too often from anywhere, and a network that tried too much; but of a
    /// user that is known there only its own wrong passwords count.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn check_all(&self, tried: &Try) -> Result<(), Problem> {
        self.by_user_and_network.check(tried)?;
        if self.is_known(tried) {
            return Ok(());
        }
        self.by_user.check(&(tried.tenant.clone(), tried.login.clone()))?;
        tried.network.map_or(Ok(()), |network| self.by_network.check(&network))
    }

    /// Whether the user signed in from this network within a day.
    pub(crate) fn is_known(&self, tried: &Try) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(tried).is_some_and(|at| at.elapsed() < KNOWN_FOR)
    }

    /// Notes that the password was right.
    pub(crate) fn succeeded(&self, tried: &Try, now: Instant) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).put(tried.clone(), now);
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, tried: &Try) {
        self.by_user_and_network.count(tried);
        self.by_user.count(&(tried.tenant.clone(), tried.login.clone()));
        if let Some(network) = tried.network {
            self.by_network.count(&network);
        }
    }
}

/// Failures of one kind of key, and the keys that are refused.
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

    fn check(&self, key: &K) -> Result<(), Problem> {
        let refused_until = self.refused_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match refused_until.get(key) {
            Some(until) if now < *until => Err(Problem::throttled((*until - now).as_secs() + 1)),
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
        if refused_until.len() > REMEMBERED_KEYS {
            refused_until.retain(|_, until| now < *until);
        }
        drop(refused_until);
        // Not at each count: it looks at every key.
        if self.limiter.len() > REMEMBERED_KEYS && self.limiter.len().is_multiple_of(1000) {
            self.limiter.retain_recent();
        }
    }
}
