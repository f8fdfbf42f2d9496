//! One refresh, from the claim to what became of it.
//!
//! Invariant: the request leaves only after its attempt is on disk. The new tokens are committed, or at least in a file,
//! before anything else is done with the answer.

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
    Grants, SECOND,
    decision::time_left,
    error::GrantError,
    in_flight::End,
    providers::{ConfiguredProvider, Margins, Secrets},
};
use crate::{error_text::error_chain, expiry};

/// A request that has not left by then after its claim was queued does not leave: the lease may be over before the
/// answer is there.
const CLAIM_TIME: Duration = Duration::from_secs(2);
/// How often a claim is made again because it took too long.
const CLAIMS: usize = 5;
/// The pause between two looks at a record that another server refreshes: at first, and at most.
const LOOKS: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(150));
/// How often a request is sent in one attempt, the first time included.
const TRIES: usize = 3;
/// The pauses before a request that was not sent, or whose answer was lost, is sent again.
pub(super) const UNSENT_PAUSE: Duration = Duration::from_millis(1500);
const LOST_PAUSE: Duration = Duration::from_millis(400);
/// The longest pause of a record after failures.
const MAX_BACK_OFF_SECONDS: i64 = 300;
/// For how long a dead grant is not tried again: verdicts err. One that waits for its user, hourly.
const DEAD_PAUSE: i64 = 24 * 3600 * SECOND;
const INTERACTION_PAUSE: i64 = 3600 * SECOND;

/// A refresh of one record.
pub(super) struct Refresh {
    pub(super) grants: Arc<Grants>,
    pub(super) provider: Arc<ConfiguredProvider>,
    pub(super) tenant: TenantId,
    pub(super) key: RetrievalKey,
    pub(super) saved: SavedTokens,
    pub(super) refresh_token: SecretText,
    /// The least time after the last attempt, in microseconds.
    pub(super) pause_us: i64,
    /// Whether the stored access token is not good enough for the caller.
    pub(super) is_needed: bool,
    /// When the callers stop to wait.
    pub(super) until: Instant,
}

/// What a request came to.
enum Outcome {
    Tokens(GrantedTokens),
    Refused(Refusal),
    /// It was not sent.
    Unsent(CauseKind),
    /// It may have been sent, and there is no answer.
    Lost(CauseKind),
}

impl Refresh {
    /// Refreshes the record, unless somebody else does or something is in the way.
    pub(super) async fn run(self) -> End {
        // Not under the claim: a lease holds for seconds.
        let registration = self.provider.registration().await.map_err(|error| {
            let retry_after = 60;
            GrantError::Failing { cause: error.cause.into(), retry_after }
        })?;
        let mut place = None;
        let mut look = LOOKS.0;
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
                if Instant::now() + look > self.until {
                    return Err(GrantError::Busy);
                }
                time::sleep(look).await;
                look = (2 * look).min(LOOKS.1);
            };
            if place.is_none() {
                let free = time::timeout_at(self.until.into(), self.provider.place()).await;
                place = Some(free.ok().flatten().ok_or(GrantError::Busy)?);
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
                pause_us: self.pause_us,
                unsent: unsent.take(),
            };
            match self.grants.store.claim_refresh(claim).await? {
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

    /// What keeps a request from being sent. The claim of one that never left may be made again at once.
    async fn look_for_obstacle(&self, facts: &GrantFacts, is_again: bool) -> End {
        if let Some(error) = obstacle(facts, &self.digest()) {
            return Err(error);
        }
        let next = facts.grant.claimed.map(|claimed| claimed.saturating_add(self.pause_us));
        if let Some(next) = next.filter(|next| *next > facts.now && !is_again) {
            return Err(GrantError::TooMany { retry_after: seconds(next - facts.now) });
        }
        let is_open = facts.grant.first_sent.is_some();
        if is_open && self.provider.margins.replay_within == 0 && !self.is_needed {
            // At a provider that ends the grant for a token that is sent twice, a replay ends the access token, too.
            let cause = facts.grant.cause.unwrap_or(CauseKind::Timeout.into());
            return Err(GrantError::Failing { cause, retry_after: seconds(super::PROVIDER_PAUSE) });
        }
        self.grants.pass_pause(&self.provider, facts.provider_pause).await
    }

    /// Sends the request, and does with the outcome what is to be done.
    async fn attempt(
        &self,
        registration: &Registration,
        mut attempt: Attempt,
        facts: &GrantFacts,
    ) -> End {
        if attempt.is_taken_over {
            info!(record = self.record().text(), "took over a refresh that was not finished");
        }
        let begun = Instant::now();
        let Secrets { current, next } = self.provider.secrets();
        let mut secrets = [current, next].into_iter().flatten();
        let mut secret = secrets.next();
        let mut tries = 1;
        let outcome = loop {
            let outcome = self.send(registration, secret.as_ref()).await;
            let is_refused_client = matches!(
                outcome,
                Outcome::Refused(Refusal { class: RefusalClass::ClientBlocked, .. })
            );
            let pause = match &outcome {
                _ if is_refused_client => secrets.next().map(|other| {
                    secret = Some(other);
                    Duration::ZERO
                }),
                Outcome::Unsent(_) if tries < 2 => Some(UNSENT_PAUSE),
                _ if self.may_replay(&outcome, &attempt) => Some(LOST_PAUSE),
                _ => None,
            };
            let may_go_on = tries < TRIES && !self.grants.in_flight.is_stopping();
            let Some(pause) = pause.filter(|_| may_go_on) else { break outcome };
            attempt.is_replay |= !is_refused_client && !matches!(outcome, Outcome::Unsent(_));
            tries += 1;
            time::sleep(pause).await;
            let asked = Instant::now();
            if !self.grants.store.holds_attempt(&attempt).await? {
                return Ok(());
            }
            if asked.elapsed() >= CLAIM_TIME {
                return Err(GrantError::Busy);
            }
        };
        let ms = begun.elapsed().as_millis() as u64;
        match outcome {
            Outcome::Tokens(tokens) => self.commit(&attempt, tokens, facts).await,
            Outcome::Refused(refusal) => self.fail(&attempt, facts, refusal, ms).await,
            Outcome::Unsent(kind) => {
                let refusal =
                    Refusal { class: RefusalClass::Other, cause: kind.into(), retry_after: None };
                self.fail(&attempt, facts, refusal, ms).await
            }
            Outcome::Lost(kind) => {
                let (class, cause) = (RefusalClass::Ambiguous, kind.into());
                self.fail(&attempt, facts, Refusal { class, cause, retry_after: None }, ms).await
            }
        }
    }

    async fn send(&self, registration: &Registration, secret: Option<&SecretText>) -> Outcome {
        let request = registration.refresh(&self.refresh_token, secret);
        match self.provider.ask(registration, request, self.grants.deadline).await {
            Ok(Ok(tokens)) => Outcome::Tokens(tokens),
            Ok(Err(refusal)) => Outcome::Refused(refusal),
            Err(error) => {
                warn!(%error, record = self.record().text(), "a provider gave no answer");
                let outcome = if error.was_sent { Outcome::Lost } else { Outcome::Unsent };
                outcome(error.cause)
            }
        }
    }

    /// Whether the same token is sent again in this attempt, because an answer was lost.
    fn may_replay(&self, outcome: &Outcome, attempt: &Attempt) -> bool {
        let grace = self.provider.margins.replay_within;
        let now = self.grants.store.database_time();
        let is_within_grace = grace > 0 && now < attempt.first_sent.saturating_add(grace);
        let left = time_left(&self.saved, &self.provider.margins, now);
        let has_ended = left.is_some_and(|left| left <= 0);
        match outcome {
            // The provider may still be at work.
            Outcome::Lost(CauseKind::Timeout) => is_within_grace,
            Outcome::Lost(_) => is_within_grace || has_ended,
            Outcome::Refused(Refusal { class: RefusalClass::Ambiguous, .. }) => {
                is_within_grace || has_ended
            }
            _ => false,
        }
    }

    async fn commit(&self, attempt: &Attempt, tokens: GrantedTokens, facts: &GrantFacts) -> End {
        let created = self.saved.times.created;
        let times = times(&tokens, &self.provider.margins, attempt.claimed, created);
        let before = &self.saved.details;
        let details = GrantDetails {
            scope: tokens.scope.as_deref().map(SecretText::from).or_else(|| before.scope.clone()),
            subject: before.subject.clone(),
        };
        let GrantedTokens { access_token, refresh_token, id_token, .. } = tokens;
        let carrier = TokenManagementInfo {
            access_token: Some(access_token),
            refresh_token: refresh_token.or_else(|| Some(self.refresh_token.clone())),
            claims: self.saved.carrier.claims.clone(),
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
                info!(record, "a record ended while it was refreshed");
            }
            Committed::Superseded => {
                warn!(record, provider, attempt = attempt.number, "a later refresh won");
            }
            Committed::Unsaved => return Err(GrantError::Unsaved),
        }
        self.grants.tallies.succeeded(self.digest());
        self.end_pause(facts).await;
        self.look_at_scope(before, &details);
        self.look_at_subject(id_token);
        Ok(())
    }

    /// A provider may grant less than it did; the user may be asked then for what is missing.
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

    /// The user of an id_token must be the one that the first was of (OpenID Connect Core §12.2). Nobody waits for it.
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
            // Another attempt has spoken: its tokens are to be read.
            Ok(None) => return Ok(()),
            Err(error) => {
                warn!(record, error = error_chain(&error), "a failed refresh could not be noted");
                refusal.cause
            }
        };
        if refusal.class == RefusalClass::ClientBlocked {
            self.grants.pause_provider(&self.provider, cause, super::PROVIDER_PAUSE).await;
            return Err(GrantError::Blocked(cause));
        }
        if matches!(refusal.class, RefusalClass::Dead | RefusalClass::Interaction) {
            // The provider had no fault to find with the client.
            self.end_pause(facts).await;
            return Err(GrantError::Dead(cause));
        }
        let is_of_the_pause = |pause: &ProviderPause| pause.cause.kind == cause.kind;
        let is_verdict = !matches!(refusal.class, RefusalClass::Busy | RefusalClass::Ambiguous);
        if is_verdict && !facts.provider_pause.as_ref().is_some_and(is_of_the_pause) {
            self.end_pause(facts).await;
        }
        if self.grants.tallies.failed(self.digest(), cause.kind, &self.tenant, &self.saved.owner) {
            let told = refusal.retry_after.map(|seconds| i64::from(seconds) * SECOND);
            let pause_us = told.unwrap_or(super::PROVIDER_PAUSE / 2);
            self.grants.pause_provider(&self.provider, cause, pause_us).await;
        }
        Err(GrantError::Failing { cause, retry_after: seconds(failure.pause_us) })
    }

    /// Ends the pause that this request was to show the end of.
    async fn end_pause(&self, facts: &GrantFacts) {
        if facts.provider_pause.is_some() {
            self.grants.resume_provider(&self.provider).await;
        }
    }

    fn failure(&self, attempt: &Attempt, facts: &GrantFacts, refusal: &Refusal) -> Failure {
        let doubled = 1_i64 << facts.grant.failures.min(30);
        let back_off = doubled.min(MAX_BACK_OFF_SECONDS) * SECOND;
        let told = refusal.retry_after.map(|seconds| i64::from(seconds) * SECOND);
        let grace = self.provider.margins.replay_within;
        let (state, pause_us) = match refusal.class {
            RefusalClass::Dead => (Some(GrantState::Dead), DEAD_PAUSE),
            RefusalClass::Interaction => (Some(GrantState::Dead), INTERACTION_PAUSE),
            RefusalClass::ClientBlocked => (None, 0),
            RefusalClass::Busy => (Some(GrantState::Failing), told.unwrap_or(back_off)),
            // The next attempt must come while the spent token is still accepted.
            RefusalClass::Ambiguous if grace > 0 => {
                let left = attempt.first_sent + grace - self.grants.store.database_time();
                (Some(GrantState::Failing), back_off.min((left / 2).max(SECOND)))
            }
            RefusalClass::Ambiguous | RefusalClass::ClientFault | RefusalClass::Other => {
                (Some(GrantState::Failing), told.unwrap_or(back_off))
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

/// What keeps any server from sending a request, by what the database knows.
pub(super) fn obstacle(facts: &GrantFacts, client_digest: &[u8; 32]) -> Option<GrantError> {
    let grant = &facts.grant;
    if facts.are_all_paused {
        return Some(GrantError::Paused);
    }
    if grant.client_digest.as_ref().is_some_and(|known| known != client_digest) {
        return Some(GrantError::Dead(CauseKind::OtherClient.into()));
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

/// When tokens end that were asked for then, of a grant that was given then.
pub(super) fn times(
    tokens: &GrantedTokens,
    margins: &Margins,
    asked: i64,
    given: i64,
) -> RefreshTimes {
    let after = |seconds: i64| asked.saturating_add(seconds.saturating_mul(SECOND));
    let told = || Some(expiry::of_token(tokens.access_token.expose())?.as_microsecond());
    let idle = margins.idle.map(|idle| asked.saturating_add(idle));
    let absolute = margins.absolute.map(|age| given.saturating_add(age));
    let said = tokens.refresh_expires_in.map(after);
    RefreshTimes {
        access_expires: tokens.expires_in.map(after).or_else(told),
        refresh_by: [idle, absolute, said].into_iter().flatten().min(),
    }
}

pub(super) fn of_provider_pause(cause: GrantCause, left_us: i64) -> GrantError {
    match cause.kind {
        CauseKind::InvalidClient => GrantError::Blocked(cause),
        _ => GrantError::Failing { cause, retry_after: seconds(left_us) },
    }
}

/// Microseconds as seconds, rounded up, and one at least.
pub(super) fn seconds(us: i64) -> u64 {
    us.max(1).unsigned_abs().div_ceil(SECOND.unsigned_abs())
}
