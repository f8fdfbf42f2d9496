//! The providers that are configured.
//!
//! Invariant: a provider is made once, at the start. What changes while the server runs is its secrets, by SIGHUP, and
//! what its issuer's discovery document says. A tenant finds only what is configured for it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use model::{CauseKind, GrantDetails, SecretText, TenantId};
use provider::{
    Answer, Endpoints, GrantedTokens, Metadata, Parameters, ProviderRequest, Refusal, RefusalClass,
    Registration, client_digest,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    discovery::{self, Discovery},
    id_tokens::IdTokens,
    intervals::SECOND,
};
use crate::{
    config::{
        Config,
        grants::{ProviderSettings, RevocationEnds},
    },
    outgoing::{Outgoing, OutgoingRules, Received, SendError},
};

const DAY: i64 = 86_400 * SECOND;
/// How long a look at a provider may take that only asks whether it is there.
const PROBE: Duration = Duration::from_secs(10);

/// The providers of all tenants.
pub(crate) struct Providers {
    /// In the order of the configuration, without the secrets.
    all: Vec<(ProviderSettings, Arc<ConfiguredProvider>)>,
    /// By name, the indices of the list above.
    by_name: HashMap<String, Vec<usize>>,
}

/// A provider, the client that this server is there, and the way to it.
pub(crate) struct ConfiguredProvider {
    pub(crate) name: String,
    /// What errors and the log call it.
    pub(crate) place: String,
    /// Which client of which provider it is (`provider::client_digest`).
    pub(crate) client_digest: [u8; 32],
    pub(crate) margins: Margins,
    /// Whether a refresh token is replaced when it is used.
    rotates: bool,
    /// Whether a refresh ends the access token before.
    pub(crate) ends_access_token: bool,
    /// Whether clients get the refresh token.
    pub(crate) give_refresh_token: bool,
    /// Whether the end of a record by its key revokes its grant.
    pub(crate) revoke_upstream: bool,
    /// What is revoked with a refresh token.
    pub(crate) revocation_ends: RevocationEnds,
    /// What a code may have been brought back to.
    pub(crate) redirect_uris: Vec<String>,
    /// What stands in its URLs for what differs from user to user.
    pub(crate) parameters: Parameters,
    origin: Origin,
    outgoing: Arc<Outgoing>,
    secrets: RwLock<Secrets>,
    /// A permit for each request to this provider, and one for each to any.
    requests: Arc<Semaphore>,
    all_requests: Arc<Semaphore>,
}

/// Times of a provider, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Margins {
    /// With less than this left, a token is refreshed beside the call.
    pub(crate) refresh_before: i64,
    /// With less than this left, it is refreshed before the call is answered.
    pub(crate) minimum: i64,
    /// For how long a spent refresh token is accepted again; 0 if that is not known.
    pub(crate) replay_within: i64,
    /// How long a token lives if nothing says so; `None` is without end.
    pub(crate) assume_expires_in: Option<i64>,
    /// With more than this left, the provider refuses a refresh.
    pub(crate) earliest: Option<i64>,
    /// After how long without use a refresh token dies.
    pub(crate) idle: Option<i64>,
    /// After how long a refresh token dies in any case.
    pub(crate) absolute: Option<i64>,
}

/// The secrets of a client. The next one is tried if the provider refuses the current one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    pub(crate) current: Option<SecretText>,
    pub(crate) next: Option<SecretText>,
}

/// The right to have a request under way, until it is dropped.
pub(crate) struct RequestPermit {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// Where the endpoints come from.
enum Origin {
    Named { registration: Arc<Registration>, id_tokens: Option<Arc<IdTokens>> },
    Discovered(Box<Discovered>),
}

struct Discovered {
    discovery: Discovery,
    issuer: String,
    /// The registration without endpoints.
    registration: Registration,
    /// What was made of the metadata that was read last.
    made: Mutex<Option<Made>>,
}

#[derive(Clone)]
struct Made {
    of: Arc<Metadata>,
    registration: Arc<Registration>,
    id_tokens: Option<Arc<IdTokens>>,
}

impl Providers {
    /// The providers of the configuration. Nothing is sent yet.
    ///
    /// # Errors
    /// A file of certificates cannot be used; the message names the provider.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let all_requests = Arc::new(Semaphore::new(config.grants.concurrent as usize));
        let mut all = Vec::new();
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for (place, settings) in config.grants.providers.named() {
            let provider = ConfiguredProvider::new(config, &place, settings, &all_requests);
            let mut settings = settings.clone();
            (settings.client_secret, settings.next_client_secret) = (None, None);
            by_name.entry(settings.name.clone()).or_default().push(all.len());
            all.push((settings, Arc::new(provider.context(place)?)));
        }
        Ok(Self { all, by_name })
    }

    /// The provider of that name, compared exactly, for a tenant.
    pub(crate) fn find(&self, tenant: &TenantId, name: &str) -> Option<&Arc<ConfiguredProvider>> {
        let mut of_name = self.by_name.get(name)?.iter().map(|index| &self.all[*index]);
        let found = of_name.find(|(settings, _provider)| settings.is_for(tenant));
        found.map(|(_settings, provider)| provider)
    }

    /// Every provider, in the order of the configuration.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<ConfiguredProvider>> {
        self.all.iter().map(|(_settings, provider)| provider)
    }

    /// Takes the secrets of a configuration that was read again, and nothing else of it.
    ///
    /// # Errors
    /// Names the providers that are not in it any more as they were; their secrets stay.
    pub(crate) fn reload_secrets(&self, config: &Config) -> anyhow::Result<()> {
        let mut lost = Vec::new();
        for (settings, provider) in &self.all {
            let is_same = |new: &&ProviderSettings| {
                new.name == settings.name
                    && new.tenants == settings.tenants
                    && digest_of(new) == provider.client_digest
                    && new.client_auth == settings.client_auth
            };
            match config.grants.providers.items().iter().find(is_same) {
                Some(new) => provider.set_secrets(Secrets::of(new)),
                None => lost.push(provider.place.as_str()),
            }
        }
        if !lost.is_empty() {
            bail!(
                "changed in more than a secret, which counts after a restart: {}",
                lost.join(", ")
            );
        }
        Ok(())
    }
}

impl ConfiguredProvider {
    fn new(
        config: &Config,
        place: &str,
        settings: &ProviderSettings,
        all_requests: &Arc<Semaphore>,
    ) -> anyhow::Result<Self> {
        let outgoing = Arc::new(Outgoing::new(&OutgoingRules {
            ca: settings.ca.as_deref(),
            allow_private_addresses: settings.allow_private_addresses,
            allow_plain_loopback: config.is_development(),
            egress_proxy: config.grants.egress_proxy.as_deref(),
        })?);
        let per_provider = config.grants.concurrent_per_provider as usize;
        Ok(Self {
            name: settings.name.clone(),
            place: place.to_owned(),
            client_digest: digest_of(settings),
            margins: Margins::of(settings),
            rotates: settings.rotates,
            ends_access_token: settings.ends_access_token,
            give_refresh_token: settings.give_refresh_token,
            revoke_upstream: settings.revoke_upstream,
            revocation_ends: settings.revocation_ends,
            redirect_uris: settings.redirect_uris.clone(),
            parameters: settings.parameters.clone(),
            origin: Origin::of(place, settings, &outgoing)?,
            outgoing,
            secrets: RwLock::new(Secrets::of(settings)),
            requests: Arc::new(Semaphore::new(per_provider)),
            all_requests: Arc::clone(all_requests),
        })
    }

    /// How requests to the provider are made. If its issuer is configured, its metadata is fetched where need be.
    ///
    /// # Errors
    /// There is no metadata, and it cannot be fetched.
    pub(crate) async fn registration(&self) -> Result<Arc<Registration>, SendError> {
        match &self.origin {
            Origin::Named { registration, .. } => Ok(Arc::clone(registration)),
            Origin::Discovered(discovered) => Ok(self.made(discovered).await?.registration),
        }
    }

    /// As `registration`, with these values in the places of the parameters of its URLs.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn registration_for(
        &self,
        values: &BTreeMap<String, String>,
    ) -> Result<Arc<Registration>, SendError> {
        let registration = self.registration().await?;
        if values.is_empty() {
            return Ok(registration);
        }
        let endpoints = registration.endpoints.fill(values);
        Ok(Arc::new(Registration { endpoints, ..(*registration).clone() }))
    }

    /// Whether the URLs of requests for a grant are known: a record may have no values for their parameters.
    pub(crate) fn has_urls_for(&self, grant: &GrantDetails) -> bool {
        self.parameters.check(&grant.parameters).is_ok()
    }

    /// What verifies the provider's id_tokens; `None` if it has no keys.
    ///
    /// # Errors
    /// As `registration`.
    pub(crate) async fn id_tokens(&self) -> Result<Option<Arc<IdTokens>>, SendError> {
        match &self.origin {
            Origin::Named { id_tokens, .. } => Ok(id_tokens.clone()),
            Origin::Discovered(discovered) => Ok(self.made(discovered).await?.id_tokens),
        }
    }

    /// Whether a refresh token that was sent then may be sent again: if the provider does not replace it, or accepts the
    /// one before for a while.
    pub(crate) fn accepts_again(&self, first_sent: i64, now: i64) -> bool {
        !self.rotates || now < first_sent.saturating_add(self.margins.replay_within)
    }

    /// The secrets in force.
    pub(crate) fn secrets(&self) -> Secrets {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_secrets(&self, secrets: Secrets) {
        *self.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
    }

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
        let Secrets { current, next } = self.secrets();
        let mut secrets = [current, next].into_iter().flatten();
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
        let sent = tokio::task::spawn_blocking(move || outgoing.post(&request, deadline)).await;
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

    /// The issuer, if it is configured.
    pub(crate) fn issuer(&self) -> Option<&str> {
        match &self.origin {
            Origin::Discovered(discovered) => Some(&discovered.issuer),
            Origin::Named { .. } => None,
        }
    }

    /// Whether it has an issuer, which sends an id_token for a code if `openid` is among the scopes (OpenID Connect
    /// Core §3.1.3.3).
    pub(crate) fn has_issuer(&self) -> bool {
        matches!(self.origin, Origin::Discovered(_))
    }

    /// Asks whether the provider is there, without a secret: by its metadata, or by an answer of its token endpoint
    /// whatever it is. Returns what was found. Blocks.
    ///
    /// # Errors
    /// It is not there, or TLS does not vouch for it.
    pub(crate) fn probe(&self) -> Result<String, SendError> {
        match &self.origin {
            Origin::Discovered(discovered) => {
                let metadata = discovery::fetch(&self.outgoing, &discovered.issuer)?;
                let keys = metadata.jwks_uri.map(|jwks| format!(", keys at {jwks}"));
                let keys = keys.unwrap_or_default();
                Ok(format!(
                    "its metadata names the token endpoint {}{keys}",
                    metadata.token_endpoint
                ))
            }
            Origin::Named { registration, .. } => {
                let endpoint = &registration.endpoints.token;
                if self.parameters.open().next().is_some() {
                    return Ok(format!("{endpoint} has parameters, so that it is not asked"));
                }
                let answer = self.outgoing.get(endpoint, PROBE)?;
                Ok(format!("{endpoint} answers a GET with {}", answer.status))
            }
        }
    }

    async fn made(&self, discovered: &Discovered) -> Result<Made, SendError> {
        let metadata = discovered.discovery.metadata().await?;
        let mut made = discovered.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| Arc::ptr_eq(&made.of, &metadata)) {
            return Ok(made.clone());
        }
        let before = made.as_ref().and_then(|made| made.id_tokens.clone());
        let id_tokens = match (&metadata.jwks_uri, before) {
            (Some(jwks), Some(before)) if before.jwks == *jwks => Some(before),
            (Some(jwks), _) => {
                let issuer = Some(discovered.issuer.as_str());
                let client_id = &discovered.registration.client_id;
                let made = IdTokens::new(&self.place, jwks, issuer, client_id, &self.outgoing);
                Some(Arc::new(made.map_err(|error| {
                    SendError::unsent(CauseKind::Unreadable, format_args!("{error:#}"))
                })?))
            }
            (None, _) => None,
        };
        let endpoints = Endpoints {
            authorization: metadata.authorization_endpoint.clone(),
            token: metadata.token_endpoint.clone(),
            refresh: None,
            revocation: metadata.revocation_endpoint.clone(),
            introspection: metadata.introspection_endpoint.clone(),
        };
        let registration = Registration { endpoints, ..discovered.registration.clone() };
        let new = Made { of: metadata, registration: Arc::new(registration), id_tokens };
        *made = Some(new.clone());
        Ok(new)
    }
}

impl Origin {
    fn of(
        place: &str,
        settings: &ProviderSettings,
        outgoing: &Arc<Outgoing>,
    ) -> anyhow::Result<Self> {
        if let Some(issuer) = &settings.issuer {
            let issuer = settings.filled(issuer);
            return Ok(Self::Discovered(Box::new(Discovered {
                discovery: Discovery::new(&issuer, place, outgoing),
                issuer,
                registration: registration(settings),
                made: Mutex::new(None),
            })));
        }
        let id_tokens = settings.jwks.as_ref().map(|jwks| {
            let setting = format!("{place}: jwks");
            let jwks = settings.filled(jwks);
            IdTokens::new(&setting, &jwks, None, &settings.client_id, outgoing).map(Arc::new)
        });
        Ok(Self::Named {
            registration: Arc::new(registration(settings)),
            id_tokens: id_tokens.transpose()?,
        })
    }
}

impl Margins {
    fn of(settings: &ProviderSettings) -> Self {
        let seconds = |seconds: u32| i64::from(seconds) * SECOND;
        let unless_zero = |value: u32| (value > 0).then(|| seconds(value));
        let days = |days: u32| i64::from(days) * DAY;
        Self {
            refresh_before: seconds(settings.refresh_before_seconds),
            minimum: seconds(settings.minimum_seconds),
            replay_within: seconds(settings.replay_within_seconds),
            assume_expires_in: unless_zero(settings.assume_expires_in_seconds),
            earliest: unless_zero(settings.earliest_seconds),
            idle: settings.idle_days.map(days),
            absolute: settings.absolute_days.map(days),
        }
    }
}

impl Secrets {
    fn of(settings: &ProviderSettings) -> Self {
        let text = |secret: &SecretString| SecretText::from(secret.expose_secret());
        Self {
            current: settings.client_secret.as_ref().map(text),
            next: settings.next_client_secret.as_ref().map(text),
        }
    }
}

fn digest_of(settings: &ProviderSettings) -> [u8; 32] {
    let source = settings.issuer.as_ref().or(settings.token_endpoint.as_ref());
    client_digest(&settings.filled(source.map_or("", String::as_str)), &settings.client_id)
}

/// The registration as far as the configuration knows it; without an issuer that is the whole.
fn registration(settings: &ProviderSettings) -> Registration {
    let endpoints = Endpoints {
        authorization: settings.authorization_endpoint.clone(),
        token: settings.token_endpoint.clone().unwrap_or_default(),
        refresh: settings.refresh_endpoint.clone(),
        revocation: settings.revocation_endpoint.clone(),
        introspection: settings.introspection_endpoint.clone(),
    };
    Registration {
        endpoints: endpoints.fill(&settings.parameters.fixed()),
        client_id: settings.client_id.clone(),
        client_auth: settings.client_auth,
        scopes: settings.scopes.clone(),
        request: settings.request.clone(),
        answer: settings.answer.clone(),
        errors: settings.errors.clone(),
    }
}

#[cfg(test)]
mod tests;
