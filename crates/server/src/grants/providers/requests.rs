//! Requests to a provider.
//!
//! Invariant: at most the configured number of requests is under way, to one provider and to all. Each request runs to
//! its end even if the caller goes away.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use model::CauseKind;
use provider::{
    Answer, GrantedTokens, Proof, ProviderRequest, Refusal, RefusalClass, Registration,
};
use tokio::{sync::OwnedSemaphorePermit, task};
use tracing::warn;

use super::{ConfiguredProvider, credentials::prove};
use crate::outgoing::{Received, SendError};

/// The right to have a request under way, until it is dropped.
pub(crate) struct RequestPermit {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl ConfiguredProvider {
    /// Waits until another request may be under way. The caller holds the permit until its request has ended.
    pub(crate) async fn permit(&self) -> Option<RequestPermit> {
        let own = Arc::clone(&self.requests).acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all_requests).acquire_owned().await.ok()?;
        Some(RequestPermit { _own: own, _all: all })
    }

    /// Sends a request for tokens, and reads the answer. The caller holds a permit. The request runs to its end even if
    /// the caller goes away.
    ///
    /// # Errors
    /// There is no complete answer before the deadline. Inner error: the answer has no tokens.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        registration: &Registration,
        request: ProviderRequest,
        deadline: Duration,
    ) -> Result<Result<GrantedTokens, Refusal>, SendError> {
        self.send(request, deadline, |answer| registration.read_tokens(answer)).await
    }

    /// Asks about a token with the current credential, and with the next one if the provider refuses that. Returns the
    /// result of `read`. The caller holds a permit. Each request runs to its end even if the caller goes away.
    ///
    /// # Errors
    /// There is no complete answer before the deadline. Inner error: the refusal of `read`.
    pub(crate) async fn ask_about_token<T>(
        self: &Arc<Self>,
        request: impl Fn(Proof<'_>) -> ProviderRequest,
        read: impl Fn(&Answer<'_>) -> Result<T, Refusal>,
        until: Instant,
    ) -> Result<Result<T, Refusal>, SendError> {
        let mut credentials = self.credentials();
        let mut credential = credentials.next();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SendError::unsent(CauseKind::Timeout, "no time is left"));
            }
            let request = prove(credential.as_ref(), &request);
            let outcome = self.send(request, left, &read).await?;
            let is_refused =
                |refusal: &Refusal| matches!(refusal.class, RefusalClass::ClientBlocked);
            if !outcome.as_ref().is_err_and(is_refused) {
                return Ok(outcome);
            }
            credential = credentials.next();
            if credential.is_none() {
                return Ok(outcome);
            }
        }
    }

    /// Sends a request. A refusal of the client's certificate is a verdict, as it is in an answer.
    async fn send<T>(
        self: &Arc<Self>,
        request: ProviderRequest,
        deadline: Duration,
        read: impl FnOnce(&Answer<'_>) -> Result<T, Refusal>,
    ) -> Result<Result<T, Refusal>, SendError> {
        let outgoing = Arc::clone(&self.outgoing);
        let sent = task::spawn_blocking(move || outgoing.post(&request, deadline)).await;
        let received: Received = match sent
            .unwrap_or_else(|panicked| Err(SendError::in_doubt(panicked)))
        {
            Err(error) if error.cause == CauseKind::InvalidClient => {
                warn!(%error, provider = self.name, "a provider refuses the client before its request");
                let class = RefusalClass::ClientBlocked;
                return Ok(Err(Refusal { class, cause: error.cause.into(), retry_after: None }));
            }
            received => received?,
        };
        Ok(read(&Answer {
            status: received.status,
            content_type: received.content_type.as_deref(),
            retry_after: received.retry_after.as_deref(),
            body: &received.body,
            received: Timestamp::now().as_second(),
        }))
    }
}
