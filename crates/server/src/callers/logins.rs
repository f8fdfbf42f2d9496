//! Sign-in with a password: rate-limited, bounded, cached (CONTRACT 26, 33).
//!
//! Invariant: an unknown user, a disabled one and a wrong password get the same answer, after the same work.

use std::{net::IpAddr, sync::Arc, time::Instant};

use auth::{AuthError, BasicCredentials, Password, VerifiedLogins};
use model::{PasswordHash, TenantId, User};
use store::Store;
use tracing::{Span, info, warn};

use super::{
    error::CallerError,
    hashing::{Hashing, LaneKey, Permit},
    proxy_trust,
    throttle::{Attempt, Throttle},
};
use crate::{audit, config::auth as settings};

/// The maximum number of passwords that wait to be hashed, per core. Further callers are rejected.
const MAX_WAITING_PER_CORE: usize = 64;

/// Verifies logins and passwords.
pub(crate) struct Logins {
    verifier: Arc<Verifier>,
    /// One permit per core, because a hash takes a core and 19 MiB.
    hashing: Hashing,
}

/// Verifies passwords, and caches the outcome.
struct Verifier {
    verified: VerifiedLogins,
    throttle: Throttle,
}

impl Logins {
    pub(crate) fn new(limits: settings::Throttle) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let verifier =
            Verifier { verified: VerifiedLogins::new(), throttle: Throttle::new(limits) };
        Self {
            verifier: Arc::new(verifier),
            hashing: Hashing::new(cores, cores * MAX_WAITING_PER_CORE),
        }
    }

    /// Returns the user of this login and password.
    ///
    /// # Errors
    /// - `AuthError::Refused`: the user is unknown or disabled, or the password is wrong.
    /// - `Throttled`: there were too many failures.
    /// - `TooManyPasswordsWait`: the queue is full.
    pub(crate) async fn verify(
        &self,
        store: &Store,
        tenant: &TenantId,
        credentials: BasicCredentials,
        address: Option<IpAddr>,
    ) -> Result<User, CallerError> {
        let BasicCredentials { login, password } = credentials;
        let network = address.map(proxy_trust::network);
        let attempt = Attempt { tenant: tenant.clone(), login, network };
        self.verifier.throttle.check_user_and_network(&attempt)?;
        let user = store.user(tenant, &attempt.login).await?;
        if let Some(user) = &user {
            // Only the name of an existing user is logged, because any other may be a password in the wrong field.
            Span::current()
                .record("tenant.id", user.tenant.as_str())
                .record("user.login", user.login.as_str());
            audit::note(|details| {
                details.tenant = Some(user.tenant.to_string());
                details.login = Some(user.login.to_string());
            });
        }
        let user = user.filter(|user| !user.is_disabled);
        let is_cached =
            || self.verifier.verified.recalls(user.as_ref(), &password, network, Instant::now());
        if let (true, Some(user)) = (is_cached(), &user) {
            return Ok(user.clone());
        }
        // A password that would be rejected must not take room in the queue.
        self.verifier.throttle.check_all(&attempt)?;
        let lane = if self.verifier.throttle.is_known(&attempt) {
            LaneKey::Known(attempt.clone())
        } else {
            LaneKey::Network(network)
        };
        let permit = self.hashing.permit(lane).await.ok_or(CallerError::TooManyPasswordsWait)?;
        // Of many concurrent calls with the right password, only the first one hashes it.
        if let (true, Some(user)) = (is_cached(), &user) {
            return Ok(user.clone());
        }
        self.verifier.throttle.check_all(&attempt)?;
        let verifier = Arc::clone(&self.verifier);
        let verified = tokio::task::spawn_blocking(move || {
            // The permit is held until the outcome is visible to the waiting calls, also if this caller leaves.
            verifier.verify(user, &password, &attempt, permit)
        })
        .await
        .map_err(CallerError::HashingPanicked)?;
        let (user, renewed) = verified.ok_or(AuthError::Refused)?;
        if let Some(hash) = renewed
            && let Err(error) = store.rehash(user.clone(), hash).await
        {
            warn!(%error, "a password could not be rehashed");
        }
        info!("password verified");
        Ok(user)
    }
}

impl Verifier {
    /// Returns the user if the password is right, with a new hash if the old one is outdated. Otherwise counts a
    /// failure. Slow on purpose.
    fn verify(
        &self,
        user: Option<User>,
        password: &Password,
        attempt: &Attempt,
        mut permit: Permit,
    ) -> Option<(User, Option<PasswordHash>)> {
        let hash = user.as_ref().map(|user| &user.password_hash);
        let is_right = auth::verify(password, hash, &mut permit.memory);
        let Some(user) = user.filter(|_| is_right) else {
            self.throttle.failed(attempt);
            return None;
        };
        let now = Instant::now();
        self.verified.remember(&user, password, attempt.network, now);
        self.throttle.succeeded(attempt, now);
        let renewed = auth::is_outdated(&user.password_hash).then(|| auth::hash(password));
        Some((user, renewed))
    }
}
