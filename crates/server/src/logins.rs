//! Signing in with a password: throttled, bounded, remembered (CONTRACT 26, 33).
//!
//! Invariant: an unknown user, a disabled one and a wrong password are answered alike, after the same
//! work.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use auth::{AuthError, BasicCredentials, HashMemory, Password, VerifiedLogins};
use model::{PasswordHash, TenantId, User};
use store::{Store, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::{Span, info, warn};

use crate::{
    clients,
    config::access,
    problem::Problem,
    throttle::{Throttle, Try},
};

/// How many passwords may wait to be hashed, for each core: past that callers are told to come back.
const WAITING: usize = 64;

/// What is known of the passwords that were tried lately.
pub(crate) struct Logins {
    known: Arc<Known>,
    /// How many passwords may be hashed at a time: each takes a core and 19 MiB.
    hashing: Arc<Semaphore>,
    waiting: Semaphore,
    most_waiting: usize,
}

/// A place among those whose password is hashed, or soon.
struct Place<'a> {
    logins: &'a Logins,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Place<'_> {
    /// The last to leave gives the memory back.
    fn drop(&mut self) {
        self.permit.take();
        if self.logins.waiting.available_permits() == self.logins.most_waiting {
            self.logins.known.memory().clear();
        }
    }
}

struct Known {
    verified: VerifiedLogins,
    throttle: Throttle,
    /// As many as were in use at a time, until nobody waits.
    memory: Mutex<Vec<HashMemory>>,
}

impl Logins {
    pub(crate) fn new(limits: access::Throttle) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let known = Known {
            verified: VerifiedLogins::new(),
            throttle: Throttle::new(limits),
            memory: Mutex::default(),
        };
        Self {
            known: Arc::new(known),
            hashing: Arc::new(Semaphore::new(cores)),
            waiting: Semaphore::new(cores * WAITING),
            most_waiting: cores * WAITING,
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
        let network = address.map(clients::network);
        let tried = Try { tenant: tenant.clone(), login, network };
        self.known.throttle.check_user_and_network(&tried)?;
        let user = store.user(tenant, &tried.login).await?;
        if let Some(user) = &user {
            // Nobody else's name: what is no user may be a password in the wrong field.
            Span::current()
                .record("tenant.id", user.tenant.as_str())
                .record("user.login", user.login.as_str());
        }
        let user = user.filter(|user| !user.is_disabled);
        let is_remembered =
            || self.known.verified.contains(user.as_ref(), &password, network, Instant::now());
        if let (true, Some(user)) = (is_remembered(), &user) {
            return Ok(user.clone());
        }
        let _place = self.place()?;
        let permit = Arc::clone(&self.hashing)
            .acquire_owned()
            .await
            .map_err(|closed| Problem::internal(&closed))?;
        // Of many calls that begin at once with the right password, the first pays for all.
        if let (true, Some(user)) = (is_remembered(), &user) {
            return Ok(user.clone());
        }
        self.known.throttle.check_all(&tried)?;
        let known = Arc::clone(&self.known);
        let verified = tokio::task::spawn_blocking(move || {
            // Held until the outcome is known to whoever waits, also if this caller goes away.
            let _permit = permit;
            known.verify(user, &password, &tried)
        })
        .await
        .map_err(|panicked| Problem::internal(&panicked))?;
        let (user, renewed) = verified.ok_or(AuthError::Refused)?;
        if let Some(hash) = renewed
            && let Err(error) = store.rehash(user.clone(), hash).await
        {
            warn!(%error, "a password could not be hashed anew");
        }
        info!("password verified");
        Ok(user)
    }
}

impl Logins {
    fn place(&self) -> Result<Place<'_>, StoreError> {
        let permit = self.waiting.try_acquire().map_err(|_full| StoreError::Overloaded)?;
        Ok(Place { logins: self, permit: Some(permit) })
    }
}

impl Known {
    /// The user if the password is right, with the password hashed anew if its hash is outdated; or one
    /// failure more. Slow on purpose.
    fn verify(
        &self,
        user: Option<User>,
        password: &Password,
        tried: &Try,
    ) -> Option<(User, Option<PasswordHash>)> {
        let mut memory = self.memory().pop().unwrap_or_default();
        let hash = user.as_ref().map(|user| &user.password_hash);
        let is_right = auth::verify(password, hash, &mut memory);
        self.memory().push(memory);
        let Some(user) = user.filter(|_| is_right) else {
            self.throttle.failed(tried);
            return None;
        };
        self.verified.remember(&user, password, tried.network, Instant::now());
        let renewed = auth::is_outdated(&user.password_hash).then(|| auth::hash(password));
        Some((user, renewed))
    }

    fn memory(&self) -> MutexGuard<'_, Vec<HashMemory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
