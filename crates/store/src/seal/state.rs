//! The state of an authorization: a text that a user's browser carries to a provider and back (RFC 6749 §10.12).
//!
//! Invariant: a state is valid only for its caller, provider and request, and only until its expiry. It reveals nothing
//! about them.
//!
//! State: base64url of the expiry (8 bytes, microseconds since 1970 UTC) and an HMAC-SHA-256 (32).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Principal, Provider, RetrievalKey, SecretText};
use zeroize::Zeroizing;

use super::Kek;

/// The request that a state is bound to.
#[derive(Clone, Copy, Debug)]
pub struct StateBinding<'a> {
    /// The caller that asked for the authorization.
    pub caller: &'a Principal,
    /// The provider that the user is sent to.
    pub provider: &'a Provider,
    /// The URI that the provider redirects the user to.
    pub redirect_uri: &'a str,
    /// The nonce expected in the id_token.
    pub nonce: Option<&'a SecretText>,
    /// The verifier that proves that the code is the caller's. Only the user's session has it (RFC 7636).
    pub pkce_verifier: Option<&'a SecretText>,
    /// The parameters in the provider's URLs.
    pub parameters: &'a BTreeMap<String, String>,
    /// The key of the record that gets the tokens, if it exists.
    pub key: Option<&'a RetrievalKey>,
}

/// Creates the state of an authorization that expires at `end`.
pub(crate) fn sign(kek: &Kek, binding: &StateBinding<'_>, end: i64) -> String {
    let end = end.to_be_bytes();
    let signature = kek.sign_state(&binding.message(end));
    URL_SAFE_NO_PAD.encode([&end, signature.as_ref()].concat())
}

/// Returns whether the text is the state of this authorization, signed by one of the keys and not expired.
pub(crate) fn is_right<'k>(
    mut keks: impl Iterator<Item = &'k Kek>,
    state: &str,
    binding: &StateBinding<'_>,
    now: i64,
) -> bool {
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(state) else { return false };
    let Some((end, signature)) = bytes.split_first_chunk::<8>() else { return false };
    let message = binding.message(*end);
    keks.any(|kek| kek.signed_state(&message, signature)) && now < i64::from_be_bytes(*end)
}

impl StateBinding<'_> {
    /// Encodes the whole request. Different requests give different bytes.
    fn message(&self, end: [u8; 8]) -> Zeroizing<Vec<u8>> {
        let Self { caller, provider, redirect_uri, nonce, pkce_verifier, parameters, key } = self;
        let mut parts = vec![
            &end[..],
            caller.tenant.as_str().as_bytes(),
            caller.login.as_str().as_bytes(),
            provider.as_str().as_bytes(),
            redirect_uri.as_bytes(),
            nonce.map_or("", SecretText::expose).as_bytes(),
            pkce_verifier.map_or("", SecretText::expose).as_bytes(),
            key.map_or("", RetrievalKey::expose).as_bytes(),
        ];
        for (name, value) in *parameters {
            parts.extend([name.as_bytes(), value.as_bytes()]);
        }
        let length = parts.iter().map(|part| 4 + part.len()).sum();
        let mut message = Zeroizing::new(Vec::with_capacity(length));
        for part in parts {
            message.extend_from_slice(&(part.len() as u32).to_be_bytes());
            message.extend_from_slice(part);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_ids::RecordIds;
    use model::{Login, TenantId};

    const NOW: i64 = 1_800_000_000_000_000;

    fn caller(tenant: &str, login: &str) -> Principal {
        let tenant = TenantId::parse(tenant).expect("tenant");
        Principal { tenant, login: Login::parse(login).expect("login"), is_administrator: false }
    }

    #[test]
    fn a_state_is_right_for_what_it_was_made_for_alone() {
        let keks = [Kek::new("a".into(), &[1; 32]), Kek::new("b".into(), &[2; 32])];
        let (own, others) =
            (caller("Cust1", "ann"), [caller("Cust2", "ann"), caller("Cust1", "bob")]);
        let providers = ["et", "te"].map(|name| Provider::parse(name).expect("provider"));
        let (none, key) = (BTreeMap::new(), RecordIds::default().new_key(0));
        let region = BTreeMap::from([("region".to_owned(), "eu".to_owned())]);
        let (nonce, other_nonce) = (SecretText::from("n"), SecretText::from("m"));
        let binding = StateBinding {
            caller: &own,
            provider: &providers[0],
            redirect_uri: "https://a.example",
            nonce: Some(&nonce),
            pkce_verifier: Some(&nonce),
            parameters: &none,
            key: None,
        };
        let state = sign(&keks[1], &binding, NOW);
        let is_right =
            |binding: &StateBinding<'_>, now| is_right(keks.iter(), &state, binding, now);
        assert!(is_right(&binding, NOW - 1));
        assert!(!is_right(&binding, NOW));
        for other in [
            StateBinding { caller: &others[0], ..binding },
            StateBinding { caller: &others[1], ..binding },
            StateBinding { provider: &providers[1], ..binding },
            StateBinding { redirect_uri: "https://a.example/", ..binding },
            StateBinding { nonce: None, ..binding },
            StateBinding { nonce: Some(&other_nonce), ..binding },
            StateBinding { pkce_verifier: None, ..binding },
            StateBinding { pkce_verifier: Some(&other_nonce), ..binding },
            StateBinding { parameters: &region, ..binding },
            StateBinding { key: Some(&key), ..binding },
        ] {
            assert!(!is_right(&other, NOW - 1), "{other:?}");
        }
    }

    #[test]
    fn another_key_and_any_other_text_make_no_state() {
        let (own, other) = (Kek::new("a".into(), &[1; 32]), Kek::new("a".into(), &[2; 32]));
        let (caller, none) = (caller("Cust1", "ann"), BTreeMap::new());
        let provider = Provider::parse("et").expect("provider");
        let binding = StateBinding {
            caller: &caller,
            provider: &provider,
            redirect_uri: "",
            nonce: None,
            pkce_verifier: None,
            parameters: &none,
            key: None,
        };
        let state = sign(&own, &binding, NOW);
        let is_right = |kek, state: &str| is_right([kek].into_iter(), state, &binding, 0);
        assert!(is_right(&own, &state));
        assert!(!is_right(&other, &state));
        let mut bytes = URL_SAFE_NO_PAD.decode(&state).expect("base64");
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_right(&own, &URL_SAFE_NO_PAD.encode(&bytes)), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for text in ["", "%", "AAAA", &state[1..], &format!("{state}AAAA"), &format!("{state}=")] {
            assert!(!is_right(&own, text), "{text}");
        }
    }
}
