//! Authorization codes, which a provider gives to users and takes back in exchange for tokens.
//!
//! Invariant: neither a code nor the proof of its ownership can be printed.

use std::collections::BTreeMap;

use crate::{Provider, RetrievalKey, SecretText};

/// A caller's request to exchange a code for tokens (RFC 6749 §4.1.3).
#[derive(Clone, Debug)]
pub struct CodeToExchange {
    /// The provider that issued the code.
    pub provider: Provider,
    /// The code.
    pub code: SecretText,
    /// The redirect URI that the code was sent to.
    pub redirect_uri: String,
    /// The expected `nonce` of the id_token (OpenID Connect Core §3.1.3.7).
    pub nonce: Option<SecretText>,
    /// The verifier of the PKCE challenge that the provider has (RFC 7636 §4.5).
    pub pkce_verifier: Option<SecretText>,
    /// The values of the parameters in the provider's URLs, by name.
    pub parameters: BTreeMap<String, String>,
    /// The key of the record that gets the tokens, if its user connects again; otherwise a new record is made.
    pub key: Option<RetrievalKey>,
}
