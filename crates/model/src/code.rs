//! Authorization codes, which a provider gives to users and takes back for tokens.
//!
//! Invariant: a code and what proves whose it is cannot be printed.

use std::collections::BTreeMap;

use crate::{Provider, RetrievalKey, SecretText};

/// The wish to exchange a code for tokens, as a caller has it (RFC 6749 §4.1.3).
#[derive(Clone, Debug)]
pub struct CodeToExchange {
    /// Whose code it is.
    pub provider: Provider,
    /// The code.
    pub code: SecretText,
    /// Where the provider sent the user with it.
    pub redirect_uri: String,
    /// What the id_token must have as its `nonce` (OpenID Connect Core §3.1.3.7).
    pub nonce: Option<SecretText>,
    /// The verifier whose challenge the provider has (RFC 7636 §4.5).
    pub pkce_verifier: Option<SecretText>,
    /// What stands for the parameters in the provider's URLs, by their names.
    pub parameters: BTreeMap<String, String>,
    /// The key of the record that gets the tokens, if its user connects again; otherwise they make a new one.
    pub key: Option<RetrievalKey>,
}
