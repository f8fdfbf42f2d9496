//! Verifies the id_tokens of a provider with the provider's keys.
//!
//! Invariant: no claim is used before the token is verified for this client.

use std::sync::Arc;

use auth::{JwtError, JwtVerifier};
use jiff::SignedDuration;
use model::SecretText;
use serde_json::{Map, Value};

use crate::{
    issuer_keys::{IssuerKeys, KeySource, KeysUnavailable},
    outgoing::Outgoing,
};

/// The time for which keys stay valid while they cannot be fetched.
const IN_FORCE_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Verifies the id_tokens of a provider.
pub(crate) struct IdTokens {
    /// The URL of the keys.
    pub(super) jwks: String,
    verifier: JwtVerifier,
    keys: Arc<IssuerKeys>,
}

impl IdTokens {
    /// Builds the verifier for tokens of `issuer`. With `None` the issuer may be any, and the keys alone decide.
    ///
    /// # Errors
    /// None: keys of a URL are fetched later.
    pub(super) fn new(
        setting: &str,
        jwks: &str,
        issuer: Option<&str>,
        client_id: &str,
        outgoing: &Arc<Outgoing>,
    ) -> anyhow::Result<Self> {
        let source = KeySource::Url(jwks.to_owned(), Arc::clone(outgoing));
        Ok(Self {
            jwks: jwks.to_owned(),
            verifier: match issuer {
                Some(issuer) => JwtVerifier::new(issuer.to_owned(), client_id.to_owned()),
                None => JwtVerifier::of_any_issuer(client_id.to_owned()),
            },
            keys: Arc::new(IssuerKeys::new(setting, source, IN_FORCE_FOR)?),
        })
    }

    /// Returns once there are keys, so that a code is not spent for a token that cannot be verified.
    ///
    /// # Errors
    /// There are no keys, and fetching them fails.
    pub(crate) async fn ready(&self) -> Result<(), KeysUnavailable> {
        self.keys.ready().await
    }

    /// Returns the claims of an id_token. The caller compares the nonce.
    ///
    /// # Errors
    /// `KeysUnavailable`: the key is unknown and cannot be fetched. Inner error: the token is invalid.
    pub(crate) async fn verify(
        &self,
        token: &SecretText,
    ) -> Result<Result<Map<String, Value>, JwtError>, KeysUnavailable> {
        self.keys.verify(|keys, now| self.verifier.verify_id_token(token, keys, now)).await
    }
}
