//! Codes that are exchanged for tokens: the saved records, the rejected requests, and that no code is sent twice.

use std::{collections::HashSet, io::Write as _, net::TcpStream, thread, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::scene::{
        NAME, REDIRECT, access_token, assert_lives, assert_state, describe, end_access_in, get,
        knowing, settings,
    },
    support::{
        app::{Setup, TestApp, until},
        client::{Answer, Client},
        load::tell,
        provider::{Cut, Gate, Kind, MockProvider, Reply, Rules, Turn, endpoints::merge},
        raw::reset,
    },
};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const NONCE: &str = "CANARY-nonce-0123456789";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()))
}

/// A provider, and a server that finds its endpoints by discovery.
pub(crate) fn discovering(rules: Rules, over: &Value) -> (MockProvider, Setup) {
    let provider = MockProvider::start(rules);
    let mut settings = settings(
        &provider,
        &json!({"token_endpoint": null, "issuer": provider.url(), "scopes": ["openid", "email"]}),
    );
    merge(&mut settings, over);
    (provider, knowing(Setup::new(), &[settings]))
}

fn new_code(provider: &MockProvider) -> String {
    provider.code(REDIRECT, Some(NONCE), Some(&challenge()))
}

/// The body of an exchange, with these members over the right ones.
pub(crate) fn request(code: &str, over: &Value) -> Value {
    let mut body = json!({
        "Provider": NAME,
        "AuthorizationCode": code,
        "Nonce": NONCE,
        "PkceVerifier": VERIFIER,
        "RedirectUri": REDIRECT,
    });
    merge(&mut body, over);
    body
}

fn exchange(client: &Client, body: &Value) -> Answer {
    client.post("ExchangeCodeAndSaveTokens", body)
}

/// Asserts that the code was rejected, that nothing was saved, and the number of codes that were sent.
fn assert_nothing(app: &TestApp, provider: &MockProvider, answer: &Answer, sent: usize) {
    assert!(!answer.body.contains("CANARY"), "{answer:?}");
    assert_eq!(app.saved_rows(), 0, "{answer:?}");
    let exchanges = provider.count(Kind::Exchange);
    tell(&format!(
        "oracle: {exchanges} codes sent, nothing saved: {} {}",
        answer.status, answer.body
    ));
    assert_eq!(exchanges, sent, "{answer:?}");
}

/// CONTRACT O4, 49: the caller sends a code and gets a key. The tokens that the key retrieves work from then on.
#[test]
fn a_code_becomes_a_record_that_is_refreshed() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = exchange(&app.client(), &request(&new_code(&provider), &json!({}))).expect(200).key();
    let got = get(&app.client(), &key, 0).expect(200).json();
    assert!(provider.is_newest(got["AccessToken"].as_str().expect("a token")), "{got}");
    assert_eq!((&got["Provider"], &got["RefreshToken"]), (&json!(NAME), &Value::Null));
    let right = &got["FieldProperties"]["RefreshToken"]["FieldRight"];
    assert_eq!(right["Mask"], "None", "{got}");
    let reason = right["Reason"].as_str().expect("a reason");
    assert!(reason.starts_with("[SR_REFRESHED_BY_SERVER]"), "{reason}");
    let claims: Value =
        serde_json::from_str(got["Claims"].as_str().expect("claims")).expect("JSON");
    assert_eq!((&claims["sub"], &claims["nonce"]), (&json!("subject"), &json!(NONCE)));
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 1);
    let described = describe(&app, &key);
    assert!(described["AccessTokenExpires"].is_string(), "{described}");
    end_access_in(&app.setup, &key, -1);
    let got = get(&app.client(), &key, 0).expect(200).json();
    assert!(provider.is_newest(got["AccessToken"].as_str().expect("a token")), "{got}");
    assert!(got["Claims"].is_string(), "{got}");
    assert_lives(&provider, &app.setup, &key);
    assert_eq!((provider.count(Kind::Exchange), provider.count(Kind::Refresh)), (1, 1));
    let sent = provider.requests();
    let sent = sent.iter().find(|sent| sent.kind == Kind::Exchange).expect("it");
    assert_eq!(sent.field("code_verifier"), VERIFIER);
    assert!(provider.count(Kind::Metadata) >= 1 && provider.count(Kind::Keys) >= 1);
}

/// The official client names the members in camel case.
#[test]
fn members_are_read_in_either_case() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let body = json!({
        "provider": NAME, "authorizationCode": new_code(&provider), "nonce": NONCE,
        "pkceVerifier": VERIFIER, "redirectUri": REDIRECT,
    });
    let key = exchange(&app.client(), &body).expect(200).key();
    assert_lives(&provider, &app.setup, &key);
}

/// Invalid requests are rejected before the code is sent.
#[rstest]
#[case::no_provider(json!({"Provider": null}), "Provider")]
#[case::an_unknown_provider(json!({"Provider": "other"}), "Provider")]
#[case::a_provider_in_another_case(json!({"Provider": "MOCK"}), "Provider")]
#[case::no_code(json!({"AuthorizationCode": null}), "AuthorizationCode")]
#[case::an_empty_code(json!({"AuthorizationCode": ""}), "AuthorizationCode")]
#[case::an_enormous_code(json!({"AuthorizationCode": "x".repeat(100_000)}), "AuthorizationCode")]
#[case::no_redirect(json!({"RedirectUri": null}), "RedirectUri")]
#[case::a_redirect_elsewhere(json!({"RedirectUri": "https://evil.example/"}), "RedirectUri")]
#[case::a_redirect_below(json!({"RedirectUri": "https://app.example.com/connected/x"}), "RedirectUri")]
#[case::a_short_verifier(json!({"PkceVerifier": "short"}), "PkceVerifier")]
#[case::a_verifier_of_others(json!({"PkceVerifier": "ä".repeat(50)}), "PkceVerifier")]
#[case::no_text(json!({"Nonce": 7}), "Nonce")]
fn a_wrong_request_is_refused_before_the_code_is_sent(#[case] over: Value, #[case] named: &str) {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let code = new_code(&provider);
    let refused = exchange(&app.client(), &request(&code, &over));
    let refused = refused.expect_error(400, "ArgumentException", named);
    assert_nothing(&app, &provider, &refused, 0);
    // The code is not spent.
    exchange(&app.client(), &request(&code, &json!({}))).expect(200);
}

/// The provider rejects the code, and the error names it.
#[test]
fn a_code_that_the_provider_refuses_is_named() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let other = "another-verifier-0123456789-0123456789-0123456789";
    let wrong = [
        request("CANARY-unknown", &json!({})),
        request(&new_code(&provider), &json!({ "PkceVerifier": other })),
        request(&new_code(&provider), &json!({"PkceVerifier": null})),
        request(
            &provider.code("https://app.example.com/other", None, None),
            &json!({"Nonce": null}),
        ),
    ];
    for (number, body) in wrong.iter().enumerate() {
        let refused = exchange(&app.client(), body);
        let refused = refused.expect_error(400, "ArgumentException", "AuthorizationCode");
        assert_nothing(&app, &provider, &refused, number + 1);
    }
}

/// CONTRACT 49: no code is sent twice, whether or not the exchange succeeded.
#[test]
fn a_code_is_sent_once() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let client = app.client();
    let code = new_code(&provider);
    let key = exchange(&client, &request(&code, &json!({}))).expect(200).key();
    let again = exchange(&client, &request(&code, &json!({})));
    again.expect_error(400, "ArgumentException", "AuthorizationCode");
    assert_eq!(provider.count(Kind::Exchange), 1);
    assert_lives(&provider, &app.setup, &key);
    // A restart does not change that.
    let app = app.stop().start();
    exchange(&app.client(), &request(&code, &json!({}))).expect(400);
    assert_eq!(provider.count(Kind::Exchange), 1);
    assert_lives(&provider, &app.setup, &key);
}

/// If the provider's answer is lost, nothing is saved, and the code is not sent again.
#[rstest]
#[case::unread(Turn::Cut(Gate::AfterReading, Cut::Reset))]
#[case::processed(Turn::Cut(Gate::AfterProcessing, Cut::Reset))]
#[case::cut(Turn::Cut(Gate::WithinBody, Cut::Fin))]
#[case::not_json(Turn::Reshape(|_| Reply::new(200, "application/json", "{")))]
#[case::an_error(Turn::Say(Reply::json(500, &json!({}))))]
fn an_exchange_whose_answer_is_lost_saves_nothing(#[case] turn: Turn) {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let code = new_code(&provider);
    provider.next([turn]);
    let refused = exchange(&app.client(), &request(&code, &json!({})));
    let refused = refused.expect_error(502, "SoProviderException", "");
    assert_nothing(&app, &provider, &refused, 1);
    let again = exchange(&app.client(), &request(&code, &json!({})));
    let again = again.expect_error(400, "ArgumentException", "AuthorizationCode");
    assert_nothing(&app, &provider, &again, 1);
}

/// Two callers send one code at once: it goes to the provider once, and at most one of them gets a key.
#[test]
fn two_exchanges_of_one_code_send_it_once() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    for round in 1..=5 {
        let code = new_code(&provider);
        let hold = provider.hold(Gate::AfterReading, 1);
        let answers = thread::scope(|scope| {
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    let (client, body) = (app.client(), request(&code, &json!({})));
                    scope.spawn(move || exchange(&client, &body))
                })
                .collect();
            hold.wait_for(1);
            thread::sleep(Duration::from_millis(200));
            hold.open();
            callers.into_iter().map(|caller| caller.join().expect("no panic")).collect::<Vec<_>>()
        });
        let (keys, refused): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|answer| answer.status == 200);
        let keys: HashSet<String> = keys.iter().map(Answer::key).collect();
        assert_eq!(keys.len(), 1);
        assert!(refused.iter().all(|answer| answer.status == 400), "{refused:?}");
        assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (round, round));
        assert_lives(&provider, &app.setup, keys.iter().next().expect("one"));
    }
}

/// After its caller has left, the exchange continues, so that no grant is left without an owner. The code is not sent
/// again.
#[test]
fn an_exchange_goes_on_when_its_caller_goes() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    // From now on the server has the endpoints and the keys, and sends only codes.
    exchange(&app.client(), &request(&new_code(&provider), &json!({}))).expect(200);
    let code = new_code(&provider);
    let body = request(&code, &json!({})).to_string();
    let head = format!(
        "POST /api/v1/Agents/User/ExchangeCodeAndSaveTokens HTTP/1.1\r\nHost: {}\r\n\
         Authorization: Basic dGplMDpUamUw\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        app.authority(),
        body.len()
    );
    let hold = provider.hold(Gate::AfterProcessing, 1);
    let mut stream = TcpStream::connect(app.authority()).expect("connect");
    stream.write_all(head.as_bytes()).expect("send");
    hold.wait_for(1);
    reset(stream);
    hold.open();
    until("it is saved", || app.saved_rows() == 2);
    exchange(&app.client(), &request(&code, &json!({}))).expect(400);
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (2, 2));
}

/// CONTRACT 42: an exchange that is repeated under its `Idempotency-Key` returns the same key.
#[test]
fn an_exchange_that_is_sent_again_gives_the_same_key() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let body = request(&new_code(&provider), &json!({}));
    let send = |body: &Value| {
        let headers =
            [("Content-Type", "application/json"), ("Idempotency-Key", "CANARY-idempotency-1")];
        let path = "/api/v1/Agents/User/ExchangeCodeAndSaveTokens";
        app.client().request("POST", path, &headers, body.to_string().as_bytes())
    };
    let key = send(&body).expect(200).key();
    assert_eq!(send(&body).expect(200).key(), key);
    let other = send(&request(&new_code(&provider), &json!({})));
    assert!((400..500).contains(&other.status), "{other:?}");
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (1, 1));
    assert_lives(&provider, &app.setup, &key);
}

/// CONTRACT 49: if an id_token is not the user's own, nothing is saved, for each of these reasons.
#[rstest]
#[case::issuer(json!({"iss": "https://other.example"}))]
#[case::no_issuer(json!({"iss": 1}))]
#[case::audience(json!({"aud": "another client"}))]
#[case::party(json!({"aud": ["client:1", "another"], "azp": "another"}))]
#[case::ended(json!({"exp": 1_000_000_000}))]
#[case::future(json!({"iat": 4_102_444_800_u64}))]
#[case::nonce(json!({"nonce": "another"}))]
#[case::no_nonce(json!({"nonce": null}))]
fn an_id_token_that_is_wrong_saves_nothing(#[case] id_claims: Value) {
    let (provider, setup) = discovering(Rules { id_claims, ..Rules::default() }, &json!({}));
    let app = setup.start();
    let refused = exchange(&app.client(), &request(&new_code(&provider), &json!({}))).expect(400);
    assert_nothing(&app, &provider, &refused, 1);
}

/// The id_token is signed by a key that is not the provider's.
#[test]
fn an_id_token_of_another_key_saves_nothing() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let first = exchange(&app.client(), &request(&new_code(&provider), &json!({})));
    first.expect(200);
    // The server fetches a new key that is published.
    provider.rotate_key(true);
    let second = exchange(&app.client(), &request(&new_code(&provider), &json!({})));
    tell(&format!("after a new key: {} {}", second.status, second.body));
    let saved = app.saved_rows();
    provider.rotate_key(false);
    let refused = exchange(&app.client(), &request(&new_code(&provider), &json!({})));
    assert!([400, 502, 503].contains(&refused.status), "{refused:?}");
    assert_eq!(app.saved_rows(), saved);
}

/// Without an id_token the server cannot compare the nonce. It rejects the answer if the provider should have sent one.
#[test]
fn a_nonce_needs_an_id_token() {
    let rules = Rules { answer: json!({"id_token": null}), ..Rules::default() };
    let (provider, setup) = discovering(rules, &json!({}));
    let app = setup.start();
    let refused = exchange(&app.client(), &request(&new_code(&provider), &json!({})));
    let refused = refused.expect(400);
    assert_nothing(&app, &provider, &refused, 1);
    let without = request(&new_code(&provider), &json!({"Nonce": null}));
    let key = exchange(&app.client(), &without).expect(200).key();
    assert_lives(&provider, &app.setup, &key);
    assert_eq!(get(&app.client(), &key, 0).expect(200).json()["Claims"], Value::Null);
}

/// A code is not spent while the keys that verify its id_token cannot be fetched.
#[test]
fn a_code_is_not_sent_while_the_provider_cannot_be_discovered() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    provider.page("/jwks", Reply::new(500, "text/plain", ""));
    let app = setup.start();
    let code = new_code(&provider);
    let refused = exchange(&app.client(), &request(&code, &json!({})));
    assert!([502, 503].contains(&refused.status), "{refused:?}");
    assert_nothing(&app, &provider, &refused, 0);
}

/// The id_token of a refresh is verified only after the tokens are saved.
#[test]
fn tokens_are_kept_before_the_id_token_of_a_refresh_is_judged() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = exchange(&app.client(), &request(&new_code(&provider), &json!({}))).expect(200).key();
    provider.set(|rules| rules.refresh_brings_id_token = true);
    for id_claims in [json!({"sub": "another"}), json!({"exp": 1}), json!({})] {
        let is_right = id_claims == json!({});
        provider.set(|rules| rules.id_claims = id_claims);
        provider.rotate_key(is_right);
        end_access_in(&app.setup, &key, -1);
        assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
        assert_lives(&provider, &app.setup, &key);
        assert_state(&app, &key, "Live", None);
    }
    app.logged(&["id_token"]);
}
