//! Tokens with another form or signature.
//!
//! Invariant: each token has exactly one text.

use super::*;

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
