//! Valid tokens, and forged, stale or odd ones that are rejected.
//!
//! Invariant: each rejected case differs from a valid token in one thing only.

mod forms;
mod header;
mod id_token;
mod payload;

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
        ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair as _,
    },
};
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{EncodingKey, jwk::Jwk};
use rstest::rstest;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://sod.superoffice.com";
const AUDIENCE: &str = "latchkey";
/// 2026-05-01T00:00:00Z.
const NOW: i64 = 1_777_593_600;

/// The issuer's keys, by the `kid` that each has in `set`.
struct Issuer {
    rsa: EncodingKey,
    /// The public RSA key as others may have it: SubjectPublicKeyInfo and PKCS #1.
    rsa_public: [Vec<u8>; 2],
    p256: EncodingKey,
    p384: EncodingKey,
    ed: EncodingKey,
    set: KeySet,
}

static KEYS: LazyLock<Issuer> = LazyLock::new(|| {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
    let pkcs8 = pair.as_der().unwrap();
    // jsonwebtoken wants PKCS #1, which PKCS #8 wraps; the wrapper of a key of 2048 bits has 26 bytes.
    let rsa = EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]);
    let p256 = ec_key(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let p384 = ec_key(&ECDSA_P384_SHA384_FIXED_SIGNING);
    let ed = ed_key();
    let set = set_of(&[
        public(&rsa, Algorithm::RS256, Some("rsa")),
        public(&p256, Algorithm::ES256, Some("p256")),
        public(&p384, Algorithm::ES384, Some("p384")),
        public(&ed, Algorithm::EdDSA, Some("ed")),
    ]);
    let rsa_public = [spki, pair.public_key().as_ref().to_vec()];
    Issuer { rsa, rsa_public, p256, p384, ed, set }
});

fn ec_key(algorithm: &'static EcdsaSigningAlgorithm) -> EncodingKey {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    EncodingKey::from_ec_der(pkcs8.as_ref())
}

fn ed_key() -> EncodingKey {
    // jsonwebtoken knows an Ed25519 key by the length that it has in version 1 of PKCS #8.
    let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
    EncodingKey::from_ed_der(pkcs8.as_ref())
}

/// The public half as a JSON Web Key without `alg`.
fn public(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
    jwk.as_object_mut().unwrap().remove("alg");
    set_member(&mut jwk, "kid", kid.map(Value::from));
    jwk
}

fn set_of(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn set_member(object: &mut Value, name: &str, value: Option<Value>) {
    let object = object.as_object_mut().unwrap();
    match value {
        Some(value) => object.insert(name.to_owned(), value),
        None => object.remove(name),
    };
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 600, "sub": "tje0" })
}

fn ed_header() -> Value {
    json!({ "alg": "EdDSA", "typ": "JWT", "kid": "ed" })
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// Signs any texts as header and payload.
fn sign(header: &str, payload: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A token of the issuer's Ed25519 key.
fn ed_token(header: &Value, payload: &Value) -> String {
    sign(&header.to_string(), &payload.to_string(), &KEYS.ed, Algorithm::EdDSA)
}

fn with_claim(name: &str, value: Option<Value>) -> String {
    let mut payload = claims();
    set_member(&mut payload, name, value);
    ed_token(&ed_header(), &payload)
}

fn with_header(name: &str, value: Option<Value>) -> String {
    let mut header = ed_header();
    set_member(&mut header, name, value);
    ed_token(&header, &claims())
}

fn verify_with(token: &str, keys: &KeySet) -> Result<Claims, JwtError> {
    JwtVerifier::new(ISSUER.to_owned(), AUDIENCE.to_owned()).verify(
        &token.into(),
        keys,
        Timestamp::from_second(NOW).unwrap(),
    )
}

fn verify(token: &str) -> Result<Claims, JwtError> {
    verify_with(token, &KEYS.set)
}

fn key_named(kid: &str) -> &'static EncodingKey {
    match kid {
        "rsa" => &KEYS.rsa,
        "p256" => &KEYS.p256,
        "p384" => &KEYS.p384,
        _ => &KEYS.ed,
    }
}
