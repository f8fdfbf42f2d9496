//! One refresh, from the claim to its outcome.
//!
//! Invariant: the request is sent only after its attempt is on disk. The new tokens are committed, or at least in a
//! file, before the answer is used for anything else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use model::{
    CauseKind, GrantCause, GrantDetails, GrantState, RetrievalKey, SecretText, TenantId,
    TokenManagementInfo,
};
use provider::{GrantedTokens, Refusal, RefusalClass, Registration};
use store::{
    Attempt, Claim, Claimed, Committed, Failure, GrantFacts, NewTokens, ProviderPause,
    RefreshTimes, SavedTokens, Verdict,
};
use tokio::time;
use tracing::{info, warn};

use super::{
    Grants, Urgency,
    claims::with_kept,
    decision::time_left,
    error::GrantError,
    in_flight::End,
    intervals::{PROVIDER_PAUSE, SECOND, seconds},
    looks::Looks,
    providers::{ConfiguredProvider, Margins, prove},
};
use crate::{
    audit::{Action, Details, Event, Outcome},
    error_text::error_chain,
    expiry,
    metrics::refreshes::RefreshEnd,
    outgoing::SendError,
};

/// The time after its claim was queued within which a request must be sent. Later, the lease may expire before the
/// answer arrives.
pub(super) const CLAIM_TIME: Duration = Duration::from_secs(2);
/// How often a claim is repeated because it took too long.
const CLAIMS: usize = 5;
/// How often a request is sent in one attempt, including the first time.
const TRIES: usize = 3;
/// The pause before a request is repeated, because it was not sent or its answer was lost.
pub(super) const UNSENT_PAUSE: Duration = Duration::from_millis(1500);
const LOST_PAUSE: Duration = Duration::from_millis(400);
/// The longest back-off of a record after failures.
const MAX_BACK_OFF_SECONDS: i64 = 300;
/// The pause of a dead grant, because a verdict may be wrong. A grant that waits for its user is tried hourly.
const DEAD_PAUSE: i64 = 24 * 3600 * SECOND;
const INTERACTION_PAUSE: i64 = 3600 * SECOND;

/// A refresh of one record.
pub(super) struct Refresh {
    pub(super) grants: Arc<Grants>,
    pub(super) provider: Arc<ConfiguredProvider>,
    pub(super) tenant: TenantId,
    pub(super) key: RetrievalKey,
    pub(super) saved: SavedTokens,
    pub(super) urgency: Urgency,
    /// The time at which the callers stop waiting.
    pub(super) until: Instant,
}

/// The outcome of a request: tokens, a refusal, or no answer.
type Answer = Result<Result<GrantedTokens, Refusal>, SendError>;

impl Refresh {
    /// Refreshes the record, unless another server is refreshing it or an obstacle prevents it.
    pub(super) async fn run(self) -> End {
        // Before the claim, because a lease lasts only seconds.
        let registration = self.provider.registration_for(&self.saved.details.parameters).await?;
        let mut permit = None;
        let mut looks = Looks::until(self.until);
        let mut unsent = None;
        for _ in 0..CLAIMS {
            let facts = loop {
                let facts = self.grants.store.grant_facts(self.record(), self.digest()).await?;
                if facts.generation != Some(self.saved.generation) {
                    return Ok(());
                }
                if !facts.is_leased {
                    break facts;
                }
                looks.wait().await?;
            };
            if permit.is_none() {
                let free = time::timeout_at(self.until.into(), self.provider.permit()).await;
                permit = Some(free.ok().flatten().ok_or(GrantError::Busy)?);
            }
            self.look_for_obstacle(&facts, unsent.is_some()).await?;
            if self.grants.in_flight.is_stopping() {
                return Err(GrantError::Busy);
            }
            let queued = Instant::now();
            let claim = Claim {
                record: self.record(),
                generation: self.saved.generation,
                client_digest: self.digest(),
                pause_us: Some(self.urgency.pause_us()),
                unsent: unsent.take(),
            };
            match self.grants.store.claim_attempt(claim).await? {
                Claimed::Unsaved => return Err(GrantError::Unsaved),
                Claimed::Ours(attempt) if queued.elapsed() < CLAIM_TIME => {
                    return self.attempt(&registration, attempt, &facts).await;
                }
                Claimed::Ours(attempt) => unsent = Some(attempt),
                Claimed::Moved => return Ok(()),
                Claimed::Leased | Claimed::NotNow => {}
            }
        }
        Err(GrantError::Busy)
    }

    fn record(&self) -> model::RecordId {
        self.saved.times.record
    }

    fn digest(&self) -> [u8; 32] {
        self.provider.client_digest
    }

    /// Returns the obstacle that prevents a request. The claim of a request that was never sent may be repeated at
    /// once.
    async fn look_for_obstacle(&self, facts: &GrantFacts, is_again: bool) -> End {
        if let Some(error) = obstacle(facts, &self.digest()) {
            return Err(error);
        }
        let next =
            facts.grant.claimed.map(|claimed| claimed.saturating_add(self.urgency.pause_us()));
        if let Some(next) = next.filter(|next| *next > facts.now && !is_again) {
            return Err(GrantError::TooMany { retry_after: seconds(next - facts.now) });
        }
        let may_replay = |first_sent| self.provider.accepts_again(first_sent, facts.now);
        if self.urgency == Urgency::Beside && !facts.grant.first_sent.is_none_or(may_replay) {
            // A provider that ends the grant when a token is sent twice ends the access token for a replay, too.
            let cause = facts.grant.cause.unwrap_or(CauseKind::Timeout.into());
            return Err(GrantError::Failing { cause, retry_after: seconds(PROVIDER_PAUSE) });
        }
        self.grants.pass_pause(&self.provider, facts.provider_pause).await
    }

    /// Sends the request, handles the outcome, and records it in the audit log.
    async fn attempt(
        &self,
        registration: &Registration,
        attempt: Attempt,
        facts: &GrantFacts,
    ) -> End {
        let end = self.try_attempt(registration, attempt, facts).await;
        let outcome = if end.is_ok() { Outcome::Success } else { Outcome::Failed };
        let details = Details {
            tenant: Some(self.tenant.to_string()),
            record: Some(self.record()),
            provider: Some(self.provider.name.clone()),
            reason: end.as_ref().err().map(ToString::to_string),
            ..Details::default()
        };
        let event = Event { action: Action::change("provider.refresh"), outcome, details };
        // The event of the call that waits fails in the same way.
        let _ = self.grants.audit.record(event).await;
        end
    }

    async fn try_attempt(
        &self,
        registration: &Registration,
        mut attempt: Attempt,
        facts: &GrantFacts,
    ) -> End {
        if attempt.is_taken_over {
            info!(record = self.record().text(), "took over a refresh that was not finished");
        }
        let begun = Instant::now();
        let mut credentials = self.provider.credentials();
        let mut credential = credentials.next();
        let mut tries = 1;
        let outcome = loop {
            let request = prove(credential.as_ref(), |proof| {
                registration.refresh(self.refresh_token(), proof)
            });
            let outcome = self.provider.ask(registration, request, self.grants.deadline).await;
            let is_refused_client = matches!(&outcome, Ok(Err(refusal)) if refusal.class == RefusalClass::ClientBlocked);
            let is_unsent = matches!(&outcome, Err(error) if !error.was_sent);
            let pause = if is_refused_client {
                credential = credentials.next();
                credential.as_ref().map(|_other| Duration::ZERO)
            } else if is_unsent {
                (tries < 2).then_some(UNSENT_PAUSE)
            } else {
                self.may_replay(&outcome, &attempt).then_some(LOST_PAUSE)
            };
            let may_go_on = tries < TRIES && !self.grants.in_flight.is_stopping();
            let Some(pause) = pause.filter(|_| may_go_on) else { break outcome };
            attempt.is_replay |= !is_refused_client && !is_unsent;
            tries += 1;
            time::sleep(pause).await;
            let asked = Instant::now();
            if !self.grants.store.renew_attempt(&attempt).await? {
                return Ok(());
            }
            if asked.elapsed() >= CLAIM_TIME {
                return Err(GrantError::Busy);
            }
        };
        let took = begun.elapsed();
        let ms = took.as_millis() as u64;
        let end = match &outcome {
            Ok(Ok(_)) => RefreshEnd::Refreshed,
            Ok(Err(refusal)) => RefreshEnd::Refused(refusal.class),
            Err(_) => RefreshEnd::NoAnswer,
        };
        self.grants.metrics.refreshes.note(&self.provider.name, end, took);
        let (refusal, error) = match outcome {
            Ok(Ok(tokens)) => return self.commit(&attempt, tokens, facts).await,
            Ok(Err(refusal)) => (refusal, None),
            Err(error) => (refusal_of(&error), Some(error)),
        };
        if let Some(error) = error.filter(|_| facts.grant.failures == 0) {
            warn!(%error, record = self.record().text(), "a provider gave no answer");
        }
        self.fail(&attempt, facts, refusal, ms).await
    }

    fn refresh_token(&self) -> &SecretText {
        let token = self.saved.carrier.refresh_token.as_ref();
        token.expect("only a record with a refresh token is refreshed")
    }

    /// Returns whether the same token is sent again in this attempt, because an answer was lost.
    fn may_replay(&self, outcome: &Answer, attempt: &Attempt) -> bool {
        let now = self.grants.store.database_time();
        let is_accepted = self.provider.accepts_again(attempt.first_sent, now);
        let left = time_left(&self.saved, &self.provider.margins, now);
        let has_ended = left.is_some_and(|left| left <= 0);
        match outcome {
            // The provider may still be handling the request.
            Err(SendError { cause: CauseKind::Timeout, .. }) => is_accepted,
            Err(_) => is_accepted || has_ended,
            Ok(Err(refusal)) if refusal.class == RefusalClass::Ambiguous => {
                is_accepted || has_ended
            }
            Ok(_) => false,
        }
    }

    async fn commit(&self, attempt: &Attempt, tokens: GrantedTokens, facts: &GrantFacts) -> End {
        let created = self.saved.times.created;
        let times = times(&tokens, &self.provider.margins, attempt.claimed, created);
        let before = &self.saved.details;
        let details = GrantDetails {
            scope: tokens.scope.as_deref().map(SecretText::from).or_else(|| before.scope.clone()),
            subject: before.subject.clone(),
            parameters: before.parameters.clone(),
        };
        let GrantedTokens { access_token, refresh_token, id_token, kept, .. } = tokens;
        let carrier = TokenManagementInfo {
            access_token: Some(access_token),
            refresh_token: refresh_token.or_else(|| Some(self.refresh_token().clone())),
            claims: with_kept(self.saved.carrier.claims.clone(), kept),
            ..TokenManagementInfo::of(self.saved.carrier.provider.clone())
        };
        let new = NewTokens { carrier: &carrier, details: &details, times };
        let committed =
            self.grants.store.commit_refresh(&self.tenant, &self.key, attempt, new).await;
        let (record, provider) = (self.record().text(), &self.provider.name);
        match committed {
            Committed::Done { has_recovered: true } => {
                info!(record, provider, attempt = attempt.number, "the grant works again");
            }
            Committed::Done { has_recovered: false } => {}
            Committed::Ended | Committed::Absent => {
                info!(record, "a record ended, or got another key, while it was refreshed");
            }
            Committed::Superseded => {
                info!(record, provider, attempt = attempt.number, "the record has later tokens");
            }
            Committed::Unsaved => return Err(GrantError::Unsaved),
        }
        self.grants.tallies.succeeded(self.digest());
        self.end_pause(facts).await;
        self.look_at_scope(before, &details);
        self.look_at_subject(id_token);
        Ok(())
    }

    /// A provider may grant fewer scopes than before. The user may then be asked for the missing ones.
    fn look_at_scope(&self, before: &GrantDetails, after: &GrantDetails) {
        let words = |details: &GrantDetails| -> Vec<String> {
            let scope = details.scope.as_ref().map_or("", SecretText::expose);
            scope.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let after = words(after);
        if words(before).iter().any(|word| !after.contains(word)) {
            let (record, provider) = (self.record().text(), &self.provider.name);
            warn!(record, provider, "the provider granted fewer scopes than before");
        }
    }

    /// Checks that the user of an id_token is that of the first one (OpenID Connect Core §12.2). No caller waits for
    /// it.
    fn look_at_subject(&self, id_token: Option<SecretText>) {
        let (Some(id_token), Some(subject)) = (id_token, self.saved.details.subject.clone()) else {
            return;
        };
        let (provider, record) = (Arc::clone(&self.provider), self.record().text());
        tokio::spawn(async move {
            let Ok(Some(verifier)) = provider.id_tokens().await else { return };
            let provider = &provider.name;
            match verifier.verify(&id_token).await {
                Ok(Ok(claims)) if auth::has_claim(&claims, "sub", &subject) => {}
                Ok(Ok(_)) => {
                    warn!(record, provider, "the id_token of a refresh is of another user")
                }
                Ok(Err(_)) | Err(_) => {
                    warn!(record, provider, "the id_token of a refresh cannot be verified");
                }
            }
        });
    }

    async fn fail(&self, attempt: &Attempt, facts: &GrantFacts, refusal: Refusal, ms: u64) -> End {
        let failure = self.failure(attempt, facts, &refusal);
        let (record, provider) = (self.record().text(), &self.provider.name);
        let cause = match self.grants.store.fail_refresh(attempt, failure).await {
            Ok(Some(Verdict { is_other_state, cause })) => {
                let state = failure.state.unwrap_or_default().name();
                let attempt = attempt.number;
                if is_other_state {
                    warn!(record, provider, state, %cause, attempt, ms, "a refresh failed");
                }
                cause
            }
            // Another attempt has ended: read its tokens.
            Ok(None) => return Ok(()),
            Err(error) => {
                warn!(record, error = error_chain(&error), "a failed refresh could not be noted");
                refusal.cause
            }
        };
        if refusal.class == RefusalClass::ClientBlocked {
            self.grants.pause_provider(&self.provider, cause, PROVIDER_PAUSE).await;
            return Err(GrantError::Blocked(cause));
        }
        if matches!(refusal.class, RefusalClass::Dead | RefusalClass::Interaction) {
            // The provider accepted the client.
            self.end_pause(facts).await;
            return Err(GrantError::Dead(cause));
        }
        let is_of_the_pause = |pause: &ProviderPause| pause.cause.kind == cause.kind;
        let is_verdict = !matches!(refusal.class, RefusalClass::Busy | RefusalClass::Ambiguous);
        if is_verdict && !facts.provider_pause.as_ref().is_some_and(is_of_the_pause) {
            self.end_pause(facts).await;
        }
        if self.grants.tallies.failed(self.digest(), cause.kind, &self.tenant, &self.saved.owner) {
            let wanted = refusal.retry_after.map(|seconds| i64::from(seconds) * SECOND);
            let pause_us = wanted.unwrap_or(PROVIDER_PAUSE / 2);
            self.grants.pause_provider(&self.provider, cause, pause_us).await;
        }
        Err(GrantError::Failing { cause, retry_after: seconds(failure.pause_us) })
    }

    /// Ends the pause that this request tested.
    async fn end_pause(&self, facts: &GrantFacts) {
        if facts.provider_pause.is_some() {
            self.grants.resume_provider(&self.provider).await;
        }
    }

    fn failure(&self, attempt: &Attempt, facts: &GrantFacts, refusal: &Refusal) -> Failure {
        let doubled = 1_i64 << facts.grant.failures.min(30);
        let back_off = doubled.min(MAX_BACK_OFF_SECONDS) * SECOND;
        let wanted = refusal.retry_after.map(|seconds| i64::from(seconds) * SECOND);
        let grace = self.provider.margins.replay_within;
        let (state, pause_us) = match refusal.class {
            RefusalClass::Dead => (Some(GrantState::Dead), DEAD_PAUSE),
            RefusalClass::Interaction => (Some(GrantState::Dead), INTERACTION_PAUSE),
            RefusalClass::ClientBlocked => (None, 0),
            RefusalClass::Busy => (Some(GrantState::Failing), wanted.unwrap_or(back_off)),
            // The next attempt must come while the spent token is still accepted.
            RefusalClass::Ambiguous if grace > 0 => {
                let left = attempt.first_sent + grace - self.grants.store.database_time();
                (Some(GrantState::Failing), back_off.min((left / 2).max(SECOND)))
            }
            RefusalClass::Ambiguous | RefusalClass::ClientFault | RefusalClass::Other => {
                (Some(GrantState::Failing), wanted.unwrap_or(back_off))
            }
        };
        Failure {
            state,
            cause: refusal.cause,
            pause_us,
            counts: !matches!(refusal.class, RefusalClass::Busy | RefusalClass::ClientBlocked),
            is_ambiguous: refusal.class == RefusalClass::Ambiguous,
        }
    }
}

/// Returns the obstacle that prevents any server from sending a request, from the facts in the database.
pub(super) fn obstacle(facts: &GrantFacts, client_digest: &[u8; 32]) -> Option<GrantError> {
    let grant = &facts.grant;
    if let Some(error) = refusal_by(facts, client_digest) {
        return Some(error);
    }
    let left = |until: i64| until - facts.now;
    if let Some(pause) = facts.provider_pause.filter(|pause| left(pause.retry_at) > 0) {
        return Some(of_provider_pause(pause.cause, left(pause.retry_at)));
    }
    let retry_at = grant.retry_at.filter(|retry_at| left(*retry_at) > 0)?;
    let cause = grant.cause.unwrap_or(CauseKind::Network.into());
    Some(match grant.state {
        GrantState::Dead => GrantError::Dead(cause),
        _ => GrantError::Failing { cause, retry_after: seconds(left(retry_at)) },
    })
}

/// Returns the reason why this client sends no request about the grant, for any purpose.
pub(super) fn refusal_by(facts: &GrantFacts, client_digest: &[u8; 32]) -> Option<GrantError> {
    if facts.are_all_paused {
        return Some(GrantError::Paused);
    }
    let given_to = facts.grant.client_digest.as_ref();
    let is_others = given_to.is_some_and(|known| known != client_digest);
    is_others.then(|| GrantError::Dead(CauseKind::OtherClient.into()))
}

/// Returns the refusal that a request without an answer counts as.
fn refusal_of(error: &SendError) -> Refusal {
    let class = if error.was_sent { RefusalClass::Ambiguous } else { RefusalClass::Other };
    Refusal { class, cause: error.cause.into(), retry_after: None }
}

/// Returns the expiry of tokens that were requested at `asked`, of a grant that was given at `given`.
pub(super) fn times(
    tokens: &GrantedTokens,
    margins: &Margins,
    asked: i64,
    given: i64,
) -> RefreshTimes {
    let after = |seconds: i64| asked.saturating_add(seconds.saturating_mul(SECOND));
    let of_jwt = || Some(expiry::of_token(tokens.access_token.expose())?.as_microsecond());
    let idle = margins.idle.map(|idle| asked.saturating_add(idle));
    // A record whose user connected again is older than its grant.
    let absolute = margins.absolute.map(|age| given.saturating_add(age)).filter(|end| *end > asked);
    let said = tokens.refresh_expires_in.map(after);
    RefreshTimes {
        access_expires: tokens.expires_in.map(after).or_else(of_jwt),
        refresh_by: [idle, absolute, said].into_iter().flatten().min(),
    }
}

pub(super) fn of_provider_pause(cause: GrantCause, left_us: i64) -> GrantError {
    match cause.kind {
        CauseKind::InvalidClient => GrantError::Blocked(cause),
        _ => GrantError::Failing { cause, retry_after: seconds(left_us) },
    }
}
