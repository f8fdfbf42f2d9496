//! Searches the log for secrets: every kind of credential and of body, with our own crates at their most verbose, on
//! both backends. `TestApp` searches for the secrets that all tests save. Here each secret is searched for in every
//! form.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::token_endpoint::{TOKEN, exchanging, with_endpoint},
    support::{
        app::{Setup, TestApp, assert_not_in},
        client::Session,
        issuer::{self, Issuer},
    },
};

const ACCESS: &str = "CANARY-access-token-of-the-provider";
const REFRESH: &str = "CANARY-refresh-token-of-the-provider";
const PASSWORD: &str = "CANARY-password";
const APPLICATION: &str = "c0ffee00c0ffee11c0ffee22c0ffee33";
const IDEMPOTENCY: &str = "CANARY-idempotency-key";

/// The same save in every type that the server reads.
fn bodies() -> [(&'static str, String); 5] {
    let carrier = json!({"Provider": "et", "AccessToken": ACCESS, "RefreshToken": REFRESH,
                         "Claims": "{\"sub\":\"CANARY-claims\"}"});
    let whole = json!({ "TokenManagementInfo": carrier });
    let patch = json!([{"op": "add", "path": "/TokenManagementInfo", "value": carrier}]);
    let xml = format!(
        "<x><TokenManagementInfo><Provider>et</Provider><AccessToken>{ACCESS}</AccessToken>\
         <RefreshToken>{REFRESH}</RefreshToken></TokenManagementInfo></x>"
    );
    let form = format!("Provider=et&AccessToken={ACCESS}&RefreshToken={REFRESH}");
    [
        ("application/json", whole.to_string()),
        ("application/merge-patch+json", whole.to_string()),
        ("application/json-patch+json", patch.to_string()),
        ("application/xml", xml),
        ("application/x-www-form-urlencoded", form),
    ]
}

/// Every credential of a caller, as headers.
fn credentials(app: &TestApp, issuer: &Issuer) -> Vec<(&'static str, String, Vec<String>)> {
    let ticket = app.ticket("ann");
    let by_ticket = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
    let token = by_ticket.request("GET", "/api/v1/User/currentToken", &[], b"").expect(200);
    let token = token.json().as_str().expect("a token").to_owned();
    let jwt = issuer.token(&json!({"sub": "ann"}));
    let Session { cookie, xsrf_token } = app.client().sign_in("ann", PASSWORD);
    let session = cookie.split(['=', ';']).nth(1).expect("a value").to_owned();
    let basic = "YW5uOkNBTkFSWS1wYXNzd29yZA==";
    let signature = jwt.rsplit('.').next().expect("three parts").to_owned();
    vec![
        ("Authorization", format!("Basic {basic}"), vec![basic.to_owned()]),
        ("Authorization", format!("SoTicket {ticket}"), vec![ticket]),
        ("Authorization", format!("Bearer {token}"), vec![token]),
        ("Authorization", format!("Bearer {jwt}"), vec![jwt, signature]),
        ("Cookie", cookie, vec![session, xsrf_token]),
    ]
}

/// CONTRACT 36.
#[rstest]
fn no_secret_is_in_the_log_in_any_form(#[values("development", "production")] profile: &str) {
    let issuer = Issuer::new("1");
    let setup = issuer::trusting(with_endpoint(Setup::new()), &[&issuer])
        .with("PROFILE", profile)
        .with("LOG__FILTER", "debug");
    let app = setup.start();
    app.admin(&["user", "add", "ann", "--administrator", "--password-stdin"]);
    let nobody = app.client().with_authorization(None);
    let mut secrets: Vec<String> =
        [ACCESS, REFRESH, PASSWORD, APPLICATION, IDEMPOTENCY, "CANARY-claims", "$argon2id$"]
            .map(str::to_owned)
            .to_vec();
    for (name, value, parts) in credentials(&app, &issuer) {
        let xsrf_token = parts.last().expect("at least one").clone();
        secrets.extend(parts);
        let call = |path: &str, content_type: &str, more: &[(&str, &str)], body: &str| {
            let mut headers = vec![(name, value.as_str()), ("Content-Type", content_type)];
            headers.extend([("SO-AppToken", APPLICATION), ("X-XSRF-TOKEN", &xsrf_token)]);
            headers.extend(more);
            nobody.request("POST", path, &headers, body.as_bytes())
        };
        for (content_type, body) in bodies() {
            let once = format!("{IDEMPOTENCY}-{}-{}", secrets.len(), content_type.len());
            let path = "/api/v1/Agents/User/SaveExternalTokens?q=CANARY-query";
            let saved = call(path, content_type, &[("Idempotency-Key", &once)], &body).expect(200);
            let Ok(Value::String(key)) = serde_json::from_str(&saved.body) else { continue };
            let which = json!({ "Key": key }).to_string();
            let form = "application/x-www-form-urlencoded";
            call(TOKEN, form, &[], &exchanging(&key)).expect(200);
            call(TOKEN, form, &[], &format!("{}&scope={ACCESS}", exchanging(&key))).expect(400);
            for operation in
                ["User/GetExternalTokens", "ExternalTokens/Describe", "ExternalTokens/Revoke"]
            {
                let path = format!("/api/v1/Agents/{operation}");
                call(&path, "application/json", &[], &which).expect(200);
            }
            call("/api/v1/Agents/ExternalTokens/List", "application/json", &[], "{}").expect(200);
            call(path, content_type, &[], &format!("{body}{ACCESS}"));
            // The log may contain the id of the key, but not the secret after it.
            secrets.push(key[14..].to_owned());
        }
    }
    // A password in the login's field, and a wrong password.
    for (login, password) in [("ann", "CANARY-wrong"), ("CANARY-as-login", PASSWORD)] {
        app.client().with_password(login, password).who(&[]).expect(401);
        let form = format!("login={login}&password={password}");
        let form_type = [("Content-Type", "application/x-www-form-urlencoded")];
        nobody.request("POST", "/sign-in", &form_type, form.as_bytes());
        let form = format!("client_id={login}&client_secret={password}");
        nobody.request("POST", TOKEN, &form_type, form.as_bytes()).expect(401);
    }
    secrets.extend(["CANARY-wrong", "CANARY-as-login", "CANARY-query"].map(str::to_owned));
    let master_key = fs::read(app.setup.key_file()).expect("the master key");

    nobody.request("GET", "/healthz", &[], b"").expect(200);
    app.logged(&["DEBUG", "/healthz"]);
    let log = app.log();
    for secret in &secrets {
        assert_not_in(&log, secret.as_bytes());
    }
    assert_not_in(&log, &master_key);
    for library in ["tokio_postgres", "rustls", "actix_http", "actix_web", "ureq", "mio"] {
        let talks = |line: &str| line.contains("DEBUG") && line.contains(&format!("{library}::"));
        assert!(!log.lines().any(talks), "{library}: {log}");
    }
}

/// The log includes a library's lines if `log.filter` names it.
#[test]
fn a_library_that_is_named_is_heard() {
    let setup = Setup::new().with("LOG__FILTER", "debug,actix_http=trace,tokio_postgres=debug");
    let app = setup.start();
    app.client().request("GET", "/healthz", &[], b"").expect(200);
    app.logged(&["actix_http::"]);
    if app.setup.database().url().is_some() {
        app.logged(&["DEBUG", "tokio_postgres::"]);
    }
}
