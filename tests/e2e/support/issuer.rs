//! An issuer of JWTs, as the server sees it: a key, its key set in a file, and tokens.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use crate::support::app::Setup;

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "latchkey";

/// A key of the curve P-256.
pub(crate) struct Issuer {
    key: KeyPair,
    kid: String,
}

impl Issuer {
    pub(crate) fn new(kid: &str) -> Self {
        Self { key: KeyPair::generate().expect("a key"), kid: kid.to_owned() }
    }

    /// The public key as a JSON Web Key.
    pub(crate) fn jwk(&self) -> Value {
        let point = self.key.der_bytes();
        let (x, y) = point[1..].split_at(32);
        let encode = |coordinate| URL_SAFE_NO_PAD.encode(coordinate);
        json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "x": encode(x), "y": encode(y)})
    }

    /// A token with these claims over valid ones. A claim that is null is left out.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let mut all = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "tje0", "exp": 4_102_444_800_u64
        });
        for (name, value) in claims.as_object().expect("claims") {
            all[name] = value.clone();
        }
        all.as_object_mut().expect("claims").retain(|_, value| !value.is_null());
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_der(self.key.serialized_der());
        encode(&header, &all, &key).expect("a token")
    }
}

/// Writes the key set of these issuers to the file that the server reads; returns its path.
pub(crate) fn write_keys(setup: &Setup, issuers: &[&Issuer]) -> PathBuf {
    let path = setup.folder().join("jwks.json");
    let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk()).collect();
    fs::write(&path, json!({ "keys": keys }).to_string()).expect("file");
    path
}

/// The setup of a server that accepts the tokens of these issuers.
pub(crate) fn trusting(setup: Setup, issuers: &[&Issuer]) -> Setup {
    let path = write_keys(&setup, issuers);
    setup
        .with("AUTH__BEARER__JWKS", path.to_str().expect("UTF-8"))
        .with("AUTH__BEARER__ISSUER", ISSUER)
        .with("AUTH__BEARER__AUDIENCE", AUDIENCE)
}
