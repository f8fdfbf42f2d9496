//! The exchange of an authorization code for tokens, which are saved.
//!
//! Invariant: a code is sent only after a row that names it is on disk, and a code that has such a row is not sent.
//! Every check that does not need the answer comes before the code is sent. Tokens are saved only if the id_token is
//! valid.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use model::{
    CauseKind, CodeToExchange, GrantCause, GrantDetails, IdempotencyKey, Principal, RetrievalKey,
    SecretText, TokenManagementInfo,
};
use provider::{CodeExchange, GrantedTokens, Refusal, RefusalClass, Registration, code_digest};
use serde_json::{Map, Value};
use store::{NewGrant, Replaced, SavedTokens, StateBinding, StoreError, TokenEnd, TokensToSave};
use tokio::{sync::oneshot, time};
use tracing::warn;

use super::{
    Grants, LAST_COMMIT,
    authorization::ConnectError,
    claims::with_kept,
    error::GrantError,
    in_flight::{self, Flight},
    intervals::PROVIDER_PAUSE,
    providers::{ConfiguredProvider, IdTokens, RequestPermit, prove},
    refresh::{UNSENT_PAUSE, times},
};
use crate::{error_text::error_chain, outgoing::SendError};

/// The pause before another attempt to save tokens that arrived.
const SAVE_PAUSE: Duration = Duration::from_millis(200);
/// The scope with which a provider sends an id_token (OpenID Connect Core §3.1.2.1).
pub(super) const OPENID: &str = "openid";

/// The reason why a code was not exchanged. Nothing was saved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The user cannot be connected.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The state is not that of an authorization by the caller with these values, or is older than ten minutes.
    #[error("the state is another")]
    State,
    /// The user comes from another provider.
    #[error("the issuer is another")]
    Issuer,
    /// The id_token is of another user than the record to connect again.
    #[error("the user is another than that of the record")]
    OtherUser,
    /// The code was sent before.
    #[error("the code was sent before")]
    CodeSent,
    /// The provider refused the code, or a value that was sent with it.
    #[error("the provider refused the code: {0}")]
    Refused(GrantCause),
    /// There is no usable answer, and the code may be spent.
    #[error("there is no usable answer: {0}")]
    Lost(GrantCause),
    /// The id_token is invalid.
    #[error("the id_token is not to be trusted")]
    IdToken,
    /// There is no id_token to compare the nonce with.
    #[error("there is no id_token to compare the nonce with")]
    NoIdToken,
    /// The id_token has another nonce.
    #[error("the nonce is another")]
    Nonce,
    /// The provider issued tokens, and saving them failed: the code is spent.
    #[error("the tokens could not be saved")]
    Unsaved,
    /// An obstacle that also prevents a refresh.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

impl From<StoreError> for ExchangeError {
    fn from(error: StoreError) -> Self {
        Self::Grant(error.into())
    }
}

/// The parameters other than the code that the provider sent the user back with, if the caller passes them on.
#[derive(Default)]
pub(crate) struct SentBack {
    pub(crate) state: Option<SecretText>,
    /// The `iss` parameter: the issuer that sent the user back (RFC 9207 §2).
    pub(crate) issuer: Option<String>,
}

/// An exchange that may be sent.
struct Exchange {
    grants: Arc<Grants>,
    provider: Arc<ConfiguredProvider>,
    registration: Arc<Registration>,
    id_tokens: Option<Arc<IdTokens>>,
    owner: Principal,
    code: CodeToExchange,
    digest: [u8; 32],
    once: Option<IdempotencyKey>,
    /// The tokens of the record to connect again.
    before: Option<SavedTokens>,
    /// Whether requests to the provider were paused.
    was_paused: bool,
    _permit: RequestPermit,
}

impl Grants {
    /// Exchanges a code, saves the tokens in the name of `owner`, and returns the key that retrieves them.
    ///
    /// # Errors
    /// Nothing was saved.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        owner: &Principal,
        code: CodeToExchange,
        sent_back: SentBack,
        once: Option<IdempotencyKey>,
    ) -> Result<RetrievalKey, ExchangeError> {
        let provider = self.provider_for(owner, &code.provider, &code.redirect_uri)?;
        provider.parameters.check(&code.parameters).map_err(ConnectError::from)?;
        if let Some(once) = &once
            && let Some(key) = self.store.exchanged_before(owner, &code, once).await?
        {
            return Ok(key);
        }
        self.check_sent_back(owner, provider, &code, &sent_back)?;
        let before = self.to_connect_again(owner, code.key.as_ref(), &code.provider).await?;
        if before.is_none() {
            self.store.may_save(owner, once.is_some())?;
        } else if once.is_some() {
            self.store.may_use_key(owner)?;
        }
        let was_paused = self.look_for_pause(provider).await?;
        let registration =
            provider.registration_for(&code.parameters).await.map_err(GrantError::from)?;
        let id_tokens = provider.id_tokens().await.map_err(GrantError::from)?;
        if let Some(id_tokens) = &id_tokens {
            let unready = |error| GrantError::from(SendError::unsent(CauseKind::Network, error));
            id_tokens.ready().await.map_err(unready)?;
        }
        self.check_rate(&owner.tenant, &owner.login)?;
        // Here and not in the task, so that there are at most as many tasks as permits.
        let Ok(Some(permit)) = time::timeout(self.wait, provider.permit()).await else {
            return Err(GrantError::Busy.into());
        };
        let digest = code_digest(&provider.client_digest, &code.code);
        let exchange = Exchange {
            grants: Arc::clone(self),
            provider: Arc::clone(provider),
            registration,
            id_tokens,
            owner: owner.clone(),
            code: code.clone(),
            digest,
            once: once.clone(),
            before,
            was_paused,
            _permit: permit,
        };
        let (sender, outcome) = oneshot::channel();
        let task = || async move {
            // The caller may have gone away.
            let _ = sender.send(exchange.run().await);
            Ok(())
        };
        let ending = self.in_flight.join_or_start(Flight::Exchange(digest), task)?;
        // The task does not run if the same code is being exchanged.
        let outcome = outcome.await.unwrap_or(Err(ExchangeError::CodeSent));
        match (outcome, once) {
            (Err(ExchangeError::CodeSent), Some(once)) => {
                let longest = self.deadline + LAST_COMMIT;
                in_flight::wait(ending, Instant::now() + longest).await?;
                // Another server may be exchanging the code.
                loop {
                    let before = self.store.exchanged_before(owner, &code, &once).await?;
                    if let Some(key) = before {
                        return Ok(key);
                    }
                    let age = self.store.exchange_age(digest).await?;
                    if age.is_none_or(|age| age > longest.as_micros() as i64) {
                        return Err(ExchangeError::CodeSent);
                    }
                    time::sleep(SAVE_PAUSE).await;
                }
            }
            (outcome, _) => outcome,
        }
    }

    /// Checks that the user comes from where this caller sent it.
    fn check_sent_back(
        &self,
        caller: &Principal,
        provider: &ConfiguredProvider,
        code: &CodeToExchange,
        sent_back: &SentBack,
    ) -> Result<(), ExchangeError> {
        let issuers = sent_back.issuer.as_deref().zip(provider.issuer());
        if issuers.is_some_and(|(said, configured)| said != configured) {
            return Err(ExchangeError::Issuer);
        }
        let binding = StateBinding {
            caller,
            provider: &code.provider,
            redirect_uri: &code.redirect_uri,
            nonce: code.nonce.as_ref(),
            pkce_verifier: code.pkce_verifier.as_ref(),
            parameters: &code.parameters,
            key: code.key.as_ref(),
        };
        let is_right = |state| self.store.is_state(state, &binding);
        if !sent_back.state.as_ref().is_none_or(is_right) {
            return Err(ExchangeError::State);
        }
        Ok(())
    }

    /// Checks that requests may be sent to the provider, and returns whether they were paused before.
    async fn look_for_pause(&self, provider: &ConfiguredProvider) -> Result<bool, ExchangeError> {
        let (pauses, are_all_paused) =
            self.store.provider_pauses(vec![provider.client_digest]).await?;
        if are_all_paused {
            return Err(GrantError::Paused.into());
        }
        let pause = pauses.into_iter().flatten().next();
        self.pass_pause(provider, pause).await?;
        Ok(pause.is_some())
    }
}

impl Exchange {
    async fn run(self) -> Result<RetrievalKey, ExchangeError> {
        let store = &self.grants.store;
        if !store.begin_exchange(self.digest).await? {
            return Err(ExchangeError::CodeSent);
        }
        let begun = Instant::now();
        let asked = store.database_time();
        let tokens = self.send().await.inspect_err(|error| {
            let ms = begun.elapsed().as_millis() as u64;
            warn!(provider = self.provider.name, %error, ms, "a code was not exchanged");
        })?;
        self.grants.tallies.succeeded(self.provider.client_digest);
        if self.was_paused {
            self.grants.resume_provider(&self.provider).await;
        }
        let claims = self.claims(tokens.id_token.as_ref()).await.inspect_err(|error| {
            warn!(provider = self.provider.name, %error, "tokens of an exchange were dropped");
        })?;
        if self.before.as_ref().is_some_and(|before| is_of_another(before, claims.as_ref())) {
            warn!(provider = self.provider.name, "another user came back: tokens were dropped");
            return Err(ExchangeError::OtherUser);
        }
        self.save(tokens, claims, asked, begun).await
    }

    /// Sends the code.
    async fn send(&self) -> Result<GrantedTokens, ExchangeError> {
        let mut credentials = self.provider.credentials();
        let mut credential = credentials.next();
        let mut is_second_try = false;
        loop {
            let code = CodeExchange {
                code: &self.code.code,
                redirect_uri: &self.code.redirect_uri,
                pkce_verifier: self.code.pkce_verifier.as_ref(),
            };
            let request =
                prove(credential.as_ref(), |proof| self.registration.exchange(&code, proof));
            let answer = self.provider.ask(&self.registration, request, self.grants.deadline).await;
            match answer {
                Ok(Ok(tokens)) => return Ok(tokens),
                Ok(Err(refusal)) if refusal.class == RefusalClass::ClientBlocked => {
                    // The provider issued nothing for the code, so sending it again ends nothing either.
                    credential = credentials.next();
                    if credential.is_none() {
                        let (provider, cause) = (&self.provider, refusal.cause);
                        self.grants.pause_provider(provider, cause, PROVIDER_PAUSE).await;
                        return Err(of_refusal(refusal));
                    }
                }
                Ok(Err(refusal)) => return Err(of_refusal(refusal)),
                Err(error) if error.was_sent => {
                    warn!(%error, provider = self.provider.name, "a provider gave no answer");
                    return Err(ExchangeError::Lost(error.cause.into()));
                }
                Err(_unsent) if !is_second_try => {
                    is_second_try = true;
                    time::sleep(UNSENT_PAUSE).await;
                }
                Err(error) => {
                    warn!(%error, provider = self.provider.name, "a provider cannot be reached");
                    return Err(self.undo(error.cause.into()).await);
                }
            }
        }
    }

    /// Makes a code that was not sent exchangeable again.
    async fn undo(&self, cause: GrantCause) -> ExchangeError {
        match self.grants.store.undo_exchange(self.digest).await {
            Ok(()) => GrantError::Failing { cause, retry_after: 1 }.into(),
            Err(error) => {
                warn!(error = error_chain(&error), "a code that was not sent counts as sent");
                ExchangeError::Lost(cause)
            }
        }
    }

    /// Returns the claims of the id_token after verifying it; `None` if there is no id_token that can be verified.
    async fn claims(
        &self,
        id_token: Option<&SecretText>,
    ) -> Result<Option<Map<String, Value>>, ExchangeError> {
        let nonce = self.code.nonce.as_ref();
        if id_token.is_some() && nonce.is_some() && self.id_tokens.is_none() {
            // There are no keys to verify it with.
            return Err(ExchangeError::IdToken);
        }
        let Some((verifier, id_token)) = self.id_tokens.as_ref().zip(id_token) else {
            let is_due = self.provider.has_issuer()
                && self.registration.scopes.iter().any(|scope| scope == OPENID);
            let is_missing = is_due && nonce.is_some();
            return if is_missing { Err(ExchangeError::NoIdToken) } else { Ok(None) };
        };
        let claims = match verifier.verify(id_token).await {
            Ok(Ok(claims)) => claims,
            Ok(Err(error)) => {
                warn!(%error, provider = self.provider.name, "an id_token is invalid");
                return Err(ExchangeError::IdToken);
            }
            Err(_unavailable) => return Err(ExchangeError::Lost(CauseKind::Network.into())),
        };
        match nonce {
            Some(nonce) if !auth::has_claim(&claims, "nonce", nonce) => Err(ExchangeError::Nonce),
            _ => Ok(Some(claims)),
        }
    }

    /// Saves the tokens. Retries for as long as a stopping server waits.
    async fn save(
        &self,
        tokens: GrantedTokens,
        claims: Option<Map<String, Value>>,
        asked: i64,
        begun: Instant,
    ) -> Result<RetrievalKey, ExchangeError> {
        let times = times(&tokens, &self.provider.margins, asked, asked);
        let subject = claims.as_ref().and_then(|claims| claims.get("sub")?.as_str());
        let before = self.before.as_ref();
        let details = GrantDetails {
            scope: tokens.scope.as_deref().map(SecretText::from),
            subject: subject
                .map(SecretText::from)
                .or_else(|| before.and_then(|before| before.details.subject.clone())),
            parameters: self.code.parameters.clone(),
        };
        let said = claims
            .clone()
            .map(|claims| SecretText::from(Value::Object(claims).to_string()))
            .or_else(|| before.and_then(|before| before.carrier.claims.clone()));
        // Some providers send one with the first consent alone, and it stays valid.
        let refresh_token = tokens
            .refresh_token
            .or_else(|| before.and_then(|before| before.carrier.refresh_token.clone()));
        let grant = refresh_token.is_some().then_some(NewGrant {
            client_digest: self.provider.client_digest,
            refresh_by: times.refresh_by,
        });
        let carrier = TokenManagementInfo {
            access_token: Some(tokens.access_token),
            refresh_token,
            claims: with_kept(said, tokens.kept),
            ..TokenManagementInfo::of(self.code.provider.clone())
        };
        let access_expires = times.access_expires.map(TokenEnd::At);
        let tokens = TokensToSave { carrier: &carrier, details: &details, access_expires, grant };
        let until = begun + self.grants.deadline + LAST_COMMIT;
        loop {
            match self.try_to_save(tokens, claims.as_ref()).await {
                // The code is spent, so no other attempt can succeed.
                Err(StoreError::Overloaded | StoreError::Unavailable(_))
                    if Instant::now() + SAVE_PAUSE < until =>
                {
                    time::sleep(SAVE_PAUSE).await;
                }
                Err(error) => {
                    let (provider, error_text) = (&self.provider.name, error_chain(&error));
                    warn!(provider, error = error_text, "tokens of an exchange were not saved");
                    return Err(match error {
                        StoreError::QuotaReached(_) | StoreError::OtherCall => error.into(),
                        _ => ExchangeError::Unsaved,
                    });
                }
                Ok(key) => return key.ok_or(ExchangeError::Unsaved),
            }
        }
    }

    /// Saves the tokens as a new record, or under the key of the one to connect again. Returns `None` if that record
    /// has ended in the meantime, or another user was faster.
    async fn try_to_save(
        &self,
        tokens: TokensToSave<'_>,
        claims: Option<&Map<String, Value>>,
    ) -> Result<Option<RetrievalKey>, StoreError> {
        let (store, code, once) = (&self.grants.store, &self.code, self.once.as_ref());
        let (Some(key), Some(before)) = (&code.key, &self.before) else {
            return store.save_exchanged_tokens(&self.owner, tokens, code, once).await.map(Some);
        };
        let mut before = before.clone();
        loop {
            let call = once.map(|once| (once, code));
            let replaced = store.replace_tokens(&self.owner, key, &before, tokens, call).await;
            match (replaced, once) {
                // Saved by an attempt that the database did not confirm.
                (Err(StoreError::Reserved), Some(once)) => {
                    return store.exchanged_before(&self.owner, code, once).await;
                }
                (Err(error), _) => return Err(error),
                (Ok(Replaced::Done), _) => return Ok(Some(key.clone())),
                (Ok(Replaced::Ended), _) => return Ok(None),
                (Ok(Replaced::Moved), _) => {
                    match store.external_tokens(&self.owner.tenant, key).await? {
                        Some(now) if !is_of_another(&now, claims) => before = now,
                        _ => return Ok(None),
                    }
                }
            }
        }
    }
}

/// Returns whether these claims are of another user than the record.
fn is_of_another(record: &SavedTokens, claims: Option<&Map<String, Value>>) -> bool {
    let known = record.details.subject.as_ref();
    known.zip(claims).is_some_and(|(known, claims)| !auth::has_claim(claims, "sub", known))
}

/// Maps the provider's refusal to an error about the code.
fn of_refusal(refusal: Refusal) -> ExchangeError {
    let Refusal { class, cause, .. } = refusal;
    match (class, cause.kind) {
        (RefusalClass::Dead | RefusalClass::Interaction, _)
        | (RefusalClass::ClientFault, CauseKind::InvalidRequest | CauseKind::InvalidScope) => {
            ExchangeError::Refused(cause)
        }
        (RefusalClass::ClientBlocked | RefusalClass::ClientFault, _) => {
            GrantError::Blocked(cause).into()
        }
        (RefusalClass::Busy | RefusalClass::Ambiguous | RefusalClass::Other, _) => {
            ExchangeError::Lost(cause)
        }
    }
}
