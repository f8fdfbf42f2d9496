//! Introspection: the provider's answer about a stored access token (RFC 7662).
//!
//! Invariant: it changes nothing here. No answer of the provider about a token makes a grant dead.

use std::{sync::Arc, time::Instant};

use model::SecretText;
use provider::{Answer, Introspection, Proof, RefusalClass, Registration, TokenKind};
use store::SavedTokens;
use tokio::time;
use tracing::warn;

use super::{
    Grants, Wish, error::GrantError, in_flight::Flight, intervals::PROVIDER_PAUSE,
    providers::ConfiguredProvider, refresh::refusal_by,
};

/// The reason why a token was not introspected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntrospectionError {
    /// The provider is not configured for the record, or has no introspection endpoint.
    #[error("the provider has no introspection endpoint")]
    NotSupported,
    /// The provider cannot be asked now.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

impl Grants {
    /// Returns the provider's answer about the access token of a record, as it is stored. A record without an access
    /// token is inactive.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn introspect(
        self: &Arc<Self>,
        wish: &Wish<'_>,
        saved: SavedTokens,
    ) -> Result<Introspection, IntrospectionError> {
        let provider = wish.provider.filter(|_| self.is_enabled);
        let provider = provider.filter(|provider| provider.has_urls_for(&saved.details));
        let provider = provider.ok_or(IntrospectionError::NotSupported)?;
        let registration = provider.registration_for(&saved.details.parameters).await;
        let registration = registration.map_err(GrantError::from)?;
        if registration.endpoints.introspection.is_none() {
            return Err(IntrospectionError::NotSupported);
        }
        let token = saved.carrier.access_token.filter(|token| !token.expose().is_empty());
        let Some(token) = token else {
            return Ok(Introspection { is_active: false, scope: None, expires: None });
        };
        let record = saved.times.record;
        let facts = self.store.grant_facts(record, provider.client_digest).await;
        let facts = facts.map_err(GrantError::from)?;
        if let Some(error) = refusal_by(&facts, &provider.client_digest) {
            return Err(error.into());
        }
        self.check_rate(wish.tenant, &saved.owner)?;
        let (until, pause) = (Instant::now() + self.wait, facts.provider_pause);
        let task = || {
            let (grants, provider) = (Arc::clone(self), Arc::clone(provider));
            let (registration, token) = (Arc::clone(&registration), token.clone());
            async move {
                let Ok(Some(_permit)) = time::timeout_at(until.into(), provider.permit()).await
                else {
                    return Err(GrantError::Busy);
                };
                grants.pass_pause(&provider, pause).await?;
                let outcome = grants.ask_about_access(&provider, &registration, &token).await;
                if pause.is_some() && outcome.is_ok() {
                    grants.resume_provider(&provider).await;
                }
                outcome
            }
        };
        Ok(self.in_flight.run_alone(Flight::Introspection(record), until, task).await??)
    }

    async fn ask_about_access(
        &self,
        provider: &Arc<ConfiguredProvider>,
        registration: &Registration,
        token: &SecretText,
    ) -> Result<Introspection, GrantError> {
        let request = |proof: Proof<'_>| {
            registration.introspect(token, TokenKind::Access, proof).expect("it has the endpoint")
        };
        let read = |answer: &Answer<'_>| registration.read_introspection(answer);
        let until = Instant::now() + self.deadline;
        let failing = |cause, wanted: Option<u32>| {
            let retry_after = wanted.map_or(1, u64::from);
            GrantError::Failing { cause, retry_after }
        };
        match provider.ask_about_token(request, read, until).await {
            Ok(Ok(introspection)) => Ok(introspection),
            Ok(Err(refusal)) if refusal.class == RefusalClass::ClientBlocked => {
                self.pause_provider(provider, refusal.cause, PROVIDER_PAUSE).await;
                Err(GrantError::Blocked(refusal.cause))
            }
            Ok(Err(refusal)) => Err(failing(refusal.cause, refusal.retry_after)),
            Err(error) => {
                warn!(%error, provider = provider.name, "a provider gave no answer to an introspection");
                Err(failing(error.cause.into(), None))
            }
        }
    }
}
