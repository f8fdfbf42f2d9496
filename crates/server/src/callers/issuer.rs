//! The issuer whose JWTs are accepted (CONTRACT 28).
//!
//! Invariant: its keys come only from the configured file or URL. A URL on another machine must use TLS.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use auth::{Claims, JwtVerifier};
use jiff::SignedDuration;
use model::SecretText;
use tracing::info;

use super::error::CallerError;
use crate::{
    config::{auth as settings, url},
    issuer_keys::{IssuerKeys, KeySource},
    outgoing::{Outgoing, OutgoingRules},
};

/// The issuer's server may be in the operator's own network.
const RULES: OutgoingRules<'_> = OutgoingRules {
    client_certificate: None,
    ca: None,
    allow_private_addresses: true,
    allow_plain_loopback: true,
    egress_proxy: None,
};

/// A trusted issuer and its keys.
pub(crate) struct Issuer {
    verifier: JwtVerifier,
    keys: Arc<IssuerKeys>,
}

impl Issuer {
    /// Creates the configured issuer. Returns `None` if none is configured.
    ///
    /// # Errors
    /// A part of the configuration is missing, the URL is not protected by TLS, or the file holds no keys.
    pub(crate) fn new(config: &settings::Bearer) -> anyhow::Result<Option<Self>> {
        let (jwks, issuer, audience) = match (&config.jwks, &config.issuer, &config.audience) {
            (None, None, None) => return Ok(None),
            (Some(jwks), Some(issuer), Some(audience)) => (jwks, issuer, audience),
            _ => bail!("auth.bearer needs jwks, issuer and audience, or none of them"),
        };
        if issuer.is_empty() || audience.is_empty() {
            bail!("auth.bearer.issuer and auth.bearer.audience must not be empty");
        }
        let in_force_for = SignedDuration::from_hours(config.stale_hours.get().into());
        let keys = IssuerKeys::new("auth.bearer.jwks", source(jwks)?, in_force_for)?;
        Ok(Some(Self {
            verifier: JwtVerifier::new(issuer.clone(), audience.clone()),
            keys: Arc::new(keys),
        }))
    }

    /// Verifies a JWT of the issuer and returns its claims.
    ///
    /// # Errors
    /// - `AuthError::InvalidToken`: the token is not trusted.
    /// - `IssuerKeysUnavailable`: its key cannot be fetched.
    pub(crate) async fn verify(&self, token: &SecretText) -> Result<Claims, CallerError> {
        let verify = |keys: &_, now| self.verifier.verify(token, keys, now);
        let verdict = self.keys.verify(verify).await;
        let verdict = verdict.map_err(|_unavailable| CallerError::IssuerKeysUnavailable)?;
        verdict.map_err(|error| {
            info!(%error, "a JWT was refused");
            auth::AuthError::InvalidToken.into()
        })
    }

    /// Fetches the keys in the background. Logs a failure.
    pub(crate) fn fetch_soon(&self) {
        self.keys.fetch_soon();
    }
}

/// Parses a file name, or a URL whose answer cannot be changed in transit.
fn source(jwks: &str) -> anyhow::Result<KeySource> {
    let is_url =
        |scheme: &str| jwks.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
    if !is_url("http://") && !is_url("https://") {
        return Ok(KeySource::File(jwks.into()));
    }
    url::parse(jwks, RULES.allow_plain_loopback)
        .map_err(|why| anyhow!("auth.bearer.jwks {why}"))?;
    Ok(KeySource::Url(jwks.to_owned(), Arc::new(Outgoing::new(&RULES)?)))
}
