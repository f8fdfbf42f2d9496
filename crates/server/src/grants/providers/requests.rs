//! Requests to a provider.
//!
//! Invariant: there are no more at a time than the configuration allows, to one provider and to all, and each is sent to
//! its end even if the caller goes away.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use model::{CauseKind, SecretText};
use provider::{Answer, GrantedTokens, ProviderRequest, Refusal, RefusalClass, Registration};
use tokio::{sync::OwnedSemaphorePermit, task};

use super::ConfiguredProvider;
use crate::outgoing::{Received, SendError};

/// The right to have a request under way, until it is dropped.
pub(crate) struct RequestPermit {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl ConfiguredProvider {
    /// Waits until another request may be under way. The caller holds the permit as long as its request is.
    pub(crate) async fn permit(&self) -> Option<RequestPermit> {
        let own = Arc::clone(&self.requests).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all_requests).acquire_owned().await.ok()?;
        Some(RequestPermit { _own: own, _all: all })
    }

    /// Sends a request for tokens, for which the caller holds a permit, and reads the answer. It is sent to its end even
    /// if the caller goes away.
    ///
    /// # Errors
    /// There is no whole answer within the deadline; within, why it has no tokens.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        registration: &Registration,
        request: ProviderRequest,
        deadline: Duration,
    ) -> Result<Result<GrantedTokens, Refusal>, SendError> {
        self.send(request, deadline, |answer| registration.read_tokens(answer)).await
    }

    /// Asks about a token, for which the caller holds a permit, with the secret in force, and with the next one if the
    /// provider refuses that; what `read` makes of the answer. Each request is sent to its end even if the caller goes
    /// away.
    ///
    /// # Errors
    /// There is no whole answer until then; within, what `read` refuses.
    pub(crate) async fn ask_about_token<T>(
        self: &Arc<Self>,
        request: impl Fn(Option<&SecretText>) -> ProviderRequest,
        read: impl Fn(&Answer<'_>) -> Result<T, Refusal>,
        until: Instant,
    ) -> Result<Result<T, Refusal>, SendError> {
        let mut secrets = self.secrets();
        let mut secret = secrets.next();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SendError::unsent(CauseKind::Timeout, "no time is left"));
            }
            let outcome = self.send(request(secret.as_ref()), left, &read).await?;
            let is_refused =
                |refusal: &Refusal| matches!(refusal.class, RefusalClass::ClientBlocked);
            if !outcome.as_ref().is_err_and(is_refused) {
                return Ok(outcome);
            }
            secret = secrets.next();
            if secret.is_none() {
                return Ok(outcome);
            }
        }
    }

    async fn send<T>(
        self: &Arc<Self>,
        request: ProviderRequest,
        deadline: Duration,
        read: impl FnOnce(&Answer<'_>) -> T,
    ) -> Result<T, SendError> {
        let outgoing = Arc::clone(&self.outgoing);
        let sent = task::spawn_blocking(move || outgoing.post(&request, deadline)).await;
        let received: Received =
            sent.unwrap_or_else(|panicked| Err(SendError::in_doubt(panicked)))?;
        Ok(read(&Answer {
            status: received.status,
            content_type: received.content_type.as_deref(),
            retry_after: received.retry_after.as_deref(),
            body: &received.body,
            received: Timestamp::now().as_second(),
        }))
    }
}
