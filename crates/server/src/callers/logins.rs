//! Signing in with a password: rate-limited, bounded, cached (CONTRACT 26, 33).
//!
//! Invariant: an unknown user, a disabled one and a wrong password are answered alike, after the same
//! work.

use std::{net::IpAddr, sync::Arc, time::Instant};

use auth::{AuthError, BasicCredentials, Password, VerifiedLogins};
use model::{PasswordHash, TenantId, User};
use store::Store;
use tracing::{Span, info, warn};

use super::{
    error::CallerError,
    hashing::{Hashing, LaneKey, Permit},
    proxy_trust,
    throttle::{Throttle, Try},
};
use crate::config::auth as settings;

/// How many passwords may wait to be hashed, for each core; past that callers are refused.
const WAITING: usize = 64;

/// Verifies logins and passwords.
pub(crate) struct Logins {
    attempts: Arc<Attempts>,
    /// One permit a core: a hash takes a core and 19 MiB.
    hashing: Hashing,
}

/// The passwords that were tried lately.
struct Attempts {
    verified: VerifiedLogins,
    throttle: Throttle,
}

impl Logins {
    pub(crate) fn new(limits: settings::Throttle) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let attempts =
            Attempts { verified: VerifiedLogins::new(), throttle: Throttle::new(limits) };
        Self { attempts: Arc::new(attempts), hashing: Hashing::new(cores, cores * WAITING) }
    }

    /// The user whose password this is.
    ///
    /// # Errors
    /// `AuthError::Refused` for an unknown or disabled user and for a wrong password; `Throttled` after too many
    /// failures; `TooManyPasswordsWait` if the queue is full.
    pub(crate) async fn verify(
        &self,
        store: &Store,
        tenant: &TenantId,
        credentials: BasicCredentials,
        address: Option<IpAddr>,
    ) -> Result<User, CallerError> {
        let BasicCredentials { login, password } = credentials;
        let network = address.map(proxy_trust::network);
        let tried = Try { tenant: tenant.clone(), login, network };
        self.attempts.throttle.check_user_and_network(&tried)?;
        let user = store.user(tenant, &tried.login).await?;
        if let Some(user) = &user {
            // Only the name of a user is logged: any other may be a password in the wrong field.
            Span::current()
                .record("tenant.id", user.tenant.as_str())
                .record("user.login", user.login.as_str());
        }
        let user = user.filter(|user| !user.is_disabled);
        let is_cached =
            || self.attempts.verified.recalls(user.as_ref(), &password, network, Instant::now());
        if let (true, Some(user)) = (is_cached(), &user) {
            return Ok(user.clone());
        }
        // A password that would be refused must not take room in the queue.
        self.attempts.throttle.check_all(&tried)?;
        let lane = if self.attempts.throttle.is_known(&tried) {
            LaneKey::Known(tried.clone())
        } else {
            LaneKey::Network(network)
        };
        let permit = self.hashing.permit(lane).await.ok_or(CallerError::TooManyPasswordsWait)?;
        // Of many calls that begin at once with the right password, only the first one hashes it.
        if let (true, Some(user)) = (is_cached(), &user) {
            return Ok(user.clone());
        }
        self.attempts.throttle.check_all(&tried)?;
        let attempts = Arc::clone(&self.attempts);
        let verified = tokio::task::spawn_blocking(move || {
            // The permit is held until the outcome is visible to the waiting calls, also if this caller leaves.
            attempts.verify(user, &password, &tried, permit)
        })
        .await
        .map_err(CallerError::HashingPanicked)?;
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

impl Attempts {
    /// Returns the user if the password is right, with a new hash if the old one is outdated; otherwise counts a
    /// failure. Slow on purpose.
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
