//! A certified provider, `oidc-provider`, which rotates and ends a grant whose spent refresh token comes again.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use rstest::rstest;
use rustls::crypto::aws_lc_rs::default_provider;
use serde_json::{Value, json};
use ureq::tls::TlsConfig;

use crate::{
    grants::{
        exchange::request,
        scene::{REDIRECT, access_token, assert_state, end_access_in, get, knowing, read_at_once},
    },
    support::{
        app::{Setup, TestApp},
        client::Client,
        load::tell,
        tls::of_host,
    },
    wire::official_client::client,
};

/// The challenge of the verifier that `request` sends.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The provider's process.
pub(crate) struct GrantProvider {
    process: Child,
    /// The provider's first output: `issuer`, `client_id`, `client_secret`.
    pub(crate) told: Value,
}

impl GrantProvider {
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new("node");
        command.args(["grant-provider.mjs", REDIRECT]).args(arguments).current_dir(client()?);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = pipes.spawn().expect("node");
        let mut line = String::new();
        let output = process.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("what it says");
        let told = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Some(Self { process, told })
    }

    pub(crate) fn control(&self, command: &str) -> Value {
        let url = self.told["issuer"].as_str().expect("a URL");
        // The server verifies the certificate; the test only requests a code.
        let tls = TlsConfig::builder()
            .disable_verification(true)
            .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
            .build();
        let client = Client::with_tls(url, tls).with_authorization(None);
        client.request("POST", &format!("/control/{command}"), &[], b"").expect(200).json()
    }

    /// The server exchanges a code, and then refreshes, introspects and revokes: every request of a client.
    fn use_all_of(&self, app: &TestApp, code: &str) {
        let client = app.client();
        let body = request(code, &json!({"Nonce": "nonce-1"}));
        let key = client.post("ExchangeCodeAndSaveTokens", &body).expect(200).key();
        let first = access_token(get(&client, &key, 0));
        end_access_in(&app.setup, &key, -1);
        assert_ne!(access_token(get(&client, &key, 0)), first);
        let said = client.post_records("Introspect", &json!({ "Key": key })).expect(200).json();
        assert_eq!(said["Active"], true, "{said}");
        let end = json!({ "Key": key, "Require": true });
        let ended = client.post_records("RevokeGrant", &end).expect(200).json();
        assert_eq!(ended, json!({ "Revoked": true, "Upstream": "Revoked" }));
    }
}

impl Drop for GrantProvider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_certified_provider_gives_a_grant_that_is_refreshed() {
    let Some(provider) = GrantProvider::start(&[]) else { return };
    let told = &provider.told;
    let known = json!({
        "name": "mock",
        "issuer": told["issuer"],
        "client_id": told["client_id"],
        "client_secret": told["client_secret"],
        "scopes": ["openid", "email"],
        "redirect_uris": [REDIRECT],
        "allow_private_addresses": true,
    });
    let app = knowing(Setup::new(), &[known]).start();
    let asked = format!(
        "code?redirect_uri={REDIRECT}&code_challenge={CHALLENGE}&nonce=nonce-1&scope=openid%20email"
    );
    let code = provider.control(&asked)["code"].as_str().expect("a code").to_owned();
    let body = request(&code, &json!({"Nonce": "nonce-1"}));
    let key = app.client().post("ExchangeCodeAndSaveTokens", &body).expect(200).key();
    let got = app.client().get(&key);
    let claims: Value =
        serde_json::from_str(got["Claims"].as_str().expect("claims")).expect("JSON");
    assert_eq!((&claims["sub"], &claims["email"]), (&json!("ann"), &json!("ann@example.com")));
    let mut tokens = vec![access_token(get(&app.client(), &key, 0))];
    for _ in 0..5 {
        end_access_in(&app.setup, &key, -1);
        let answers = read_at_once(&[&app], &key, 20);
        let token = access_token(answers.into_iter().next().expect("one"));
        assert!(!tokens.contains(&token));
        tokens.push(token);
        assert_state(&app, &key, "Live", None);
    }
    // A refresh token that was sent twice would have ended the grant.
    let requests = provider.control("requests");
    tell(&format!("oracle: the provider was asked {requests}"));
    assert_eq!(requests, json!({"authorization_code": 1, "refresh_token": 5}));
    let again = app.client().post("ExchangeCodeAndSaveTokens", &body);
    again.expect_error(400, "ArgumentException", "AuthorizationCode");
    assert_eq!(provider.control("requests")["authorization_code"], 1);

    let said = app.client().post_records("Introspect", &json!({ "Key": key })).expect(200).json();
    assert_eq!((&said["Active"], &said["Scope"]), (&json!(true), &json!("openid email")), "{said}");
    assert!(said["Expires"].is_string(), "{said}");
    let end = json!({ "Key": key, "Require": true });
    let ended = app.client().post_records("RevokeGrant", &end).expect(200).json();
    assert_eq!(ended, json!({ "Revoked": true, "Upstream": "Revoked" }));
    assert!(app.client().get(&key).is_null());
}

const ASKED: &str = "nonce=nonce-1&scope=openid%20email";

/// RFC 7523 §2.2: the provider, which uses other cryptography, verifies the server's signatures.
#[rstest]
#[case::ec("ES256")]
#[case::rsa("RS256")]
#[case::pss("PS256")]
fn a_certified_provider_verifies_assertions(#[case] algorithm: &str) {
    let setup = Setup::new();
    let (key, public) = match algorithm {
        "ES256" => ec_key(),
        _ => rsa_key(),
    };
    fs::write(setup.folder().join("key.pem"), key.serialize_pem()).expect("written");
    let jwk = public.to_string();
    let Some(provider) = GrantProvider::start(&["--jwk", &jwk, "--alg", algorithm]) else { return };
    let mut known = json!({
        "name": "mock",
        "issuer": provider.told["issuer"],
        "client_id": provider.told["client_id"],
        "client_auth": "private_key_jwt",
        "private_key_file": "key.pem",
        "key_id": "key-1",
        "redirect_uris": [REDIRECT],
        "allow_private_addresses": true,
    });
    if algorithm == "PS256" {
        known["assertion_algorithm"] = algorithm.into();
    }
    let app = knowing(setup, &[known]).start();
    let asked = format!("code?redirect_uri={REDIRECT}&code_challenge={CHALLENGE}&{ASKED}");
    let code = provider.control(&asked)["code"].as_str().expect("a code").to_owned();
    provider.use_all_of(&app, &code);
}

/// RFC 8705 §2.2: the provider knows the client by the certificate of its TLS connection.
#[test]
fn a_certified_provider_takes_a_certificate() {
    let setup = Setup::new();
    let file = |name: &str| setup.folder().join(name).to_str().expect("UTF-8").to_owned();
    let (key, mut jwk) = ec_key();
    let certificate = of_host("client.example.com").self_signed(&key).expect("a certificate");
    jwk["x5c"] = json!([STANDARD.encode(certificate.der())]);
    fs::write(file("client.key"), key.serialize_pem()).expect("written");
    fs::write(file("client.crt"), certificate.pem()).expect("written");
    let of_server = KeyPair::generate().expect("a key");
    let certificate = of_host("127.0.0.1").self_signed(&of_server).expect("a certificate");
    fs::write(file("server.key"), of_server.serialize_pem()).expect("written");
    fs::write(file("server.crt"), certificate.pem()).expect("written");
    let (certificate, key, jwk) = (file("server.crt"), file("server.key"), jwk.to_string());
    let arguments = ["--jwk", &jwk, "--tls-certificate", &certificate, "--tls-key", &key];
    let Some(provider) = GrantProvider::start(&arguments) else { return };
    let known = json!({
        "name": "mock",
        "issuer": provider.told["issuer"],
        "client_id": provider.told["client_id"],
        "client_auth": "tls",
        "tls": {"certificate": "client.crt", "key": "client.key"},
        "ca": "server.crt",
        "redirect_uris": [REDIRECT],
        "allow_private_addresses": true,
    });
    let app = knowing(setup, &[known]).start();
    let asked = format!("code?redirect_uri={REDIRECT}&code_challenge={CHALLENGE}&{ASKED}");
    let code = provider.control(&asked)["code"].as_str().expect("a code").to_owned();
    provider.use_all_of(&app, &code);
}

/// A public key as a JSON Web Key (RFC 7517).
fn ec_key() -> (KeyPair, Value) {
    let key = KeyPair::generate().expect("a key");
    let (x, y) = key.der_bytes()[1..].split_at(32);
    let encode = |bytes| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "key-1", "x": encode(x), "y": encode(y)});
    (key, jwk)
}

/// Like `ec_key`, for RSA: the modulus is the last but five bytes of a key whose exponent is 65537 (RFC 8017 §A.1.1).
fn rsa_key() -> (KeyPair, Value) {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    let public = key.der_bytes();
    let modulus = &public[public.len() - 5 - 256..public.len() - 5];
    let modulus = URL_SAFE_NO_PAD.encode(modulus);
    let jwk = json!({"kty": "RSA", "kid": "key-1", "n": modulus, "e": "AQAB"});
    (key, jwk)
}
