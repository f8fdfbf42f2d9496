//! Revocation: the end of a grant at its provider (RFC 7009), and of its record here.
//!
//! Invariant: a grant counts as revoked only if the provider confirmed it for each token to revoke. During a
//! revocation, no server refreshes the record, so that the revoked tokens are the newest.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use model::{GrantCause, Login, RetrievalKey, SecretText, TenantId};
use provider::{Answer, Proof, RefusalClass, Registration, Revocation, TokenKind};
use store::{Attempt, Claim, Claimed, GrantFacts, RecordInfo, SavedTokens, StoreError};
use tokio::time;
use tracing::{info, warn};

use super::{
    Grants,
    error::GrantError,
    in_flight::Flight,
    intervals::PROVIDER_PAUSE,
    looks::Looks,
    providers::ConfiguredProvider,
    refresh::{CLAIM_TIME, refusal_by},
};
use crate::{
    audit::{Action, Details, Event, Outcome},
    config::grants::RevocationEnds,
    error_text::error_chain,
    outgoing::SendError,
};

/// The provider's reaction to a revocation; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Upstream {
    /// The provider confirmed that each token is revoked.
    Revoked,
    /// The provider is not configured for the record, has no revocation endpoint, or does not revoke such tokens.
    NotSupported,
    /// The provider did not confirm the revocation, and the grant may still work.
    Failed,
}

/// The outcome for a record and its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// Whether the record was active and has ended now.
    pub(crate) was_ended: bool,
    pub(crate) upstream: Upstream,
}

/// The condition for ending the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Only if the provider confirmed the revocation.
    Confirmed,
    /// Once the provider was asked, regardless of the outcome. If this server cannot ask now, that is an error, and the
    /// record stays.
    Asked,
    /// In any case.
    Always,
}

/// A permitted request to end a grant.
pub(crate) struct RevocationWish<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) key: &'a RetrievalKey,
    pub(crate) record: &'a RecordInfo,
    /// The only owner whose record may be ended.
    pub(crate) owner: Option<Login>,
    pub(crate) condition: Condition,
}

/// The revocation of one grant.
#[derive(Clone)]
struct Revoking {
    grants: Arc<Grants>,
    provider: Option<Arc<ConfiguredProvider>>,
    tenant: TenantId,
    key: RetrievalKey,
    owner: Option<Login>,
    condition: Condition,
    /// The time at which it stops waiting for its turn.
    until: Instant,
}

/// The tokens of a record that no server refreshes as long as the attempt is held.
struct Held {
    saved: SavedTokens,
    attempt: Attempt,
    facts: GrantFacts,
}

/// The reason why no request was sent.
enum Unasked {
    /// The record ended in the meantime.
    Ended,
    NotSupported,
    /// The provider cannot be asked now.
    Away(GrantCause),
    /// This server cannot ask now.
    Here(GrantError),
}

impl From<StoreError> for Unasked {
    fn from(error: StoreError) -> Self {
        Self::Here(error.into())
    }
}

impl Grants {
    /// Revokes the grant behind a record at its provider, and ends the record; `None` if the record ended before. Once
    /// it has begun, it goes on when the caller goes away.
    ///
    /// # Errors
    /// This server cannot ask the provider now, and nothing was done. With [`Condition::Always`]: the record could not
    /// be ended.
    pub(crate) async fn revoke(
        self: &Arc<Self>,
        wish: RevocationWish<'_>,
    ) -> Result<Option<Revoked>, GrantError> {
        let RevocationWish { tenant, key, record, owner, condition } = wish;
        let provider = self.providers.find(tenant, &record.provider);
        let provider = provider.filter(|_| self.is_enabled).cloned();
        if provider.is_some() && condition != Condition::Always {
            self.check_rate(tenant, &record.owner)?;
        }
        let until = Instant::now() + self.wait;
        let revoking = Revoking {
            grants: Arc::clone(self),
            provider,
            tenant: tenant.clone(),
            key: key.clone(),
            owner,
            condition,
            until,
        };
        let task = || {
            let revoking = revoking.clone();
            async move { revoking.run().await }
        };
        match self.in_flight.run_alone(Flight::Record(key.record()), until, task).await {
            Err(GrantError::Busy) if condition == Condition::Always => {
                warn!(record = key.record().text(), "a record ends, and its grant was not revoked");
                revoking.end(Upstream::Failed, None).await
            }
            outcome => outcome?,
        }
    }

    /// Returns whether the end of this record by its key revokes its grant, too.
    pub(crate) fn revokes_upstream(&self, tenant: &TenantId, record: &RecordInfo) -> bool {
        let provider = self.providers.find(tenant, &record.provider);
        self.is_enabled && provider.is_some_and(|provider| provider.revoke_upstream)
    }
}

impl Revoking {
    async fn run(&self) -> Result<Option<Revoked>, GrantError> {
        let begun = Instant::now();
        let (upstream, cause, attempt) = match self.ask().await {
            Ok((upstream, cause, attempt)) => (upstream, cause, Some(attempt)),
            Err(Unasked::Ended) => return Ok(None),
            Err(Unasked::NotSupported) => (Upstream::NotSupported, None, None),
            Err(Unasked::Away(cause)) => (Upstream::Failed, Some(cause), None),
            Err(Unasked::Here(error)) if self.condition == Condition::Always => {
                warn!(record = self.record(), %error, "a grant cannot be revoked at its provider");
                (Upstream::Failed, None, None)
            }
            Err(Unasked::Here(error)) => return Err(error),
        };
        self.report(upstream, cause, begun.elapsed()).await;
        if self.condition != Condition::Confirmed || upstream == Upstream::Revoked {
            let generation = attempt.map(|attempt| attempt.generation);
            return self.end(upstream, generation).await;
        }
        if let Some(attempt) = attempt
            && let Err(error) = self.grants.store.release_attempt(&attempt).await
        {
            // The attempt then ends when its lease expires.
            warn!(
                record = self.record(),
                error = error_chain(&error),
                "the record of a grant that was not revoked cannot be refreshed for some seconds"
            );
        }
        Ok(Some(Revoked { was_ended: false, upstream }))
    }

    fn record(&self) -> String {
        self.key.record().text()
    }

    async fn report(&self, upstream: Upstream, cause: Option<GrantCause>, took: Duration) {
        let Some(provider) = self.provider.as_ref().map(|provider| &provider.name) else { return };
        let (record, ms) = (self.record(), took.as_millis() as u64);
        let cause = cause.map(|cause| cause.to_string());
        let (outcome, reason) = match upstream {
            Upstream::Revoked => (Outcome::Success, None),
            Upstream::NotSupported => (Outcome::Refused, Some("not supported".to_owned())),
            Upstream::Failed => (Outcome::Failed, cause.clone()),
        };
        let details = Details {
            tenant: Some(self.tenant.to_string()),
            record: Some(self.key.record()),
            provider: Some(provider.clone()),
            reason,
            ..Details::default()
        };
        let event = Event { action: Action::change("provider.revoke"), outcome, details };
        // The event of the call that waits fails in the same way.
        let _ = self.grants.audit.record(event).await;
        match upstream {
            Upstream::Revoked => info!(record, provider, ms, "a grant was revoked at its provider"),
            Upstream::NotSupported => {
                info!(record, provider, ms, "the provider cannot revoke a grant");
            }
            Upstream::Failed => {
                warn!(record, provider, cause, ms, "a grant was not revoked at its provider");
            }
        }
    }

    /// Ends the record after the provider was asked about its tokens of this generation. If the user connected again in
    /// the meantime, the new tokens are not revoked, and only a request that needs no confirmation ends them.
    async fn end(
        &self,
        upstream: Upstream,
        generation: Option<i32>,
    ) -> Result<Option<Revoked>, GrantError> {
        let end = async |generation| {
            let (tenant, owner) = (self.tenant.clone(), self.owner.clone());
            self.grants.store.revoke_record(tenant, self.key.record(), owner, generation).await
        };
        if end(generation).await? {
            return Ok(Some(Revoked { was_ended: true, upstream }));
        }
        if generation.is_none() {
            return Ok(Some(Revoked { was_ended: false, upstream }));
        }
        let was_ended = self.condition != Condition::Confirmed && end(None).await?;
        Ok(Some(Revoked { was_ended, upstream: Upstream::Failed }))
    }

    /// Revokes the tokens at the provider. Returns its reaction, the cause, and the attempt of the request.
    async fn ask(&self) -> Result<(Upstream, Option<GrantCause>, Attempt), Unasked> {
        let provider = self.provider.as_ref().ok_or(Unasked::NotSupported)?;
        let away = |error: SendError| Unasked::Away(error.cause.into());
        let registration = provider.registration().await.map_err(away)?;
        if registration.endpoints.revocation.is_none() {
            return Err(Unasked::NotSupported);
        }
        let permit = time::timeout_at(self.until.into(), provider.permit()).await;
        let Ok(Some(_permit)) = permit else { return Err(Unasked::Here(GrantError::Busy)) };
        let Held { saved, attempt, facts } = self.hold(provider).await?;
        let parameters = &saved.details.parameters;
        let registration = match provider.registration_for(parameters).await {
            Ok(registration) if provider.has_urls_for(&saved.details) => registration,
            Ok(_) => return Ok((Upstream::NotSupported, None, attempt)),
            Err(error) => return Ok((Upstream::Failed, Some(error.cause.into()), attempt)),
        };
        let until = Instant::now() + self.grants.deadline;
        // The worst outcome of all tokens. A record of empty tokens has none to revoke.
        let (mut upstream, mut cause) = (None, None);
        for (token, kind) in tokens(provider, &saved) {
            let (of_token, why) =
                self.revoke_token(provider, &registration, &token, kind, until).await;
            upstream = upstream.max(Some(of_token));
            cause = cause.or(why);
            if of_token == Upstream::Failed {
                break;
            }
        }
        if facts.provider_pause.is_some()
            && upstream.is_some_and(|upstream| upstream != Upstream::Failed)
        {
            self.grants.resume_provider(provider).await;
        }
        Ok((upstream.unwrap_or(Upstream::NotSupported), cause, attempt))
    }

    async fn revoke_token(
        &self,
        provider: &Arc<ConfiguredProvider>,
        registration: &Registration,
        token: &SecretText,
        kind: TokenKind,
        until: Instant,
    ) -> (Upstream, Option<GrantCause>) {
        let request = |proof: Proof<'_>| {
            registration.revoke(token, kind, proof).expect("it has the endpoint")
        };
        let read = |answer: &Answer<'_>| registration.read_revocation(answer);
        match provider.ask_about_token(request, read, until).await {
            Ok(Ok(Revocation::Confirmed)) => (Upstream::Revoked, None),
            Ok(Ok(Revocation::NotSupported)) => (Upstream::NotSupported, None),
            Ok(Err(refusal)) => {
                if refusal.class == RefusalClass::ClientBlocked {
                    self.grants.pause_provider(provider, refusal.cause, PROVIDER_PAUSE).await;
                }
                (Upstream::Failed, Some(refusal.cause))
            }
            Err(error) => {
                warn!(%error, record = self.record(), "a provider gave no answer to a revocation");
                (Upstream::Failed, Some(error.cause.into()))
            }
        }
    }

    /// Returns the newest tokens of the record, once no other server refreshes it.
    async fn hold(&self, provider: &Arc<ConfiguredProvider>) -> Result<Held, Unasked> {
        let (store, record) = (&self.grants.store, self.key.record());
        let mut looks = Looks::until(self.until);
        loop {
            let saved = store.external_tokens(&self.tenant, &self.key).await?;
            let saved = saved.ok_or(Unasked::Ended)?;
            let facts = store.grant_facts(record, provider.client_digest).await?;
            match refusal_by(&facts, &provider.client_digest) {
                None => {}
                // The provider would be asked about a token that is not its client's (RFC 7009 §2.1).
                Some(GrantError::Dead(_)) => return Err(Unasked::NotSupported),
                Some(error) => return Err(Unasked::Here(error)),
            }
            if !facts.is_leased {
                if let Err(error) = self.grants.pass_pause(provider, facts.provider_pause).await {
                    return Err(match error {
                        GrantError::Blocked(cause) | GrantError::Failing { cause, .. } => {
                            Unasked::Away(cause)
                        }
                        error => Unasked::Here(error),
                    });
                }
                let queued = Instant::now();
                let claim = Claim {
                    record,
                    generation: saved.generation,
                    client_digest: provider.client_digest,
                    pause_us: None,
                    unsent: None,
                };
                match store.claim_attempt(claim).await? {
                    Claimed::Ours(attempt) if queued.elapsed() < CLAIM_TIME => {
                        return Ok(Held { saved, attempt, facts });
                    }
                    Claimed::Ours(attempt) => store.release_attempt(&attempt).await?,
                    Claimed::Unsaved => return Err(Unasked::Here(GrantError::Unsaved)),
                    Claimed::Moved | Claimed::Leased | Claimed::NotNow => {}
                }
            }
            if self.grants.in_flight.is_stopping() {
                return Err(Unasked::Here(GrantError::Busy));
            }
            looks.wait().await.map_err(Unasked::Here)?;
        }
    }
}

/// Returns the tokens to revoke, in order: a refresh token ends its access tokens, too (RFC 7009 §2.1), unless the
/// provider is configured otherwise.
fn tokens(provider: &ConfiguredProvider, saved: &SavedTokens) -> Vec<(SecretText, TokenKind)> {
    let there =
        |token: &Option<SecretText>| token.clone().filter(|token| !token.expose().is_empty());
    let refresh = there(&saved.carrier.refresh_token).map(|token| (token, TokenKind::Refresh));
    let access = there(&saved.carrier.access_token).map(|token| (token, TokenKind::Access));
    match refresh {
        Some(refresh) if provider.revocation_ends == RevocationEnds::Grant => vec![refresh],
        refresh => refresh.into_iter().chain(access).collect(),
    }
}
