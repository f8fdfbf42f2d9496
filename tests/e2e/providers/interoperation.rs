//! A certified provider, `oidc-provider`, which rotates and ends a grant whose spent refresh token comes again.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    grants::{
        exchange::request,
        scene::{REDIRECT, access_token, assert_state, end_access_in, get, knowing, read_at_once},
    },
    support::{app::Setup, client::Client, load::tell},
    wire::official_client::client,
};

/// Of the verifier that `request` sends.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// The provider's process.
struct GrantProvider {
    process: Child,
    /// What it says of itself: `issuer`, `client_id`, `client_secret`.
    told: Value,
}

impl GrantProvider {
    fn start() -> Option<Self> {
        let mut command = Command::new("node");
        command.args(["grant-provider.mjs", REDIRECT]).current_dir(client()?);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = pipes.spawn().expect("node");
        let mut line = String::new();
        let output = process.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("what it says");
        let told = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Some(Self { process, told })
    }

    fn control(&self, command: &str) -> Value {
        let url = self.told["issuer"].as_str().expect("a URL");
        let client = Client::new(url).with_authorization(None);
        client.request("POST", &format!("/control/{command}"), &[], b"").expect(200).json()
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
    let Some(provider) = GrantProvider::start() else { return };
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
