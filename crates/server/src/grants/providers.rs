//! The configured providers.
//!
//! Invariant: a provider is built once, at the start. While the server runs, only these change: its secrets, keys and
//! client certificate, by SIGHUP, and its issuer's metadata. A tenant finds only the providers that are configured for
//! it.

mod credentials;
mod discovery;
mod id_tokens;
mod origin;
mod requests;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context as _, bail};
use model::TenantId;
use provider::{Parameters, client_digest};
use store::PausedProvider;
use tokio::sync::Semaphore;

use self::origin::Origin;
pub(crate) use self::{
    credentials::{Credential, prove},
    id_tokens::IdTokens,
    requests::RequestPermit,
};
use super::intervals::SECOND;
use crate::{
    config::{
        Config,
        grants::{ProviderSettings, RevocationEnds},
        tenants,
    },
    outgoing::{Outgoing, OutgoingRules},
};

const DAY: i64 = 86_400 * SECOND;

/// The providers of all tenants.
pub(crate) struct Providers {
    /// In the order of the configuration, without the secrets.
    all: Vec<(ProviderSettings, Arc<ConfiguredProvider>)>,
    /// Indices into `all`, by name.
    by_name: HashMap<String, Vec<usize>>,
}

/// A provider, the registration of this server as its client, and the HTTP client for it.
pub(crate) struct ConfiguredProvider {
    pub(crate) name: String,
    /// The name of the provider in errors and in the log.
    pub(crate) place: String,
    /// Identifies the client at the provider (`provider::client_digest`).
    pub(crate) client_digest: [u8; 32],
    /// The tenants that may use it; `None` is every tenant.
    tenants: Option<Vec<TenantId>>,
    pub(crate) margins: Margins,
    /// Whether a use of a refresh token replaces it.
    rotates: bool,
    /// Whether a refresh ends the current access token.
    pub(crate) ends_access_token: bool,
    /// Whether clients get the refresh token.
    pub(crate) give_refresh_token: bool,
    /// Whether the end of a record by its key revokes its grant.
    pub(crate) revoke_upstream: bool,
    /// The tokens that end when a refresh token is revoked.
    pub(crate) revocation_ends: RevocationEnds,
    /// The allowed redirect URIs.
    pub(crate) redirect_uris: Vec<String>,
    /// The parameters in its URLs, for the part that differs from user to user.
    pub(crate) parameters: Parameters,
    origin: Origin,
    outgoing: Arc<Outgoing>,
    /// The client's credentials, in the order in which they are tried; empty for a public client.
    credentials: RwLock<Vec<Credential>>,
    /// Permits for requests to this provider, and for requests to all providers.
    requests: Arc<Semaphore>,
    all_requests: Arc<Semaphore>,
}

/// Time limits of a provider, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Margins {
    /// A token with less time left is refreshed in the background.
    pub(crate) refresh_before: i64,
    /// A token with less time left is refreshed before the call is answered.
    pub(crate) minimum: i64,
    /// The time for which a spent refresh token is accepted again; 0 if that is not known.
    pub(crate) replay_within: i64,
    /// The assumed life of a token whose expiry is unknown; `None` is without end.
    pub(crate) assume_expires_in: Option<i64>,
    /// The provider refuses to refresh a token with more time left.
    pub(crate) earliest: Option<i64>,
    /// A refresh token expires after this time without use.
    pub(crate) idle: Option<i64>,
    /// A refresh token expires after this time in any case.
    pub(crate) absolute: Option<i64>,
}

impl Providers {
    /// Builds the providers of the configuration. Nothing is sent yet.
    ///
    /// # Errors
    /// A certificate file is invalid; the message names the provider.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let all_requests = Arc::new(Semaphore::new(config.grants.concurrent as usize));
        let mut all = Vec::new();
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for (place, settings) in config.grants.providers.named() {
            let provider = ConfiguredProvider::new(config, &place, settings, &all_requests);
            let mut settings = settings.clone();
            (settings.client_secret, settings.next_client_secret) = (None, None);
            settings.assertion_keys.clear();
            settings.client_certificate = None;
            by_name.entry(settings.name.clone()).or_default().push(all.len());
            all.push((settings, Arc::new(provider.context(place)?)));
        }
        Ok(Self { all, by_name })
    }

    /// Returns the provider of exactly that name, for a tenant.
    pub(crate) fn find(&self, tenant: &TenantId, name: &str) -> Option<&Arc<ConfiguredProvider>> {
        let mut of_name = self.by_name.get(name)?.iter().map(|index| &self.all[*index]);
        let found = of_name.find(|(settings, _provider)| settings.is_for(tenant));
        found.map(|(_settings, provider)| provider)
    }

    /// Returns every provider, in the order of the configuration.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<ConfiguredProvider>> {
        self.all.iter().map(|(_settings, provider)| provider)
    }

    /// Takes the secrets, keys and client certificates of a configuration that was read again, and nothing else of it.
    ///
    /// # Errors
    /// Names the providers that are missing or changed in it; those keep their secrets.
    pub(crate) fn reload_secrets(&self, config: &Config) -> anyhow::Result<()> {
        let mut lost = Vec::new();
        for (settings, provider) in &self.all {
            let is_same = |new: &&ProviderSettings| {
                new.name == settings.name
                    && new.tenants == settings.tenants
                    && digest_of(new) == provider.client_digest
                    && new.client_auth == settings.client_auth
                    && new.tls.is_some() == settings.tls.is_some()
                    && new.assertion_audience == settings.assertion_audience
                    && new.scopes == settings.scopes
                    && new.ca == settings.ca
            };
            match config.grants.providers.items().iter().find(is_same) {
                Some(new) => provider.take_credentials(new),
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
            client_certificate: settings.client_certificate.clone(),
            allow_private_addresses: settings.allow_private_addresses,
            allow_plain_loopback: config.is_development(),
            egress_proxy: config.grants.egress_proxy.as_deref(),
        })?);
        let per_provider = config.grants.concurrent_per_provider as usize;
        Ok(Self {
            name: settings.name.clone(),
            place: place.to_owned(),
            client_digest: digest_of(settings),
            tenants: tenants::named(&settings.tenants, config.only_tenant()?.as_ref()),
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
            credentials: RwLock::new(Credential::of(settings)),
            requests: Arc::new(Semaphore::new(per_provider)),
            all_requests: Arc::clone(all_requests),
        })
    }

    /// Returns whether a refresh token that was first sent then may be sent again: the provider does not replace it, or
    /// accepts the one before for a while.
    pub(crate) fn accepts_again(&self, first_sent: i64, now: i64) -> bool {
        !self.rotates || now < first_sent.saturating_add(self.margins.replay_within)
    }

    /// Returns the data that the store needs to pause the provider.
    pub(super) fn as_paused(&self) -> PausedProvider {
        PausedProvider {
            client_digest: self.client_digest,
            name: self.name.clone(),
            tenants: self.tenants.clone(),
        }
    }

    /// Returns the client's credentials, in the order in which they are tried: the next one follows if the provider
    /// refuses the one before.
    pub(crate) fn credentials(&self) -> impl Iterator<Item = Credential> + use<> {
        let credentials = self.credentials.read().unwrap_or_else(PoisonError::into_inner);
        credentials.clone().into_iter()
    }

    fn take_credentials(&self, new: &ProviderSettings) {
        let credentials = Credential::of(new);
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = credentials;
        if let Some(certificate) = &new.client_certificate {
            self.outgoing.set_client_certificate(certificate.clone());
        }
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

/// Returns the digest of the client that the settings describe (`provider::client_digest`).
pub(crate) fn digest_of(settings: &ProviderSettings) -> [u8; 32] {
    let source = settings.issuer.as_ref().or(settings.token_endpoint.as_ref());
    client_digest(&settings.filled(source.map_or("", String::as_str)), &settings.client_id)
}
