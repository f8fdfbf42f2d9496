//! Signing in with a password: throttled, bounded, remembered (CONTRACT 26, 33).
//!
//! Invariant: an unknown user, a disabled one and a wrong password are answered alike, after the same
//! work.

use std::{net::IpAddr, sync::Arc, time::Instant};

use auth::{AuthError, BasicCredentials, Password, VerifiedLogins};
use model::{PasswordHash, TenantId, User};
use store::{Store, StoreError};
use tracing::{Span, info, warn};

use crate::{
    callers::{
        hashing::{Hashing, LaneKey, Permit},
        proxy_trust,
        throttle::{Throttle, Try},
    },
    config::access,
    http::problem::Problem,
};

/// How many passwords may wait to be hashed, for each core: past that callers are told to come back.
const WAITING: usize = 64;

/// What is known of the passwords that were tried lately.
pub(crate) struct Logins {
    known: Arc<Known>,
    /// One permit a core: a hash takes a core and 19 MiB.
    hashing: Hashing,
}

struct Known {
    verified: VerifiedLogins,
    throttle: Throttle,
}

impl Logins {
    pub(crate) fn new(limits: access::Throttle) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let known = Known { verified: VerifiedLogins::new(), throttle: Throttle::new(limits) };
        Self { known: Arc::new(known), hashing: Hashing::new(cores, cores * WAITING) }
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
        let network = address.map(proxy_trust::network);
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
            || self.known.verified.recalls(user.as_ref(), &password, network, Instant::now());
        if let (true, Some(user)) = (is_remembered(), &user) {
            return Ok(user.clone());
        }
        // What would be refused must not take a place of those that wait.
        self.known.throttle.check_all(&tried)?;
        let lane = if self.known.throttle.is_known(&tried) {
            LaneKey::Known(tried.clone())
        } else {
            LaneKey::Network(network)
        };
        let permit = self.hashing.permit(lane).await.ok_or(StoreError::Overloaded)?;
        // Of many calls that begin at once with the right password, the first pays for all.
        if let (true, Some(user)) = (is_remembered(), &user) {
            return Ok(user.clone());
        }
        self.known.throttle.check_all(&tried)?;
        let known = Arc::clone(&self.known);
        let verified = tokio::task::spawn_blocking(move || {
            // The permit is held until the outcome is known to those that wait, also if this caller leaves.
            known.verify(user, &password, &tried, permit)
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

impl Known {
    /// The user if the password is right, with the password hashed anew if its hash is outdated; or one
    /// failure more. Slow on purpose.
    fn verify(
        &self,
        user: Option<User>,
        password: &Password,
        tried: &Try,
        mut permit: Permit,
    ) -> Option<(User, Option<PasswordHash>)> {
        let hash = user.as_ref().map(|user| &user.password_hash);
        let is_right = auth::verify(password, hash, &mut permit.memory);
        let Some(user) = user.filter(|_| is_right) else {
            self.throttle.failed(tried);
            return None;
        };
        let now = Instant::now();
        self.verified.remember(&user, password, tried.network, now);
        self.throttle.succeeded(tried, now);
        let renewed = auth::is_outdated(&user.password_hash).then(|| auth::hash(password));
        Some((user, renewed))
    }
}
