//! The keys of an issuer, from a JSON Web Key Set (RFC 7517 §5).
//!
//! Invariant: a `KeySet` has public keys only. None is weak, and each is bound to the algorithms that it may verify.

use std::fmt;

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm,
        ParsedPublicKey, RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The maximum number of keys, which bounds the cost of a set. Issuers have fewer than ten.
const MAX_KEYS: usize = 100;

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The algorithms of an RSA key without `alg`.
const RSA_ALGORITHMS: [Algorithm; 4] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256];

/// The verification keys of an issuer. `Default` has none, so it rejects every token.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
}

/// One key of a set.
pub(crate) struct VerificationKey {
    /// The key's id in tokens. It is opaque and not always unique.
    pub(crate) kid: Option<String>,
    /// The algorithms that it may verify; never empty.
    pub(crate) algorithms: Vec<Algorithm>,
    /// The key itself.
    pub(crate) key: DecodingKey,
}

/// Why a key set cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    /// The text is not a JSON object with an array `keys`.
    #[error("it is not a JSON Web Key Set")]
    NotJson,
    /// The set is empty, or every key was skipped.
    #[error("it has no key that can verify a signature")]
    NoKeys,
}

impl KeySet {
    /// Reads a JSON Web Key Set.
    ///
    /// A key is skipped (RFC 7517 §5) if it is not for signatures, or is symmetric, weak, malformed or of an unknown
    /// kind. Of the others the first 100 are kept. The caller bounds the length of the text.
    ///
    /// # Errors
    /// - `NotJson`: the text is not a key set.
    /// - `NoKeys`: no key is left.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidKeySet> {
        let set: Value = serde_json::from_slice(json).map_err(|_no_json| InvalidKeySet::NotJson)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(InvalidKeySet::NotJson)?;
        let keys: Vec<_> = listed.iter().filter_map(VerificationKey::read).take(MAX_KEYS).collect();
        if keys.is_empty() { Err(InvalidKeySet::NoKeys) } else { Ok(Self { keys }) }
    }

    /// The keys, in the order of the set.
    pub(crate) fn keys(&self) -> &[VerificationKey] {
        &self.keys
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}

/// The members of a JSON Web Key that are read (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl VerificationKey {
    /// Reads a key. `None` if it is skipped.
    fn read(jwk: &Value) -> Option<Self> {
        let jwk = Jwk::deserialize(jwk).ok()?;
        if jwk.usage.as_ref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        if jwk.key_ops.as_ref().is_some_and(|ops| !ops.iter().any(|op| op == "verify")) {
            return None;
        }
        let (mut algorithms, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => (RSA_ALGORITHMS.to_vec(), rsa_key(&jwk)?),
            ("EC", Some("P-256")) => {
                (vec![Algorithm::ES256], ec_key(&jwk, 32, &ECDSA_P256_SHA256_FIXED)?)
            }
            ("EC", Some("P-384")) => {
                (vec![Algorithm::ES384], ec_key(&jwk, 48, &ECDSA_P384_SHA384_FIXED)?)
            }
            ("OKP", Some("Ed25519")) => (vec![Algorithm::EdDSA], ed25519_key(&jwk)?),
            _ => return None,
        };
        if let Some(named) = jwk.alg {
            let named: Algorithm = named.parse().ok()?;
            algorithms.retain(|algorithm| *algorithm == named);
        }
        (!algorithms.is_empty()).then_some(Self { kid: jwk.kid, algorithms, key })
    }
}

/// Reads an RSA key of an accepted size (RFC 7518 §6.3.1).
fn rsa_key(jwk: &Jwk) -> Option<DecodingKey> {
    let (n, e) = (decode(jwk.n.as_ref())?, decode(jwk.e.as_ref())?);
    // Some issuers write a leading zero. RFC 7518 forbids it, and the cryptographic library rejects it.
    let (n, e) = (without_leading_zeros(&n), without_leading_zeros(&e));
    let unused = n.first()?.leading_zeros() as usize;
    if !RSA_BITS.contains(&(n.len() * 8 - unused)) {
        return None;
    }
    // Parsing DER checks the components. Otherwise they would be checked only with the first signature.
    let der = RsaPublicKeyComponents { n, e }.as_der().ok()?;
    rsa::PublicKey::from_der(der.as_ref()).ok()?;
    Some(DecodingKey::from_rsa_raw_components(n, e))
}

/// Reads a point on the curve of `algorithm`. Its coordinates have `len` bytes (RFC 7518 §6.2.1).
fn ec_key(
    jwk: &Jwk,
    len: usize,
    algorithm: &'static EcdsaVerificationAlgorithm,
) -> Option<DecodingKey> {
    let (x, y) = (decode(jwk.x.as_ref())?, decode(jwk.y.as_ref())?);
    if x.len() != len || y.len() != len {
        return None;
    }
    let uncompressed = [&[4], x.as_slice(), y.as_slice()].concat();
    ParsedPublicKey::new(algorithm, &uncompressed).ok()?;
    Some(DecodingKey::from_ec_der(&uncompressed))
}

/// Reads an Ed25519 key of 32 bytes (RFC 8037 §2).
fn ed25519_key(jwk: &Jwk) -> Option<DecodingKey> {
    let x = decode(jwk.x.as_ref())?;
    // The verifier also accepts DER, which a key set may not have.
    if x.len() != 32 {
        return None;
    }
    Some(DecodingKey::from_ed_der(&x))
}

fn decode(member: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(member?).ok()
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    /// The coordinates of RFC 7517 A.1's key of P-256.
    const P256: [&str; 2] = [
        "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    ];
    /// The generator of P-384, as a sample point.
    const P384: [&str; 2] = [
        "qofKIr6LBTeOscce8yCtdG4dO2KLp5uYWfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3",
        "NhfeSpYmLG9dnpi_kpLcKfj0Hb0omhR86doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f",
    ];
    /// RFC 8037 A.2.
    const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn parse(keys: &Value) -> Result<KeySet, InvalidKeySet> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    /// A modulus of this many bits, after this many zero bytes. It is odd, which is all that a parser can check.
    fn modulus(bits: usize, zeros: usize) -> String {
        let mut number = vec![0xff_u8; bits.div_ceil(8)];
        number[0] >>= bits.div_ceil(8) * 8 - bits;
        URL_SAFE_NO_PAD.encode([vec![0; zeros], number].concat())
    }

    fn rsa(changes: Value) -> Value {
        changed(json!({ "kty": "RSA", "n": modulus(2048, 0), "e": "AQAB" }), changes)
    }

    fn p256(changes: Value) -> Value {
        changed(json!({ "kty": "EC", "crv": "P-256", "x": P256[0], "y": P256[1] }), changes)
    }

    /// The point of P-256 with one byte more in x and one less in y.
    fn shifted() -> [String; 2] {
        let point = P256.map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).concat();
        [URL_SAFE_NO_PAD.encode(&point[..33]), URL_SAFE_NO_PAD.encode(&point[33..])]
    }

    /// The Ed25519 key as SubjectPublicKeyInfo (RFC 8410 §4).
    fn ed25519_der() -> String {
        let key = URL_SAFE_NO_PAD.decode(ED25519_X).unwrap();
        let info = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
        URL_SAFE_NO_PAD.encode([info, key.as_slice()].concat())
    }

    fn changed(mut key: Value, changes: Value) -> Value {
        let Value::Object(changes) = changes else { panic!("changes are an object") };
        key.as_object_mut().unwrap().extend(changes);
        key
    }

    /// CONTRACT 28.
    #[rstest]
    #[case(rsa(json!({})), &RSA_ALGORITHMS)]
    #[case(rsa(json!({ "alg": "RS256" })), &[Algorithm::RS256])]
    #[case(rsa(json!({ "alg": "PS256", "use": "sig" })), &[Algorithm::PS256])]
    #[case(rsa(json!({ "key_ops": ["sign", "verify"] })), &RSA_ALGORITHMS)]
    #[case(rsa(json!({ "n": modulus(8192, 0), "e": "Aw" })), &RSA_ALGORITHMS)]
    #[case(rsa(json!({ "n": modulus(2048, 1), "e": "AAEAAQ" })), &RSA_ALGORITHMS)]
    #[case(rsa(json!({ "x5c": 5, "x5t": [], "unknown": null })), &RSA_ALGORITHMS)]
    #[case(p256(json!({})), &[Algorithm::ES256])]
    #[case(p256(json!({ "alg": "ES256" })), &[Algorithm::ES256])]
    #[case(p256(json!({ "crv": "P-384", "x": P384[0], "y": P384[1] })), &[Algorithm::ES384])]
    #[case(json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X }), &[Algorithm::EdDSA])]
    fn a_key_is_bound_to_its_algorithms(#[case] key: Value, #[case] algorithms: &[Algorithm]) {
        let set = parse(&json!([key])).unwrap();
        assert_eq!(set.keys()[0].algorithms, algorithms);
    }

    /// CONTRACT 28.
    #[rstest]
    #[case::encryption(rsa(json!({ "use": "enc" })))]
    #[case::unknown_use(rsa(json!({ "use": "other" })))]
    #[case::use_is_no_text(rsa(json!({ "use": 5 })))]
    #[case::no_operation(rsa(json!({ "key_ops": [] })))]
    #[case::other_operations(rsa(json!({ "key_ops": ["sign", "encrypt"] })))]
    #[case::algorithm_of_encryption(rsa(json!({ "alg": "RSA-OAEP" })))]
    #[case::algorithm_of_another_type(rsa(json!({ "alg": "ES256" })))]
    #[case::symmetric_algorithm(rsa(json!({ "alg": "HS256" })))]
    #[case::no_algorithm(rsa(json!({ "alg": "none" })))]
    #[case::algorithm_not_accepted(rsa(json!({ "alg": "PS512" })))]
    #[case::algorithm_is_no_text(rsa(json!({ "alg": ["RS256"] })))]
    #[case::kid_is_no_text(rsa(json!({ "kid": 5 })))]
    #[case::weak(rsa(json!({ "n": modulus(1024, 0) })))]
    #[case::nearly_weak(rsa(json!({ "n": modulus(2047, 0) })))]
    #[case::weak_behind_zeros(rsa(json!({ "n": modulus(1024, 128) })))]
    #[case::too_large(rsa(json!({ "n": modulus(8193, 0) })))]
    #[case::only_zeros(rsa(json!({ "n": URL_SAFE_NO_PAD.encode([0; 256]) })))]
    #[case::even_modulus(rsa(json!({ "n": URL_SAFE_NO_PAD.encode([0xfe; 256]) })))]
    #[case::no_modulus(rsa(json!({ "n": null })))]
    #[case::empty_modulus(rsa(json!({ "n": "" })))]
    #[case::padded_modulus(rsa(json!({ "n": modulus(2048, 0) + "==" })))]
    #[case::no_base64(rsa(json!({ "n": "%%%" })))]
    #[case::no_exponent(rsa(json!({ "e": null })))]
    #[case::exponent_zero(rsa(json!({ "e": "AA" })))]
    #[case::exponent_one(rsa(json!({ "e": "AQ" })))]
    #[case::even_exponent(rsa(json!({ "e": "BA" })))]
    #[case::huge_exponent(rsa(json!({ "e": modulus(2040, 0) })))]
    #[case::symmetric(json!({ "kty": "oct", "k": "AAAA", "alg": "HS256" }))]
    #[case::symmetric_with_other_members(rsa(json!({ "kty": "oct", "k": "AAAA" })))]
    #[case::unknown_type(rsa(json!({ "kty": "AKP" })))]
    #[case::type_in_another_case(rsa(json!({ "kty": "rsa" })))]
    #[case::no_type(rsa(json!({ "kty": null })))]
    #[case::unknown_curve(p256(json!({ "crv": "secp256k1" })))]
    #[case::unsupported_curve(p256(json!({ "crv": "P-521" })))]
    #[case::another_curve(p256(json!({ "crv": "P-384" })))]
    #[case::no_curve(p256(json!({ "crv": null })))]
    #[case::not_on_the_curve(p256(json!({ "y": P256[0] })))]
    #[case::no_point(p256(json!({ "y": null })))]
    #[case::short_point(p256(json!({ "x": "AAAA" })))]
    #[case::coordinates_split_elsewhere(p256(json!({ "x": shifted()[0], "y": shifted()[1] })))]
    #[case::algorithm_of_another_curve(p256(json!({ "alg": "ES384" })))]
    #[case::key_exchange(json!({ "kty": "OKP", "crv": "X25519", "x": ED25519_X }))]
    #[case::ed448(json!({ "kty": "OKP", "crv": "Ed448", "x": ED25519_X }))]
    #[case::short_ed25519(json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }))]
    #[case::ed25519_in_der(json!({ "kty": "OKP", "crv": "Ed25519", "x": ed25519_der() }))]
    #[case::no_object(json!("text"))]
    #[case::null(json!(null))]
    fn a_key_that_cannot_be_used_is_skipped(#[case] key: Value) {
        assert_eq!(parse(&json!([key])).err(), Some(InvalidKeySet::NoKeys));
        let set = parse(&json!([key, p256(json!({ "kid": "good" })), key])).unwrap();
        assert_eq!(set.keys().len(), 1);
        assert_eq!(set.keys()[0].kid.as_deref(), Some("good"));
    }

    /// CONTRACT 28.
    #[rstest]
    #[case("", InvalidKeySet::NotJson)]
    #[case("<html>", InvalidKeySet::NotJson)]
    #[case("\u{feff}{\"keys\":[]}", InvalidKeySet::NotJson)]
    #[case("[]", InvalidKeySet::NotJson)]
    #[case("null", InvalidKeySet::NotJson)]
    #[case("{}", InvalidKeySet::NotJson)]
    #[case(r#"{"keys":{}}"#, InvalidKeySet::NotJson)]
    #[case(r#"{"keys":[]"#, InvalidKeySet::NotJson)]
    #[case(r#"{"KEYS":[]}"#, InvalidKeySet::NotJson)]
    #[case(r#"{"keys":[]}"#, InvalidKeySet::NoKeys)]
    #[case(&"[".repeat(100_000), InvalidKeySet::NotJson)]
    fn what_is_no_key_set_is_refused(#[case] json: &str, #[case] error: InvalidKeySet) {
        assert_eq!(KeySet::parse(json.as_bytes()).err(), Some(error));
    }

    /// CONTRACT 28.
    #[test]
    fn a_hundred_keys_are_kept_and_duplicate_names_too() {
        let weak = vec![rsa(json!({ "n": modulus(1024, 0) })); 500];
        let good = vec![rsa(json!({ "kid": "same" })); 1000];
        let set = parse(&Value::from([weak, good].concat())).unwrap();
        assert_eq!(set.keys().len(), MAX_KEYS);
        assert!(set.keys().iter().all(|key| key.kid.as_deref() == Some("same")));
    }

    #[test]
    fn a_set_is_printed_without_its_keys() {
        let set = parse(&json!([p256(json!({ "kid": "name" }))])).unwrap();
        assert_eq!(format!("{set:?}"), "KeySet(1 keys)");
        assert_eq!(format!("{:?}", KeySet::default()), "KeySet(0 keys)");
    }
}
