//! The claims of an id_token: its audience, its times and the others.

use super::*;

const CLIENT: &str = AUDIENCE;

fn verifier() -> JwtVerifier {
    JwtVerifier::new(ISSUER.to_owned(), CLIENT.to_owned())
}

fn verify_by(verifier: &JwtVerifier, token: &str) -> Result<Map<String, Value>, JwtError> {
    verifier.verify_id_token(&token.into(), &KEYS.set, Timestamp::from_second(NOW).unwrap())
}

/// An id_token in which these claims differ; null leaves one out.
fn with(changes: &Value) -> String {
    let mut payload = claims();
    set_member(&mut payload, "iat", Some(json!(NOW)));
    for (name, value) in changes.as_object().unwrap() {
        set_member(&mut payload, name, Some(value.clone()).filter(|value| !value.is_null()));
    }
    ed_token(&ed_header(), &payload)
}

#[test]
fn all_claims_are_returned() {
    let token = with(&json!({ "nonce": "n", "email": "tje0@example.com", "groups": ["a"] }));
    let claims = verify_by(&verifier(), &token).expect("it is right");
    assert_eq!(claims["sub"], "tje0");
    assert_eq!(claims["nonce"], "n");
    assert_eq!(claims["groups"], json!(["a"]));
}

#[rstest]
#[case::right(json!({}), None)]
#[case::one_of_one(json!({ "aud": [CLIENT] }), None)]
#[case::several_and_ours(json!({ "aud": ["x", CLIENT], "azp": CLIENT }), None)]
#[case::azp_alone(json!({ "azp": CLIENT }), None)]
#[case::several(json!({ "aud": ["x", CLIENT] }), Some(JwtError::Audience))]
#[case::several_of_another(json!({ "aud": ["x", CLIENT], "azp": "x" }), Some(JwtError::Audience))]
#[case::of_another(json!({ "azp": "x" }), Some(JwtError::Audience))]
#[case::for_another(json!({ "aud": "x", "azp": CLIENT }), Some(JwtError::Audience))]
#[case::for_none(json!({ "aud": [] }), Some(JwtError::Audience))]
#[case::no_aud(json!({ "aud": null }), Some(JwtError::Audience))]
#[case::issuer(json!({ "iss": "https://sod.superoffice.com/" }), Some(JwtError::Issuer))]
#[case::no_issuer(json!({ "iss": null }), Some(JwtError::Issuer))]
#[case::just_expired(json!({ "exp": NOW - 59 }), None)]
#[case::expired(json!({ "exp": NOW - 60 }), Some(JwtError::Expired))]
#[case::no_exp(json!({ "exp": null }), Some(JwtError::Claims))]
#[case::clock_ahead(json!({ "iat": NOW + 60 }), None)]
#[case::issued_later(json!({ "iat": NOW + 61 }), Some(JwtError::NotYetValid))]
#[case::no_iat(json!({ "iat": null }), Some(JwtError::Claims))]
#[case::text_iat(json!({ "iat": NOW.to_string() }), None)]
#[case::later_text_iat(json!({ "iat": (NOW + 61).to_string() }), Some(JwtError::NotYetValid))]
#[case::word_iat(json!({ "iat": "now" }), Some(JwtError::Claims))]
#[case::negative_text_iat(json!({ "iat": "-1" }), Some(JwtError::Claims))]
#[case::text_exp(json!({ "exp": (NOW + 60).to_string() }), Some(JwtError::Claims))]
#[case::no_subject(json!({ "sub": null }), Some(JwtError::Claims))]
#[case::empty_subject(json!({ "sub": "" }), Some(JwtError::Claims))]
#[case::long_subject(json!({ "sub": "x".repeat(256) }), Some(JwtError::Claims))]
fn each_claim_is_judged(#[case] changes: Value, #[case] error: Option<JwtError>) {
    assert_eq!(verify_by(&verifier(), &with(&changes)).err(), error);
}

#[test]
fn an_access_token_is_no_id_token() {
    let mut header = ed_header();
    header["typ"] = json!("at+jwt");
    let mut payload = claims();
    payload["iat"] = json!(NOW);
    let token = ed_token(&header, &payload);
    assert!(verify(&token).is_ok());
    assert_eq!(verify_by(&verifier(), &token).err(), Some(JwtError::Type));
}

#[test]
fn keys_of_a_provider_may_serve_many_issuers() {
    let any = JwtVerifier::of_any_issuer(CLIENT.to_owned());
    assert!(verify_by(&any, &with(&json!({ "iss": "https://login.example/tenant" }))).is_ok());
    for iss in [json!(null), json!(""), json!(7)] {
        let token = with(&json!({ "iss": iss }));
        assert_eq!(verify_by(&any, &token).err(), Some(JwtError::Issuer), "{iss}");
    }
    let forged = sign(&ed_header().to_string(), &claims().to_string(), &ed_key(), Algorithm::EdDSA);
    assert_eq!(verify_by(&any, &forged).err(), Some(JwtError::Signature));
}
