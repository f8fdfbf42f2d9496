//! Assertions, verified by a library that did not sign them.

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::KeySize,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, KeyPair as _},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use rstest::rstest;

use super::*;

/// A key that signs ES256.
pub(crate) fn key() -> AssertionKey {
    AssertionKey::from_der(&ec(), None).expect("a key")
}

fn ec() -> Vec<u8> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    pair.to_pkcs8v1().expect("PKCS#8").as_ref().to_vec()
}

fn rsa() -> Vec<u8> {
    let pair = rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
    pair.as_der().expect("PKCS#8").as_ref().to_vec()
}

/// The provider's part of the key.
fn public(key: &AssertionKey) -> DecodingKey {
    match &key.signer {
        Signer::Ecdsa(pair) => DecodingKey::from_ec_der(pair.public_key().as_ref()),
        Signer::Rsa(pair, ..) => DecodingKey::from_rsa_der(pair.public_key().as_ref()),
    }
}

#[rstest]
#[case(ec(), None, Algorithm::ES256)]
#[case(ec(), Some(AssertionAlgorithm::ES256), Algorithm::ES256)]
#[case(rsa(), None, Algorithm::RS256)]
#[case(rsa(), Some(AssertionAlgorithm::RS256), Algorithm::RS256)]
#[case(rsa(), Some(AssertionAlgorithm::PS256), Algorithm::PS256)]
fn an_assertion_says_who_signed_it_for_whom_and_when(
    #[case] der: Vec<u8>,
    #[case] asked: Option<AssertionAlgorithm>,
    #[case] signed: Algorithm,
) {
    let key = AssertionKey::from_der(&der, asked).expect("a key");
    let key = key.with_id(Some("key \"1\"")).with_certificate(b"certificate");
    let issued = jsonwebtoken::get_current_timestamp() as i64;
    let assertion = key.sign("client:1", "https://login.example", issued, "j-1");
    let assertion = assertion.expose();

    let header = decode_header(assertion).expect("a header");
    assert_eq!((header.alg, header.typ.as_deref()), (signed, Some("JWT")));
    assert_eq!(header.kid.as_deref(), Some("key \"1\""));
    let digest = URL_SAFE_NO_PAD.encode(digest(&SHA256, b"certificate"));
    assert_eq!(header.x5t_s256, Some(digest));

    let mut validation = Validation::new(signed);
    validation.set_audience(&["https://login.example"]);
    validation.set_issuer(&["client:1"]);
    validation.set_required_spec_claims(&["aud", "exp", "iss", "sub"]);
    let decoded = decode::<Value>(assertion, &public(&key), &validation).expect("it is signed");
    let expected = json!({
        "iss": "client:1",
        "sub": "client:1",
        "aud": "https://login.example",
        "jti": "j-1",
        "iat": issued,
        "exp": issued + 60,
    });
    assert_eq!(decoded.claims, expected);
    let other = public(&AssertionKey::from_der(&der_like(&key), asked).expect("a key"));
    decode::<Value>(assertion, &other, &validation).expect_err("another key signed it");
}

/// Another key of the same kind.
fn der_like(key: &AssertionKey) -> Vec<u8> {
    match key.signer {
        Signer::Ecdsa(_) => ec(),
        Signer::Rsa(..) => rsa(),
    }
}

#[test]
fn a_header_names_only_what_is_known_of_the_key() {
    let assertion = key().sign("c", "a", 0, "j");
    let header = assertion.expose().split('.').next().expect("a header");
    let header = URL_SAFE_NO_PAD.decode(header).expect("base64url");
    assert_eq!(header, br#"{"alg":"ES256","typ":"JWT"}"#);
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let other = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
    let other = other.to_pkcs8v1().expect("PKCS#8");
    for der in [other.as_ref(), b"", b"no key"] {
        assert_eq!(AssertionKey::from_der(der, None).expect_err("refused"), InvalidKey::Kind);
    }
    for (der, asked, told) in [
        (ec(), AssertionAlgorithm::PS256, "PS256 is not for this key, which signs ES256"),
        (rsa(), AssertionAlgorithm::ES256, "ES256 is not for this key, which signs RS256 or PS256"),
    ] {
        let error = AssertionKey::from_der(&der, Some(asked)).expect_err("refused");
        assert!(error.to_string().contains(told), "{error}");
    }
    assert!(!format!("{:?}", key().with_id(Some("k"))).contains("signer"));
}
