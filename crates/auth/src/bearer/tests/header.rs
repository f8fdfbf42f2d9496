//! The header: algorithms, ids of keys, types.
//!
//! Invariant: a token never chooses how it is verified.

use super::*;

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

/// CONTRACT 28: the key set says which algorithms a key verifies; the token never does.
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
