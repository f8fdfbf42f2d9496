//! A client that signs assertions instead of sending a secret (RFC 7523 §2.2).
//!
//! Invariant: the provider verifies each assertion by a public key alone, and accepts none twice.

use std::{fs, process::Command};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, decode_header};
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::scene::{
        NAME, REDIRECT, access_token, assert_lives, assert_state, end_access_in, get, knowing,
        save, settings,
    },
    support::{
        app::{Setup, until},
        provider::{
            ClientAuth, Kind, MockProvider, Reply, Rules, Turn,
            endpoints::{merge, overlay},
        },
        tls::of_host,
    },
};

/// The algorithm and the public key that the provider has.
type Public = (Algorithm, DecodingKey);

/// A key of the curve P-256.
fn ec() -> (KeyPair, Public) {
    let key = KeyPair::generate().expect("a key");
    let public = DecodingKey::from_ec_der(key.der_bytes());
    (key, (Algorithm::ES256, public))
}

fn rsa(algorithm: Algorithm) -> (KeyPair, Public) {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    let public = DecodingKey::from_rsa_der(key.der_bytes());
    (key, (algorithm, public))
}

fn rules(keys: Vec<Public>) -> Rules {
    Rules { client_auth: ClientAuth::PrivateKeyJwt, assertion_keys: keys, ..Rules::default() }
}

/// The settings of a client that signs with the key in `key.pem`.
fn signing(setup: &Setup, key: &KeyPair, over: &Value) -> Value {
    fs::write(setup.folder().join("key.pem"), key.serialize_pem()).expect("written");
    let mut all = json!({
        "client_secret": null,
        "client_auth": "private_key_jwt",
        "private_key_file": "key.pem",
    });
    overlay(&mut all, over);
    all
}

/// Each algorithm, in every request: an exchange, a refresh, an introspection and a revocation.
#[rstest]
#[case::ec(ec(), json!({}))]
#[case::rsa(rsa(Algorithm::RS256), json!({}))]
#[case::pss(rsa(Algorithm::PS256), json!({"assertion_algorithm": "PS256", "key_id": "key-1"}))]
fn every_request_has_an_assertion_of_its_own(
    #[case] (key, public): (KeyPair, Public),
    #[case] over: Value,
) {
    let algorithm = public.0;
    let provider = MockProvider::start(rules(vec![public]));
    let setup = Setup::new();
    let mut over = over;
    over["revocation_endpoint"] = provider.at("/revoke").into();
    over["introspection_endpoint"] = provider.at("/introspect").into();
    let known = settings(&provider, &signing(&setup, &key, &over));
    let app = knowing(setup, &[known]).start();
    let client = app.client();
    let code = provider.code(REDIRECT, None, None);
    let exchange = json!({ "Provider": NAME, "AuthorizationCode": code, "RedirectUri": REDIRECT });
    let key = client.post("ExchangeCodeAndSaveTokens", &exchange).expect(200).key();
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&client, &key, 0))));
    client.post_records("Introspect", &json!({ "Key": key })).expect(200);
    let ended = client.post_records("RevokeGrant", &json!({ "Key": key, "Require": true }));
    assert_eq!(ended.expect(200).json()["Upstream"], "Revoked");

    assert_eq!(provider.wrong_secrets(), 0);
    let sent = provider.requests();
    let mut kinds: Vec<_> = sent.iter().map(|request| request.kind).collect();
    kinds.dedup();
    let expected = [Kind::Exchange, Kind::Refresh, Kind::Introspection, Kind::Revocation];
    assert_eq!(kinds, expected);
    for request in &sent {
        assert!(
            request.headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("authorization"))
        );
        let header = decode_header(request.field("client_assertion")).expect("a header");
        let expected = over["key_id"].as_str();
        assert_eq!((header.alg, header.kid.as_deref()), (algorithm, expected));
    }
}

/// A repeated request has a new assertion, because a provider accepts no assertion twice.
#[test]
fn a_request_that_is_repeated_has_another_assertion() {
    let (key, public) = ec();
    let provider = MockProvider::start(rules(vec![public]));
    let setup = Setup::new();
    let over = signing(&setup, &key, &json!({"replay_within_seconds": 60}));
    let app = knowing(setup, &[settings(&provider, &over)]).start();
    let key = save(&app.client(), &provider.grant(), 0);
    provider.next([Turn::Say(Reply::new(200, "text/html", "<h1>lost</h1>"))]);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    let sent = provider.requests();
    let assertions: Vec<_> = sent.iter().map(|request| request.field("client_assertion")).collect();
    assert_eq!(assertions.len(), 2);
    assert_ne!(assertions[0], assertions[1]);
    assert_eq!(provider.wrong_secrets(), 0);
}

/// By default the audience is the issuer if there is one, and otherwise the token endpoint. The configuration can
/// change it.
#[test]
fn an_assertion_is_for_whom_the_configuration_says() {
    let (key, public) = ec();
    let provider = MockProvider::start(rules(vec![public]));
    let by_issuer = json!({"token_endpoint": null, "issuer": provider.url()});
    let with = |over: &Value, audience: &str| {
        let mut over = over.clone();
        if !audience.is_empty() {
            over["assertion_audience"] = audience.into();
        }
        over
    };
    for (over, audience) in [
        (with(&by_issuer, ""), provider.url().to_owned()),
        (with(&by_issuer, "token_endpoint"), provider.at("/token")),
        (with(&by_issuer, "endpoint"), provider.at("/token")),
        (with(&json!({}), ""), provider.at("/token")),
        (with(&json!({}), "https://id.example.com/"), "https://id.example.com/".to_owned()),
    ] {
        provider.set(|rules| rules.audience = audience);
        let setup = Setup::new();
        let known = settings(&provider, &signing(&setup, &key, &over));
        let app = knowing(setup, &[known]).start();
        let key = save(&app.client(), &provider.grant(), 0);
        assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))), "{over}");
    }
    assert_eq!(provider.wrong_secrets(), 0);
}

/// While a key is being replaced, the server signs with the next one after the provider rejected the first. SIGHUP
/// reads the files again. The records stay the client's, with every key.
#[test]
fn a_key_is_replaced_while_the_server_runs() {
    let ((old, of_old), (new, of_new)) = (ec(), rsa(Algorithm::RS256));
    let provider = MockProvider::start(rules(vec![of_old]));
    let setup = Setup::new();
    let file = |name: &str| setup.folder().join(name);
    fs::write(file("next.pem"), new.serialize_pem()).expect("written");
    let over = json!({"next_private_key_file": "next.pem", "next_key_id": "key-2"});
    let known = settings(&provider, &signing(&setup, &old, &over));
    let app = knowing(setup.clone(), &[known]).start();
    let (client, grant) = (app.client(), provider.grant());
    let key = save(&client, &grant, 0);
    let refresh = || {
        end_access_in(&app.setup, &key, -1);
        assert!(provider.is_newest(&access_token(get(&client, &key, 0))));
    };
    refresh();
    assert_eq!(provider.wrong_secrets(), 0);
    provider.set(|rules| rules.assertion_keys = vec![of_new.clone()]);
    refresh();
    assert_eq!(provider.wrong_secrets(), 1);
    let last = provider.requests().pop().expect("a request");
    let header = decode_header(last.field("client_assertion")).expect("a header");
    assert_eq!(header.kid.as_deref(), Some("key-2"));

    let (other, of_other) = ec();
    provider.set(|rules| rules.assertion_keys = vec![of_other]);
    end_access_in(&app.setup, &key, -1);
    get(&client, &key, 0).expect(502);
    assert_state(&app, &key, "Blocked", Some("invalid_client"));
    fs::write(file("key.pem"), "no key").expect("written");
    app.signal("HUP");
    app.logged(&["WARN", "private_key_file: key.pem has no private key in PEM"]);
    fs::write(file("key.pem"), other.serialize_pem()).expect("written");
    app.signal("HUP");
    until("the key is read again, and the pause is over", || {
        app.sql("UPDATE provider_states SET retry_at = 0");
        get(&client, &key, 0).status == 200
    });
    assert_lives(&provider, &app.setup, &key);
}

/// Microsoft Entra finds the public key by the digest of its certificate.
#[test]
fn an_assertion_names_the_certificate_of_its_key() {
    let (key, public) = rsa(Algorithm::PS256);
    let provider = MockProvider::start(rules(vec![public]));
    let setup = Setup::new();
    let parameters = of_host("client.example.com");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    fs::write(setup.folder().join("client.crt"), certificate.pem()).expect("written");
    let over = json!({
        "assertion_algorithm": "PS256",
        "certificate_file": "client.crt",
    });
    let known = settings(&provider, &signing(&setup, &key, &over));
    let app = knowing(setup, &[known]).start();
    let key = save(&app.client(), &provider.grant(), 0);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    let sent = provider.requests().pop().expect("a request");
    let header = decode_header(sent.field("client_assertion")).expect("a header");
    let digest = digest(&SHA256, certificate.der());
    assert_eq!(header.x5t_s256, Some(URL_SAFE_NO_PAD.encode(digest)));
}

/// A file that cannot be used is named by its setting and its provider, and its content is not shown.
#[test]
fn what_is_wrong_with_a_key_is_named() {
    let setup = Setup::new().with("PROFILE", "development");
    let file = |name: &str| setup.folder().join(name);
    let openssl = |arguments: &str| {
        let arguments = arguments.split(' ').map(|part| match part.strip_prefix('@') {
            Some(name) => file(name).into_os_string(),
            None => part.into(),
        });
        let made = Command::new("openssl").args(arguments).output().expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out @ec.pem");
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out @p384.pem");
    openssl("genpkey -algorithm ED25519 -out @ed.pem");
    openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out @short.pem");
    openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out @rsa.pem");
    openssl("pkey -in @ec.pem -aes256 -passout pass:CANARY -out @locked.pem");
    openssl("ec -in @ec.pem -aes256 -passout pass:CANARY -out @locked-sec1.pem");
    openssl("req -new -x509 -key @ec.pem -subj /CN=client -days 9 -out @ec.crt");
    openssl("pkey -in @ec.pem -traditional -out @sec1.pem");
    openssl("pkey -in @rsa.pem -traditional -out @pkcs1.pem");
    fs::write(file("text.pem"), "CANARY").expect("written");
    fs::write(file("empty.pem"), "").expect("written");
    let check = |over: &Value| {
        let mut known = json!({
            "name": NAME, "token_endpoint": "https://id.example.com/token", "client_id": "c",
        });
        merge(&mut known, over);
        let setup = setup.clone().with("GRANTS__PROVIDERS", &json!([known]).to_string());
        let output = setup.arguments(&["config", "check"]).command().output().expect("it runs");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(!told.contains("CANARY"), "{told}");
        if output.status.success() { Ok(()) } else { Err(told) }
    };
    let signing = |key: &str| json!({"client_auth": "private_key_jwt", "private_key_file": key});
    for key in ["ec.pem", "sec1.pem", "rsa.pem", "pkcs1.pem"] {
        check(&signing(key)).unwrap_or_else(|told| panic!("{key}: {told}"));
    }
    let kind = "neither of the curve P-256 nor an RSA key of 2048 to 8192 bits";
    let with = |key: &str, over: Value| {
        let mut settings = signing(key);
        merge(&mut settings, &over);
        settings
    };
    let tls = |certificate: &str, key: &str| json!({"client_auth": "tls", "tls": {"certificate": certificate, "key": key}});
    for (over, told) in [
        (signing("missing.pem"), "cannot read private_key_file = \"missing.pem\""),
        (signing("text.pem"), "private_key_file: text.pem has no private key in PEM"),
        (signing("empty.pem"), "private_key_file: empty.pem has no private key in PEM"),
        (signing("ec.crt"), "private_key_file: ec.crt has no private key in PEM"),
        (signing("locked.pem"), "private_key_file: the key in locked.pem is encrypted"),
        (signing("locked-sec1.pem"), "private_key_file: the key in locked-sec1.pem is encrypted"),
        (signing("p384.pem"), kind),
        (signing("ed.pem"), kind),
        (signing("short.pem"), kind),
        (
            with("ec.pem", json!({"assertion_algorithm": "PS256"})),
            "assertion_algorithm: the algorithm PS256 is not for this key, which signs ES256 (private_key_file: ec.pem)",
        ),
        (
            with("rsa.pem", json!({"certificate_file": "ec.crt"})),
            "certificate_file and private_key_file do not go together",
        ),
        (
            with("rsa.pem", json!({"certificate_file": "rsa.pem"})),
            "certificate_file: rsa.pem has no certificate in PEM",
        ),
        (
            with("ec.pem", json!({"client_secret": "CANARY"})),
            "signs with private_key_file; remove client_secret",
        ),
        (
            with("ec.pem", json!({"client_auth": "post", "client_secret": "CANARY"})),
            "private_key_file is for client_auth = \"private_key_jwt\", and client_auth is \"post\"",
        ),
        (
            with("ec.pem", json!({"next_private_key_file": "p384.pem"})),
            "next_private_key_file: p384.pem: the key is neither",
        ),
        (tls("missing.crt", "ec.pem"), "cannot read tls.certificate = \"missing.crt\""),
        (tls("ec.pem", "ec.pem"), "tls.certificate: ec.pem has no certificate in PEM"),
        (tls("ec.crt", "locked.pem"), "tls.key: the key in locked.pem is encrypted"),
        (tls("ec.crt", "rsa.pem"), "tls.certificate and tls.key do not go together"),
    ] {
        let refusal = check(&over).expect_err(told);
        assert!(refusal.contains("grants.providers[1] (mock): "), "{over}: {refusal}");
        assert!(refusal.contains(told), "{over}: {refusal}");
    }
    check(&tls("ec.crt", "ec.pem")).expect("they go together");

    // The presets of providers that accept assertions.
    let of_preset = |preset: &str, parameters: Value, key: &str| {
        let mut over = signing(key);
        over["preset"] = preset.into();
        over["parameters"] = parameters;
        over["token_endpoint"] = Value::Null;
        check(&over)
    };
    let (okta, auth0) =
        (json!({"organization": "example"}), json!({"tenant": "example", "region": "eu"}));
    of_preset("okta", okta, "ec.pem").expect("Okta takes it");
    of_preset("auth0", auth0, "rsa.pem").expect("Auth0 takes it");
    let common = json!({"tenant": "common"});
    of_preset("microsoft-entra", common.clone(), "rsa.pem").expect("Microsoft takes it");
    let told = of_preset("microsoft-entra", common, "ec.pem").expect_err("it wants PS256");
    assert!(told.contains("the algorithm PS256 is not for this key"), "{told}");
}
