//! The claims and times of a payload.
//!
//! Invariant: an unreadable claim never gives its bearer more rights.

use super::*;

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

/// CONTRACT 28: a forged token is rejected for its signature, before its claims are read.
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
