//! Tokens that are let in, and forged, stale or odd ones that are not.
//!
//! Invariant: a case differs from a token that is let in by one thing only, so it is refused for that.

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

/// Signs whatever texts stand for header and payload.
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

/// CONTRACT 28.
#[rstest]
#[case("RS256", "rsa")]
#[case("RS384", "rsa")]
#[case("RS512", "rsa")]
#[case("PS256", "rsa")]
#[case("ES256", "p256")]
#[case("ES384", "p384")]
#[case("EdDSA", "ed")]
fn a_token_is_let_in_with_and_without_the_name_of_its_key(
    #[case] alg: &str,
    #[case] kid: &str,
    #[values(true, false)] is_named: bool,
) {
    let mut header = json!({ "alg": alg, "kid": kid });
    if !is_named {
        set_member(&mut header, "kid", None);
    }
    let algorithm = alg.parse().unwrap();
    let token = sign(&header.to_string(), &claims().to_string(), key_named(kid), algorithm);
    let expected = Claims {
        subject: "tje0".to_owned(),
        tenant: None,
        associate_id: None,
        is_administrator: false,
        upn: None,
        email: None,
    };
    assert_eq!(verify(&token), Ok(expected));
    assert_eq!(verify_with(&token, &KeySet::default()), Err(JwtError::UnknownKey));
}

/// CONTRACT 28.
#[rstest]
fn a_token_without_a_signature_is_refused(
    #[values("none", "None", "NONE", "nOnE", "", "EDDSA", "HS256", "HS384", "HS512", "ES512", "x")]
    alg: &str,
    #[values(Some("ed"), Some("unknown"), None)] kid: Option<&str>,
    #[values("", "AAAA")] signature: &str,
) {
    let mut header = json!({ "alg": alg });
    set_member(&mut header, "kid", kid.map(Value::from));
    let token =
        format!("{}.{}.{signature}", encode(header.to_string()), encode(claims().to_string()));
    assert_eq!(verify(&token), Err(JwtError::Algorithm));
}

/// CONTRACT 28: the public key is no secret that a token could be signed with.
#[test]
fn a_token_that_is_signed_with_the_public_key_as_a_secret_is_refused() {
    let [spki, pkcs1] = &KEYS.rsa_public;
    let lines: Vec<_> = STANDARD.encode(spki).into_bytes().chunks(64).map(<[u8]>::to_vec).collect();
    let body = String::from_utf8(lines.join(&b'\n')).unwrap();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----");
    let jwk = public(&KEYS.rsa, Algorithm::RS256, None);
    let modulus = jwk["n"].as_str().unwrap();
    let secrets = [
        spki.clone(),
        pkcs1.clone(),
        pem.clone().into_bytes(),
        format!("{pem}\n").into_bytes(),
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        jwk.to_string().into_bytes(),
        vec![],
    ];
    for (secret, header) in secrets.iter().flat_map(|secret| {
        [json!({ "alg": "HS256", "kid": "rsa" }), json!({ "alg": "HS256" })].map(|h| (secret, h))
    }) {
        let key = EncodingKey::from_secret(secret);
        let token = sign(&header.to_string(), &claims().to_string(), &key, Algorithm::HS256);
        assert_eq!(verify(&token), Err(JwtError::Algorithm));
    }
}

/// CONTRACT 28: what a key may verify is said by the key set, never by the token.
#[rstest]
#[case::another_type("ES256", "p256", "rsa")]
#[case::another_curve("ES256", "p256", "p384")]
#[case::another_family("RS256", "rsa", "ed")]
#[case::never("PS384", "rsa", "rsa")]
#[case::never("PS512", "rsa", "rsa")]
fn a_key_verifies_its_own_algorithms_only(
    #[case] alg: &str,
    #[case] signer: &str,
    #[case] kid: &str,
) {
    let header = json!({ "alg": alg, "kid": kid }).to_string();
    let token = sign(&header, &claims().to_string(), key_named(signer), alg.parse().unwrap());
    assert_eq!(verify(&token), Err(JwtError::Algorithm));
}

/// CONTRACT 28.
#[test]
fn a_key_that_names_its_algorithm_verifies_no_other() {
    let mut jwk = public(&KEYS.rsa, Algorithm::RS256, Some("rsa"));
    set_member(&mut jwk, "alg", Some(json!("RS256")));
    let set = set_of(&[jwk]);
    for (algorithm, kid, error) in [
        (Algorithm::RS256, Some("rsa"), None),
        (Algorithm::RS256, None, None),
        (Algorithm::RS512, Some("rsa"), Some(JwtError::Algorithm)),
        (Algorithm::PS256, Some("rsa"), Some(JwtError::Algorithm)),
        (Algorithm::PS256, None, Some(JwtError::UnknownKey)),
    ] {
        let mut header = json!({ "alg": algorithm });
        set_member(&mut header, "kid", kid.map(Value::from));
        let token = sign(&header.to_string(), &claims().to_string(), &KEYS.rsa, algorithm);
        assert_eq!(verify_with(&token, &set).err(), error, "{algorithm:?} {kid:?}");
    }
}

/// CONTRACT 28: a key that comes with the token, or is pointed to by it, is not taken.
#[rstest]
#[case(Some("p256"), JwtError::Signature)]
#[case(None, JwtError::UnknownKey)]
#[case(Some("rival"), JwtError::UnknownKey)]
fn a_key_in_the_token_is_not_used(#[case] kid: Option<&str>, #[case] error: JwtError) {
    let rival = ec_key(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let jwk = public(&rival, Algorithm::ES256, kid);
    let mut header = json!({ "alg": "ES256", "jwk": jwk, "jku": "https://rival.example/jwks" });
    set_member(&mut header, "kid", kid.map(Value::from));
    let token = sign(&header.to_string(), &claims().to_string(), &rival, Algorithm::ES256);
    assert_eq!(verify(&token), Err(error));
}

/// CONTRACT 28.
#[rstest]
#[case("jku", json!("https://rival.example/jwks"))]
#[case("jku", json!(5))]
#[case("jwk", json!({ "kty": "oct", "k": "AAAA" }))]
#[case("jwk", json!("nonsense"))]
#[case("x5u", json!("file:///etc/passwd"))]
#[case("x5c", json!(["MIIB", 5]))]
#[case("x5t", json!({}))]
#[case("x5t#S256", json!("x"))]
#[case("zip", json!("DEF"))]
#[case("cty", json!("JWT"))]
fn what_a_header_says_of_keys_does_not_matter(#[case] name: &str, #[case] value: Value) {
    assert!(verify(&with_header(name, Some(value))).is_ok());
}

/// CONTRACT 28.
#[rstest]
#[case::path(json!("../../../../dev/null"), JwtError::UnknownKey)]
#[case::path_to_a_key(json!("./ed"), JwtError::UnknownKey)]
#[case::sql(json!("ed' OR '1'='1"), JwtError::UnknownKey)]
#[case::command(json!("ed|whoami"), JwtError::UnknownKey)]
#[case::wildcard(json!("*"), JwtError::UnknownKey)]
#[case::empty(json!(""), JwtError::UnknownKey)]
#[case::nul(json!("ed\0"), JwtError::UnknownKey)]
#[case::other_case(json!("ED"), JwtError::UnknownKey)]
#[case::huge(json!("e".repeat(10_000)), JwtError::UnknownKey)]
#[case::number(json!(0), JwtError::Malformed)]
#[case::null(json!(null), JwtError::Malformed)]
#[case::array(json!(["ed"]), JwtError::Malformed)]
fn the_name_of_a_key_is_compared_and_nothing_else(#[case] kid: Value, #[case] error: JwtError) {
    assert_eq!(verify(&with_header("kid", Some(kid))), Err(error));
}

/// CONTRACT 28: an empty name is a name, so a key without one does not have it.
#[test]
fn a_key_without_a_name_is_found_by_tokens_without_one() {
    let set = set_of(&[public(&KEYS.ed, Algorithm::EdDSA, None)]);
    assert!(verify_with(&with_header("kid", None), &set).is_ok());
    let named = with_header("kid", Some(json!("")));
    assert_eq!(verify_with(&named, &set), Err(JwtError::UnknownKey));
}

/// CONTRACT 28.
#[test]
fn of_several_keys_that_fit_eight_are_tried() {
    let others: Vec<_> = (0..8).map(|_| ed_key()).collect();
    for kid in [None, Some("ed")] {
        let mut keys: Vec<_> =
            others.iter().map(|key| public(key, Algorithm::EdDSA, kid)).collect();
        // Keys of another algorithm do not count.
        keys.insert(0, public(&KEYS.p256, Algorithm::ES256, kid));
        keys.push(public(&KEYS.ed, Algorithm::EdDSA, kid));
        let token = with_header("kid", kid.map(Value::from));
        let refused = if kid.is_some() { JwtError::Signature } else { JwtError::UnknownKey };
        assert_eq!(verify_with(&token, &set_of(&keys)), Err(refused), "the ninth");
        keys.remove(1);
        assert!(verify_with(&token, &set_of(&keys)).is_ok(), "the eighth");
    }
}

/// CONTRACT 28.
#[rstest]
#[case::no_leeway_needed(json!(NOW + 1), None)]
#[case::now(json!(NOW), None)]
#[case::within_leeway(json!(NOW - 59), None)]
#[case::fraction_within_leeway(json!(NOW as f64 - 59.5), None)]
#[case::leeway_is_over(json!(NOW - 60), Some(JwtError::Expired))]
#[case::fraction_after_leeway(json!(NOW as f64 - 60.5), Some(JwtError::Expired))]
#[case::long_ago(json!(0), Some(JwtError::Expired))]
#[case::far_away(json!(253_402_000_000_i64), None)]
#[case::milliseconds(json!(NOW * 1000), Some(JwtError::Claims))]
#[case::huge(json!(1e300), Some(JwtError::Claims))]
#[case::largest(json!(u64::MAX), Some(JwtError::Claims))]
#[case::negative(json!(-1), Some(JwtError::Claims))]
#[case::negative_fraction(json!(-0.5), Some(JwtError::Claims))]
#[case::smallest(json!(i64::MIN), Some(JwtError::Claims))]
#[case::text(json!((NOW + 600).to_string()), Some(JwtError::Claims))]
#[case::date(json!("2099-01-01T00:00:00Z"), Some(JwtError::Claims))]
#[case::nan(json!("NaN"), Some(JwtError::Claims))]
#[case::boolean(json!(true), Some(JwtError::Claims))]
#[case::null(json!(null), Some(JwtError::Claims))]
#[case::array(json!([NOW + 600]), Some(JwtError::Claims))]
fn a_token_expires(#[case] exp: Value, #[case] error: Option<JwtError>) {
    assert_eq!(verify(&with_claim("exp", Some(exp))).err(), error);
}

/// CONTRACT 28.
#[rstest]
#[case::past(json!(NOW - 600), None)]
#[case::zero(json!(0), None)]
#[case::within_leeway(json!(NOW + 60), None)]
#[case::fraction_after_leeway(json!(NOW as f64 + 60.5), Some(JwtError::NotYetValid))]
#[case::after_leeway(json!(NOW + 61), Some(JwtError::NotYetValid))]
#[case::huge(json!(1e300), Some(JwtError::Claims))]
#[case::negative(json!(-1), Some(JwtError::Claims))]
#[case::text(json!("0"), Some(JwtError::Claims))]
#[case::null(json!(null), Some(JwtError::Claims))]
fn a_token_may_begin_later(#[case] nbf: Value, #[case] error: Option<JwtError>) {
    assert_eq!(verify(&with_claim("nbf", Some(nbf))).err(), error);
}

/// CONTRACT 28.
#[rstest]
#[case("exp", None, JwtError::Claims)]
#[case("sub", None, JwtError::Claims)]
#[case("sub", Some(json!("")), JwtError::Claims)]
#[case("sub", Some(json!(5)), JwtError::Claims)]
#[case("sub", Some(json!(["tje0"])), JwtError::Claims)]
#[case("iss", None, JwtError::Issuer)]
#[case("iss", Some(json!("")), JwtError::Issuer)]
#[case("iss", Some(json!(null)), JwtError::Issuer)]
#[case("iss", Some(json!([ISSUER])), JwtError::Issuer)]
#[case("iss", Some(json!("https://rival.example")), JwtError::Issuer)]
#[case("iss", Some(json!("https://sod.superoffice.com/")), JwtError::Issuer)]
#[case("iss", Some(json!("https://sod.superoffice.com.rival.example")), JwtError::Issuer)]
#[case("iss", Some(json!("HTTPS://SOD.SUPEROFFICE.COM")), JwtError::Issuer)]
#[case("aud", None, JwtError::Audience)]
#[case("aud", Some(json!("")), JwtError::Audience)]
#[case("aud", Some(json!("other")), JwtError::Audience)]
#[case("aud", Some(json!("Latchkey")), JwtError::Audience)]
#[case("aud", Some(json!("latchkey other")), JwtError::Audience)]
#[case("aud", Some(json!(null)), JwtError::Audience)]
#[case("aud", Some(json!([])), JwtError::Audience)]
#[case("aud", Some(json!(["other"])), JwtError::Audience)]
#[case("aud", Some(json!([[AUDIENCE]])), JwtError::Audience)]
#[case("aud", Some(json!({ AUDIENCE: AUDIENCE })), JwtError::Audience)]
fn a_token_for_somebody_else_is_refused(
    #[case] name: &str,
    #[case] value: Option<Value>,
    #[case] error: JwtError,
) {
    assert_eq!(verify(&with_claim(name, value)), Err(error));
}

/// CONTRACT 28.
#[rstest]
#[case("aud", json!([AUDIENCE]))]
#[case("aud", json!(["other", AUDIENCE]))]
#[case("iat", json!(NOW + 6000))]
#[case("padding", json!("x".repeat(11_000)))]
#[case("deep", json!([[[[[[[[{}]]]]]]]]))]
fn what_does_not_matter_does_not_hinder(#[case] name: &str, #[case] value: Value) {
    assert!(verify(&with_claim(name, Some(value))).is_ok());
}

/// CONTRACT 28.
#[rstest]
#[case(None, None)]
#[case(Some(json!("jwt")), None)]
#[case(Some(json!("at+jwt")), None)]
#[case(Some(json!("AT+JWT")), None)]
#[case(Some(json!("application/at+jwt")), None)]
#[case(Some(json!("Application/JWT")), None)]
#[case(Some(json!("")), Some(JwtError::Type))]
#[case(Some(json!("JWS")), Some(JwtError::Type))]
#[case(Some(json!("JWT ")), Some(JwtError::Type))]
#[case(Some(json!("dpop+jwt")), Some(JwtError::Type))]
#[case(Some(json!("logout+jwt")), Some(JwtError::Type))]
#[case(Some(json!("application/")), Some(JwtError::Type))]
#[case(Some(json!("application/application/jwt")), Some(JwtError::Type))]
#[case(Some(json!("text/jwt")), Some(JwtError::Type))]
#[case(Some(json!(null)), Some(JwtError::Type))]
#[case(Some(json!(["JWT"])), Some(JwtError::Type))]
fn a_token_of_another_type_is_refused(#[case] typ: Option<Value>, #[case] error: Option<JwtError>) {
    assert_eq!(verify(&with_header("typ", typ)).err(), error);
}

/// CONTRACT 28: RFC 7515 §4.1.11.
#[rstest]
fn a_token_with_a_critical_extension_is_refused(
    #[values(json!(["b64"]), json!(["exp"]), json!([]), json!(null), json!("x"))] crit: Value,
) {
    assert_eq!(verify(&with_header("crit", Some(crit))), Err(JwtError::Critical));
}

/// CONTRACT 28.
#[rstest]
fn a_signature_of_another_form_is_refused(
    #[values(("RS256", "rsa"), ("ES256", "p256"), ("ES384", "p384"), ("EdDSA", "ed"))] key: (
        &str,
        &str,
    ),
) {
    let (alg, kid) = key;
    let header = json!({ "alg": alg, "kid": kid }).to_string();
    let token = sign(&header, &claims().to_string(), key_named(kid), alg.parse().unwrap());
    assert!(verify(&token).is_ok());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let len = signature.len();
    for wrong in [
        vec![],
        vec![0],
        vec![0; len],
        vec![1; len],
        vec![0xff; len],
        signature[..len - 1].to_vec(),
        signature[1..].to_vec(),
        signature[..len / 2].to_vec(),
        [&signature[..], &[0]].concat(),
        [&[0], &signature[..]].concat(),
        signature.repeat(2),
        signature.iter().rev().copied().collect(),
    ] {
        let forged = format!("{message}.{}", encode(&wrong));
        assert_eq!(verify(&forged), Err(JwtError::Signature), "{} bytes", wrong.len());
    }
}

/// CONTRACT 28: RFC 7518 §3.4 wants the two numbers alone.
#[test]
fn an_es256_signature_in_der_is_refused() {
    let header = json!({ "alg": "ES256", "kid": "p256" }).to_string();
    let message = format!("{}.{}", encode(header), encode(claims().to_string()));
    let pair =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, KEYS.p256.as_bytes()).unwrap();
    let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    let token = format!("{message}.{}", encode(signature));
    assert_eq!(verify(&token), Err(JwtError::Signature));
}

/// CONTRACT 28.
#[test]
fn no_bit_of_a_payload_can_be_changed() {
    let token = ed_token(&ed_header(), &claims());
    let parts: Vec<_> = token.split('.').collect();
    let payload = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
    for bit in 0..payload.len() * 8 {
        let mut payload = payload.clone();
        payload[bit / 8] ^= 1 << (bit % 8);
        let forged = format!("{}.{}.{}", parts[0], encode(payload), parts[2]);
        assert_eq!(verify(&forged), Err(JwtError::Signature), "bit {bit}");
    }
}

/// CONTRACT 28: no other text is the same token.
#[test]
fn no_character_of_a_token_can_be_changed() {
    let token = ed_token(&ed_header(), &claims());
    for at in 0..token.len() {
        for other in ["", "A", "_", "=", " ", ".", "\0"].iter().filter(|o| **o != &token[at..=at]) {
            let forged = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(verify(&forged).is_err(), "{other:?} at {at}");
        }
    }
}

/// CONTRACT 28.
#[rstest]
#[case("{header}.{payload}")]
#[case("{header}.{payload}.{signature}.")]
#[case("{header}.{payload}.{signature}.{signature}")]
#[case("{header}.{payload}.{payload}.{signature}")]
#[case(".{header}.{payload}.{signature}")]
#[case(".{payload}.{signature}")]
#[case("{header}.{payload}.{signature} ")]
#[case(" {header}.{payload}.{signature}")]
#[case("{header}.{payload}.{signature}\n")]
#[case("{header}.\n{payload}.{signature}")]
#[case("{header}.{payload}.{signature}=")]
#[case("{header}.{payload}.{signature}==")]
#[case("{header}=.{payload}.{signature}")]
#[case("{header}.{payload}.%%%")]
#[case("{header}.{payload}.+/+/")]
#[case("{header}.%%%.{signature}")]
#[case("%%%.{payload}.{signature}")]
#[case("{payload}é.{payload}.{signature}")]
#[case("Bearer {header}.{payload}.{signature}")]
#[case("")]
#[case(".")]
#[case("..")]
#[case("...")]
#[case("....")]
#[case("e30.e30.")]
#[case("W10.e30.AAAA")]
#[case("bnVsbA.e30.AAAA")]
fn what_is_not_three_parts_of_base64_is_refused(#[case] form: &str) {
    let token = ed_token(&ed_header(), &claims());
    let parts: Vec<_> = token.split('.').collect();
    let forged = form
        .replace("{header}", parts[0])
        .replace("{payload}", parts[1])
        .replace("{signature}", parts[2]);
    assert_eq!(verify(&forged), Err(JwtError::Malformed));
}

/// CONTRACT 28: even if the issuer signed it.
#[rstest]
#[case("[]")]
#[case("null")]
#[case("\"text\"")]
#[case("")]
#[case("{")]
#[case("{} {}")]
#[case(r#"{"exp":NaN}"#)]
#[case(r#"{"exp":Infinity}"#)]
#[case(&"[".repeat(5_000))]
#[case(&format!("{}{}", r#"{"a":"#.repeat(1_000), "}".repeat(1_000)))]
#[case("eyJhbGciOiJub25lIn0.e30.")]
fn a_payload_that_is_no_object_is_refused(#[case] payload: &str) {
    let token = sign(&ed_header().to_string(), payload, &KEYS.ed, Algorithm::EdDSA);
    assert_eq!(verify(&token), Err(JwtError::Malformed));
}

/// CONTRACT 28: a number that no float holds.
#[test]
fn an_overflowing_exp_is_refused() {
    let payload = claims().to_string().replace(&(NOW + 600).to_string(), "1e400");
    assert!(payload.contains("1e400"));
    let token = sign(&ed_header().to_string(), &payload, &KEYS.ed, Algorithm::EdDSA);
    // Which of the two it is depends on whether serde_json keeps such numbers.
    assert!(matches!(verify(&token), Err(JwtError::Malformed | JwtError::Claims)));
}

/// CONTRACT 28: of members with one name the last counts, everywhere (RFC 7519 §4).
#[rstest]
#[case(r#"{"alg":"none","alg":"EdDSA"}"#, "", None)]
#[case(r#"{"alg":"EdDSA","alg":"none"}"#, "", Some(JwtError::Algorithm))]
#[case(r#"{"alg":"EdDSA","kid":"ed","kid":"rsa"}"#, "", Some(JwtError::Algorithm))]
#[case(r#"{"alg":"EdDSA","crit":[],"kid":"ed"}"#, "", Some(JwtError::Critical))]
#[case(r#"{"alg":"EdDSA"}"#, r#","iss":"https://rival.example""#, Some(JwtError::Issuer))]
#[case(r#"{"alg":"EdDSA"}"#, r#","exp":0"#, Some(JwtError::Expired))]
fn the_last_of_duplicate_members_counts(
    #[case] header: &str,
    #[case] more: &str,
    #[case] error: Option<JwtError>,
) {
    let payload = claims().to_string().replace('}', &format!("{more}}}"));
    let token = sign(header, &payload, &KEYS.ed, Algorithm::EdDSA);
    assert_eq!(verify(&token).err(), error);
}

/// CONTRACT 28.
#[test]
fn a_long_token_is_refused_before_it_is_decoded() {
    assert_eq!(verify(&"%".repeat(MAX_TOKEN_BYTES)), Err(JwtError::Malformed));
    assert_eq!(verify(&"%".repeat(MAX_TOKEN_BYTES + 1)), Err(JwtError::TooLong));
    let huge = with_claim("padding", Some(json!("x".repeat(13_000))));
    assert_eq!(verify(&huge), Err(JwtError::TooLong));
}

/// CONTRACT 28: who forges a token is not told what else is wrong with it.
#[test]
fn claims_are_judged_after_the_signature() {
    for name in ["iss", "aud", "exp", "sub"] {
        let mut payload = claims();
        set_member(&mut payload, name, None);
        let rival = ed_key();
        let token = sign(&ed_header().to_string(), &payload.to_string(), &rival, Algorithm::EdDSA);
        assert_eq!(verify(&token), Err(JwtError::Signature), "{name}");
    }
}

fn own(name: &str, value: Value) -> Result<Claims, JwtError> {
    verify(&with_claim(&format!("{CLAIM_PREFIX}{name}"), Some(value)))
}

/// CONTRACT 28.
#[test]
fn the_claims_of_superoffice_are_read() {
    let mut payload = claims();
    for (name, value) in [
        ("ctx", json!("Cust12345")),
        ("associateid", json!("42")),
        ("is_administrator", json!("True")),
        ("upn", json!("tje0@example.com")),
        ("email", json!("tje0@mail.example.com")),
    ] {
        // Without the prefix a claim is another one.
        set_member(&mut payload, name, Some(json!("other")));
        set_member(&mut payload, &format!("{CLAIM_PREFIX}{name}"), Some(value));
    }
    let expected = Claims {
        subject: "tje0".to_owned(),
        tenant: Some("Cust12345".to_owned()),
        associate_id: Some(42),
        is_administrator: true,
        upn: Some("tje0@example.com".to_owned()),
        email: Some("tje0@mail.example.com".to_owned()),
    };
    assert_eq!(verify(&ed_token(&ed_header(), &payload)), Ok(expected));
}

/// CONTRACT 28: a tenant that cannot be read is not the absence of one.
#[rstest]
fn a_tenant_of_another_type_is_refused(
    #[values(json!(5), json!(null), json!(["Cust12345"]), json!({}), json!(true))] ctx: Value,
) {
    assert_eq!(own("ctx", ctx), Err(JwtError::Claims));
}

/// CONTRACT 28.
#[rstest]
#[case(json!(42), Some(42))]
#[case(json!("42"), Some(42))]
#[case(json!(-1), Some(-1))]
#[case(json!("x"), None)]
#[case(json!(" 42"), None)]
#[case(json!(4.5), None)]
#[case(json!(u64::MAX), None)]
#[case(json!("99999999999999999999"), None)]
#[case(json!([42]), None)]
#[case(json!(null), None)]
fn an_associate_is_a_number(#[case] value: Value, #[case] expected: Option<i64>) {
    assert_eq!(own("associateid", value).map(|claims| claims.associate_id), Ok(expected));
}

/// CONTRACT 28.
#[rstest]
#[case(json!(true), true)]
#[case(json!("true"), true)]
#[case(json!("True"), true)]
#[case(json!(false), false)]
#[case(json!("false"), false)]
#[case(json!("TRUE"), false)]
#[case(json!("1"), false)]
#[case(json!(1), false)]
#[case(json!([true]), false)]
#[case(json!(null), false)]
fn an_administrator_is_said_to_be_one(#[case] value: Value, #[case] expected: bool) {
    assert_eq!(own("is_administrator", value).map(|claims| claims.is_administrator), Ok(expected));
}

/// CONTRACT 28.
#[rstest]
fn a_name_of_another_type_counts_as_absent(
    #[values("upn", "email")] name: &str,
    #[values(json!(5), json!(null), json!(["x"]))] value: Value,
) {
    let claims = own(name, value).unwrap();
    assert_eq!((claims.upn, claims.email), (None, None));
}
