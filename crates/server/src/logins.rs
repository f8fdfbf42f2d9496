//! Signing in with a password: throttled, bounded, remembered (CONTRACT 26, 33).
//!
//! Invariant: an unknown user, a disabled one and a wrong password are answered alike, after the same
//! work. A password that must be hashed counts against its user and its address, whoever the user is.

use std::{hash::Hash, net::IpAddr, num::NonZeroU32, sync::Arc, time::Instant};

use auth::{AuthError, BasicCredentials, VerifiedLogins};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, MonotonicClock},
    middleware::NoOpMiddleware,
    state::keyed::HashMapStateStore,
};
use model::{Login, TenantId, User};
use store::{Store, StoreError};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::{clients, config::access::Throttle, problem::Problem};

/// How many passwords may wait to be hashed, for each that is: past that callers are told to come back.
const WAITING: usize = 64;
/// Past this many keys those that are not throttled any more are forgotten.
const REMEMBERED_KEYS: usize = 10_000;

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, MonotonicClock, NoOpMiddleware<Instant>>;

/// What is known of the passwords that were tried lately.
pub(crate) struct Logins {
    verified: VerifiedLogins,
    /// How many passwords may be hashed at a time: each takes a core and 19 MiB.
    hashing: Arc<Semaphore>,
    waiting: Semaphore,
    by_user: Limiter<(TenantId, Login)>,
    by_address: Limiter<IpAddr>,
}

impl Logins {
    pub(crate) fn new(throttle: Throttle) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            verified: VerifiedLogins::new(),
            hashing: Arc::new(Semaphore::new(cores)),
            waiting: Semaphore::new(cores * WAITING),
            by_user: limiter(throttle.per_user),
            by_address: limiter(throttle.per_address),
        }
    }

    /// The user whose password this is.
    ///
    /// # Errors
    /// 401 if there is none, 429 after too many tries, 503 if too many passwords wait.
    pub(crate) async fn verify(
        &self,
        store: &Store,
        tenant: &TenantId,
        credentials: BasicCredentials,
        address: Option<IpAddr>,
    ) -> Result<User, Problem> {
        let BasicCredentials { login, password } = credentials;
        let user = store.user(tenant, &login).await?.filter(|user| !user.is_disabled);
        let is_known = || {
            let remembered = |user: &&User| self.verified.contains(user, &password, Instant::now());
            user.as_ref().filter(remembered).cloned()
        };
        if let Some(user) = is_known() {
            return Ok(user);
        }
        let _waiting = self.waiting.try_acquire().map_err(|_full| StoreError::Overloaded)?;
        let permit = Arc::clone(&self.hashing)
            .acquire_owned()
            .await
            .map_err(|closed| Problem::internal(&closed))?;
        // Of many calls that begin at once, the first pays for all.
        if let Some(user) = is_known() {
            return Ok(user);
        }
        self.throttle(tenant, &login, address)?;
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let tried = password.clone();
        let (is_right, renewed) = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let is_right = auth::verify(&tried, hash.as_ref());
            let is_outdated = is_right && hash.as_ref().is_some_and(auth::is_outdated);
            (is_right, is_outdated.then(|| auth::hash(&tried)))
        })
        .await
        .map_err(|panicked| Problem::internal(&panicked))?;
        let Some(mut user) = user.filter(|_| is_right) else {
            return Err(AuthError::Refused.into());
        };
        if let Some(hash) = renewed {
            match store.rehash(user.clone(), hash.clone()).await {
                Ok(()) => user.password_hash = hash,
                Err(error) => warn!(%error, "a password could not be hashed anew"),
            }
        }
        self.verified.remember(&user, &password, Instant::now());
        info!(tenant.id = %user.tenant, user.login = user.login.as_str(), "password verified");
        Ok(user)
    }

    /// Counts a try. The user comes first: who tries many passwords of one user does not use up what
    /// others at the same address have.
    fn throttle(
        &self,
        tenant: &TenantId,
        login: &Login,
        address: Option<IpAddr>,
    ) -> Result<(), Problem> {
        check(&self.by_user, &(tenant.clone(), login.clone()))?;
        address.map_or(Ok(()), |address| check(&self.by_address, &clients::network(address)))
    }
}

fn limiter<K: Hash + Eq + Clone>(per_minute: NonZeroU32) -> Limiter<K> {
    RateLimiter::new(Quota::per_minute(per_minute), HashMapStateStore::default(), MonotonicClock)
}

fn check<K: Hash + Eq + Clone>(limiter: &Limiter<K>, key: &K) -> Result<(), Problem> {
    if limiter.len() > REMEMBERED_KEYS {
        limiter.retain_recent();
    }
    limiter.check_key(key).map_err(|until| {
        let wait = until.wait_time_from(MonotonicClock.now());
        Problem::throttled(wait.as_secs() + 1)
    })
}
