//! The mock provider itself: the behaviour on which the tests of grants rely.

use std::{sync::Arc, thread, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::crypto::aws_lc_rs::default_provider;
use serde_json::{Value, json};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::support::{
    app::until,
    client::{Answer, Client},
    provider::{
        CLIENT_ID, ClientAuth, Cut, Gate, Grace, Kind, MockProvider, Replay, Reply, Reuse,
        Rotation, Rules, SECRET, Turn,
    },
    tls::{Authority, of_host},
};

const FORM: [(&str, &str); 1] = [("Content-Type", "application/x-www-form-urlencoded")];
const REDIRECT: &str = "https://app.example.com/connected";

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn form(fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    fields.join("&")
}

/// A client with HTTP Basic.
fn client(provider: &MockProvider) -> Client {
    Client::new(provider.url()).with_password(&encode(CLIENT_ID), &encode(SECRET))
}

fn post(client: &Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    client.request("POST", path, &FORM, form(fields).as_bytes())
}

fn refresh(client: &Client, token: &str) -> Answer {
    post(client, "/token", &[("grant_type", "refresh_token"), ("refresh_token", token)])
}

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("{name} in {answer}")).to_owned()
}

fn refreshed(client: &Client, token: &str) -> String {
    text(&refresh(client, token).expect(200).json(), "refresh_token")
}

fn assert_refused(answer: Answer, status: u16, code: &str) {
    assert_eq!(answer.expect(status).json()["error"], code);
}

#[test]
fn a_strict_provider_rotates_and_ends_the_family_of_a_spent_token() {
    let provider = MockProvider::start(Rules::default());
    let client = client(&provider);
    let (grant, other) = (provider.grant(), provider.grant());
    assert!(provider.is_living_leaf(&grant.refresh) && provider.is_active(&grant.access));
    let second = refreshed(&client, &grant.refresh);
    assert!(!provider.is_living_leaf(&grant.refresh) && provider.is_living_leaf(&second));
    assert!(provider.is_active(&grant.access));
    assert_refused(refresh(&client, &grant.refresh), 400, "invalid_grant");
    assert!(!provider.is_living_leaf(&second) && !provider.is_active(&grant.access));
    assert_refused(refresh(&client, &second), 400, "invalid_grant");
    assert!(provider.is_living_leaf(&other.refresh));
    assert_eq!(provider.presentations(&grant.refresh), 2);
    assert_eq!((provider.count(Kind::Refresh), provider.sent_twice_at_once()), (3, 0));
}

#[test]
fn rules_say_when_a_token_rotates_and_what_a_refresh_ends() {
    let provider = MockProvider::start(Rules {
        rotation: Rotation::OlderThan(Duration::from_hours(24)),
        ends_old_access: true,
        ..Rules::default()
    });
    let (client, grant) = (client(&provider), provider.grant());
    assert_eq!(refreshed(&client, &grant.refresh), grant.refresh);
    assert!(!provider.is_active(&grant.access) && provider.is_living_leaf(&grant.refresh));
    provider.pass(Duration::from_hours(25));
    assert_ne!(refreshed(&client, &grant.refresh), grant.refresh);
    let second = provider.grant();
    provider.set(|rules| rules.rotation = Rotation::Never);
    provider.pass(Duration::from_hours(25));
    assert_eq!(refreshed(&client, &second.refresh), second.refresh);
}

#[test]
fn a_spent_token_gets_tokens_within_the_grace() {
    let hour = Duration::from_secs(3600);
    for (grace, replay) in [
        (Grace::For(hour), Replay::SamePair),
        (Grace::For(hour), Replay::NewPair),
        (Grace::UntilSuccessorIsUsed, Replay::SamePair),
    ] {
        let rules = Rules { grace, replay, reuse: Reuse::IsRefused, ..Rules::default() };
        let provider = MockProvider::start(rules);
        let (client, grant) = (client(&provider), provider.grant());
        let lost = refreshed(&client, &grant.refresh);
        let second = refreshed(&client, &grant.refresh);
        assert_eq!(second == lost, matches!(replay, Replay::SamePair), "{grace:?} {replay:?}");
        assert!(provider.is_living_leaf(&second));
        provider.pass(hour);
        let late = refresh(&client, &grant.refresh);
        assert_eq!(late.status == 200, matches!(grace, Grace::UntilSuccessorIsUsed), "{late:?}");
        let third = refreshed(&client, &second);
        assert_refused(refresh(&client, &grant.refresh), 400, "invalid_grant");
        assert!(provider.is_living_leaf(&third), "this provider only refuses");
    }
}

#[test]
fn requests_are_held_at_each_gate() {
    let provider =
        MockProvider::start(Rules { grace: Grace::For(Duration::MAX), ..Rules::default() });
    for gate in [Gate::BeforeReading, Gate::AfterReading, Gate::AfterProcessing, Gate::WithinBody] {
        let (client, grant) = (client(&provider), provider.grant());
        let hold = provider.hold(gate, 1);
        thread::scope(|scope| {
            let held = scope.spawn(|| refreshed(&client, &grant.refresh));
            hold.wait_for(1);
            let is_processed = matches!(gate, Gate::AfterProcessing | Gate::WithinBody);
            assert_eq!(provider.is_living_leaf(&grant.refresh), !is_processed, "{gate:?}");
            // The second one is not held.
            let other = refreshed(&client, &grant.refresh);
            assert_eq!(hold.came(), 1);
            assert!(!held.is_finished());
            hold.open();
            assert_eq!(held.join().expect("no panic"), other);
        });
        let is_read = gate != Gate::BeforeReading;
        assert_eq!(provider.max_in_flight(&grant.refresh), 1 + usize::from(is_read), "{gate:?}");
    }
    assert_eq!(provider.sent_twice_at_once(), 3);
}

#[test]
fn a_request_whose_client_is_gone_is_not_open() {
    let provider =
        MockProvider::start(Rules { grace: Grace::For(Duration::MAX), ..Rules::default() });
    let (client, grant) = (client(&provider), provider.grant());
    let hold = provider.hold(Gate::AfterProcessing, 1);
    thread::scope(|scope| {
        let lost = scope.spawn(|| {
            let fields =
                form(&[("grant_type", "refresh_token"), ("refresh_token", &grant.refresh)]);
            client.try_request("POST", "/token", &FORM, fields.as_bytes())
        });
        hold.wait_for(1);
        hold.cut(Cut::Reset);
        assert!(lost.join().expect("no panic").is_err());
    });
    let second = refreshed(&client, &grant.refresh);
    assert!(provider.is_living_leaf(&second));
    assert_eq!(provider.max_in_flight(&grant.refresh), 1);
}

#[test]
fn answers_are_scripted() {
    let provider = MockProvider::start(Rules::default());
    let (client, grant) = (client(&provider), provider.grant());
    let send = || {
        let fields = form(&[("grant_type", "refresh_token"), ("refresh_token", &grant.refresh)]);
        client.try_request("POST", "/token", &FORM, fields.as_bytes())
    };
    provider.next([
        Turn::Say(Reply::error(429, "slow_down").header("Retry-After", "30")),
        Turn::Cut(Gate::BeforeReading, Cut::Fin),
        Turn::Cut(Gate::AfterReading, Cut::Reset),
        Turn::Drip(Duration::from_millis(1)),
    ]);
    let refused = send().expect("an answer");
    assert_eq!((refused.status, refused.header("Retry-After")), (429, "30"));
    assert!(send().is_err() && send().is_err());
    assert!(provider.is_living_leaf(&grant.refresh), "none of these spent it");
    let second = text(&send().expect("a slow answer").json(), "refresh_token");
    provider.next([
        Turn::Reshape(|answer| Reply::json(201, &json!({ "data": answer }))),
        Turn::Cut(Gate::WithinBody, Cut::Fin),
    ]);
    let reshaped = refresh(&client, &second).expect(201).json();
    let third = text(&reshaped["data"], "refresh_token");
    assert!(provider.is_living_leaf(&third));
    provider.always(Some(Reply::new(503, "text/html", "<h1>away</h1>")));
    assert!(send().is_err(), "the last turn");
    refresh(&client, &third).expect(503);
    provider.always(None);
    provider.set(|rules| rules.answer = json!({"expires_in": "3600", "token_type": null}));
    provider.page("/jwks", Reply::new(302, "text/plain", ""));
    assert_eq!(client.request("GET", "/jwks", &[], b"").status, 302);
    let requests = provider.requests();
    assert!(requests.is_sorted_by_key(|request| request.received));
    assert!(requests[0].headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")));
}

#[test]
fn a_client_proves_who_it_is_in_the_configured_way() {
    let with_post = |secret: &'static str| {
        move |client: &Client, token: &str| {
            let mut fields = vec![
                ("grant_type", "refresh_token"),
                ("refresh_token", token),
                ("client_id", CLIENT_ID),
            ];
            fields.extend((!secret.is_empty()).then_some(("client_secret", secret)));
            post(client, "/token", &fields).status
        }
    };
    for auth in [ClientAuth::Basic, ClientAuth::BasicRaw, ClientAuth::Post, ClientAuth::None] {
        let is_raw = matches!(auth, ClientAuth::BasicRaw);
        let id = if is_raw { "raw" } else { CLIENT_ID };
        let client_id = ("client_id", id.to_owned());
        let provider =
            MockProvider::start(Rules { client_auth: auth, client_id, ..Rules::default() });
        let plain = Client::new(provider.url()).with_authorization(None);
        let basic = client(&provider);
        let raw = plain.with_password("raw", SECRET);
        let token = || provider.grant().refresh;
        let accepted = [
            refresh(&basic, &token()).status,
            refresh(&raw, &token()).status,
            with_post(SECRET)(&plain, &token()),
            with_post("")(&plain, &token()),
            // Two methods at once.
            with_post(SECRET)(&basic, &token()),
            with_post("another")(&plain, &token()),
        ];
        let right = auth as usize;
        for (way, status) in accepted.into_iter().enumerate() {
            assert_eq!(status, if way == right { 200 } else { 401 }, "{auth:?} by way {way}");
        }
        assert_eq!(provider.wrong_secrets(), 5);
    }
}

#[test]
fn a_code_is_good_for_one_exchange() {
    let provider = MockProvider::start(Rules::default());
    let client = client(&provider);
    let exchange = |code: &str, redirect: &str, verifier: &str| {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("code_verifier", verifier),
        ];
        post(&client, "/token", &fields)
    };
    // The example of RFC 7636, appendix B.
    let (verifier, challenge) = (
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    );
    let code = provider.code(REDIRECT, Some("nonce-1"), Some(challenge));
    assert_refused(exchange(&code, "https://elsewhere", verifier), 400, "invalid_grant");
    assert_refused(exchange(&code, REDIRECT, "another"), 400, "invalid_grant");
    let answer = exchange(&code, REDIRECT, verifier).expect(200).json();
    let refresh_token = text(&answer, "refresh_token");
    assert!(provider.is_living_leaf(&refresh_token));
    let id_token = text(&answer, "id_token");
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(&id_token).expect("a JWT");
    assert_eq!(claims.claims["nonce"], "nonce-1");
    assert_eq!(claims.header.kid.as_deref(), Some("key-1"));
    assert_refused(exchange(&code, REDIRECT, verifier), 400, "invalid_grant");
    assert!(!provider.is_living_leaf(&refresh_token), "a code that comes twice ends its tokens");
    assert_eq!(provider.count(Kind::Exchange), 4);
}

#[test]
fn its_document_its_keys_and_its_other_endpoints_are_there() {
    let authority = Authority::new();
    let provider =
        MockProvider::start_with_tls(Rules::default(), authority.server(of_host("localhost")));
    let certificate = Certificate::from_pem(authority.pem().as_bytes()).expect("PEM");
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .root_certs(RootCerts::new_with_certs(&[certificate]))
        .build();
    let client = Client::with_tls(provider.url(), tls);
    let client = client.with_password(&encode(CLIENT_ID), &encode(SECRET));
    let get = |path: &str| client.request("GET", path, &[], b"").expect(200).json();
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        assert_eq!(get(path)["token_endpoint"], provider.at("/token"));
    }
    provider.set(|rules| rules.metadata = json!({"issuer": "https://other.example"}));
    assert_eq!(get("/.well-known/openid-configuration")["issuer"], "https://other.example");
    let kids = || {
        let keys = get("/jwks")["keys"].as_array().expect("keys").clone();
        keys.iter().map(|key| text(key, "kid")).collect::<Vec<_>>()
    };
    provider.rotate_key(true);
    assert_eq!(kids(), ["key-2", "key-1"]);
    provider.rotate_key(false);
    assert_eq!(kids(), ["key-2", "key-1"]);
    let grant = provider.grant();
    let introspect = || post(&client, "/introspect", &[("token", &grant.access)]).json();
    assert_eq!(introspect()["active"], true);
    post(&client, "/revoke", &[("token", &grant.refresh)]).expect(200);
    post(&client, "/revoke", &[("token", "unknown")]).expect(200);
    assert_eq!(introspect()["active"], false);
    assert!(!provider.is_living_leaf(&grant.refresh));
    let other = provider.grant();
    provider.revoke(&other.refresh);
    until("it is over", || !provider.is_active(&other.access));
}
