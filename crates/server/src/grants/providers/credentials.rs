//! The credentials of a client: a secret, or a key that signs.
//!
//! Invariant: no two requests have the same assertion.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use model::SecretText;
use provider::{AssertionKey, Proof};
use secrecy::ExposeSecret as _;
use store::random;

use crate::config::grants::ProviderSettings;

/// A secret or a key of a client.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    Secret(SecretText),
    Key(Arc<AssertionKey>),
}

impl Credential {
    /// Returns the credentials of the configuration, the current one first.
    pub(super) fn of(settings: &ProviderSettings) -> Vec<Self> {
        let secrets = [&settings.client_secret, &settings.next_client_secret];
        let secrets = secrets.into_iter().flatten();
        let secrets = secrets.map(|secret| Self::Secret(SecretText::from(secret.expose_secret())));
        secrets.chain(settings.assertion_keys.iter().cloned().map(Self::Key)).collect()
    }
}

/// Makes a request with the proof of the client's identity. An assertion has the current time and an identifier of its
/// own.
pub(crate) fn prove<T>(credential: Option<&Credential>, request: impl FnOnce(Proof<'_>) -> T) -> T {
    match credential {
        None => request(Proof::None),
        Some(Credential::Secret(secret)) => request(Proof::Secret(secret)),
        Some(Credential::Key(key)) => {
            let id = URL_SAFE_NO_PAD.encode(*random::<16>());
            let issued = Timestamp::now().as_second();
            request(Proof::Assertion { key, issued, id: &id })
        }
    }
}
