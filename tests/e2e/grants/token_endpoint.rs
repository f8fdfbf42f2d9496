//! Retrieval keys that are exchanged for access tokens, as OAuth clients do (CONTRACT O18, 61, 63).
//!
//! Invariant: the endpoint answers as a get of the same caller does, or with an error of OAuth.

mod requests;

use std::{thread, time::Duration};

use model::{RecordId, RetrievalKey};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::scene::{
        Scene, access_token, assert_state, end_access_in, end_pause, get, knowing, save, settings,
    },
    support::{
        app::Setup,
        client::{Answer, Client},
        provider::{Gate, Kind, MockProvider, Reply, Rules},
    },
    wire::official_client::{client as node_clients, pass},
};

pub(crate) const TOKEN: &str = "/oauth2/token";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const KEY_TYPE: &str = "urn:latchkey:params:oauth:token-type:retrieval-key";

/// Switches the endpoint on.
pub(crate) fn with_endpoint(setup: Setup) -> Setup {
    setup.with("GRANTS__TOKEN_ENDPOINT", "true")
}

/// A provider with these rules, and a server that exchanges keys.
fn scene(rules: Rules) -> Scene {
    let provider = MockProvider::start(rules);
    let app = with_endpoint(knowing(Setup::new(), &[settings(&provider, &json!({}))])).start();
    Scene { provider, app }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn form(fields: &[(&str, &str)]) -> String {
    let field = |(name, value): &(&str, &str)| format!("{}={}", encode(name), encode(value));
    fields.iter().map(field).collect::<Vec<_>>().join("&")
}

/// The fields that exchange a key.
fn fields(key: &str) -> [(&str, &str); 3] {
    [("grant_type", TOKEN_EXCHANGE), ("subject_token", key), ("subject_token_type", KEY_TYPE)]
}

/// The form that exchanges a key.
pub(crate) fn exchanging(key: &str) -> String {
    form(&fields(key))
}

fn send(client: &Client, fields: &[(&str, &str)]) -> Answer {
    client.request("POST", TOKEN, &[FORM], form(fields).as_bytes())
}

fn exchange(client: &Client, key: &str) -> Answer {
    send(client, &fields(key))
}

/// Asserts an error of OAuth: its status, its code, and a part of its description.
#[track_caller]
fn expect_error(answer: Answer, status: u16, code: &str, description: &str) -> Answer {
    let answer = answer.expect(status);
    let error = answer.json();
    assert_eq!(error["error"], code, "{error}");
    let told = error["error_description"].as_str().expect("a description");
    assert!(told.contains(description) && !told.contains("CANARY"), "{told}");
    assert!(told.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte)));
    assert_eq!(error.as_object().expect("an object").len(), 2, "{error}");
    assert_eq!(answer.header("Content-Type"), "application/json; charset=utf-8");
    assert_eq!(answer.header("Cache-Control"), "no-store");
    answer
}

/// CONTRACT O18, 61: the tokens are refreshed first if necessary, and the answer is that of RFC 8693.
#[test]
fn a_key_is_exchanged_for_a_fresh_access_token() {
    let scene = scene(Rules::default());
    let client = scene.app.client();
    let (_, key) = scene.save(0);
    let answer = exchange(&client, &key).expect(200);
    assert_eq!(answer.header("Content-Type"), "application/json; charset=utf-8");
    assert_eq!((answer.header("Cache-Control"), answer.header("Pragma")), ("no-store", "no-cache"));
    let issued = answer.json();
    let expires_in = issued["expires_in"].as_i64().expect("an end");
    assert!((3500..=3600).contains(&expires_in), "{issued}");
    let token = issued["access_token"].as_str().expect("a token");
    assert!(scene.provider.is_newest(token));
    let expected = json!({
        "access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
        "expires_in": expires_in,
    });
    assert_eq!(issued, expected);
    assert_eq!(scene.refreshes(), 1);
    scene.assert_lives(&key);
    assert_state(&scene.app, &key, "Live", None);

    // The token is the same for a get, for another name of the type, and with other parameters that have no effect.
    assert_eq!(access_token(get(&client, &key, 0)), token);
    let as_access_token = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token", &key),
        ("subject_token_type", ACCESS_TOKEN),
        ("requested_token_type", ACCESS_TOKEN),
        ("resource", ""),
        ("scope", ""),
        ("unknown", "1"),
        ("unknown", "2"),
    ];
    assert_eq!(send(&client, &as_access_token).expect(200).json()["access_token"], token);
    assert_eq!(scene.refreshes(), 1);
    let logged = scene.app.logged(&["/oauth2/token", "http.status=200", "record.id"]);
    assert!(!logged.contains("grant_type") && logged.contains("tje0"), "{logged}");
    crate::support::app::until("the use is noted", || {
        !client.describe(&json!({ "Key": key }))["LastUsed"].is_null()
    });
}

/// CONTRACT O18, 61, 62, 63: npm's oauth4webapi and openid-client, unchanged. Login and password contain characters
/// that a form encodes.
#[test]
fn oauth_clients_exchange_a_key() {
    let Some(folder) = node_clients() else { return };
    let scene = scene(Rules::default());
    let (login, password) = ("ann+50% (ä)", "CANARY p+w %41 å:&=~*'");
    let add = ["user", "add", login, "--password-stdin"];
    scene.app.setup.run(&add, &format!("{password}\n")).expect("a user");
    let (_, key) = scene.save(0);
    let unknown = RetrievalKey::new(RecordId::at(0, 0), &[7; 32]);
    let script = ["token-endpoint.mjs", &scene.app.url, login, password, &key];
    pass(&folder, &[&script[..], &[unknown.expose()]].concat());
    assert_eq!(scene.refreshes(), 1);
    scene.assert_lives(&key);
}

/// CONTRACT 61, 63: an invalid parameter is rejected by its name, and causes no refresh.
#[rstest]
#[case::no_grant_type(&[("grant_type", "")], "invalid_request", "grant_type is required")]
#[case::other_grant_type(&[("grant_type", "CANARY")], "unsupported_grant_type", "grant_type must be urn:")]
#[case::no_subject(&[("subject_token", "")], "invalid_request", "subject_token is required")]
#[case::cut(&[("subject_token", "lk_CANARY")], "invalid_request", "subject_token is not a key")]
#[case::no_type(&[("subject_token_type", "")], "invalid_request", "subject_token_type is required")]
#[case::other_type(
    &[("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token")],
    "invalid_request",
    "subject_token_type must be urn:latchkey:"
)]
#[case::other_wanted(
    &[("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")],
    "invalid_request",
    "requested_token_type must be"
)]
#[case::actor(
    &[("actor_token", "CANARY"), ("actor_token_type", ACCESS_TOKEN)],
    "invalid_request",
    "actor_token is not supported"
)]
#[case::actor_type(&[("actor_token_type", ACCESS_TOKEN)], "invalid_request", "actor_token_type")]
#[case::resource(&[("resource", "https://CANARY.example")], "invalid_target", "resource")]
#[case::audience(&[("audience", "CANARY")], "invalid_target", "audience is not supported")]
#[case::scope(&[("scope", "openid CANARY")], "invalid_scope", "scope asks for more")]
#[case::repeated(&[("scope", "a"), ("+scope", "a")], "invalid_request", "scope occurs more than once")]
#[case::repeated_key(&[("+subject_token", "lk_1")], "invalid_request", "subject_token occurs more")]
#[case::repeated_type(&[("+grant_type", "x")], "invalid_request", "grant_type occurs more")]
fn what_cannot_be_given_is_named(
    #[case] changes: &[(&str, &str)],
    #[case] code: &str,
    #[case] description: &str,
) {
    let scene = scene(Rules::default());
    let (_, key) = scene.save(3600);
    let mut sent: Vec<(&str, &str)> = fields(&key).to_vec();
    for (name, value) in changes {
        match name.strip_prefix('+') {
            Some(name) => sent.push((name, value)),
            None => {
                sent.retain(|(known, _)| known != name);
                sent.push((name, value));
            }
        }
    }
    expect_error(send(&scene.app.client(), &sent), 400, code, description);
    assert_eq!(scene.refreshes(), 0);
}

/// CONTRACT 61: a request may name scopes that the provider granted. They are in the answer.
#[test]
fn granted_scopes_may_be_asked_for() {
    let scene = scene(Rules { answer: json!({ "scope": "read,write" }), ..Rules::default() });
    let (_, key) = scene.save(0);
    let wanting =
        |scope| send(&scene.app.client(), &[&fields(&key)[..], &[("scope", scope)]].concat());
    assert_eq!(wanting("write").expect(200).json()["scope"], "read write");
    wanting("write  read").expect(200);
    expect_error(wanting("read admin"), 400, "invalid_scope", "scope");
}

/// CONTRACT 8, 39, 61, 63: a key that retrieves nothing for the caller always gets the same answer.
#[test]
fn a_key_that_retrieves_nothing_is_an_invalid_grant() {
    let app = with_endpoint(Setup::new())
        .with("TENANTS", "path")
        .with("AUTH__RETRIEVAL", "owner")
        .start();
    app.add_user("bob");
    app.admin(&["user", "add", "eve", "--tenant", "others", "--password-stdin"]);
    let client = app.client();
    let key = client.save(&json!({ "Provider": "et", "AccessToken": "CANARY-1" }));
    let ended = client.save(&json!({ "Provider": "et", "AccessToken": "CANARY-2" }));
    assert!(client.revoke(&json!({ "Key": ended })));
    let unknown = RetrievalKey::new(RecordId::at(0, 0), &[7; 32]);
    let bob = client.with_password("bob", "CANARY-password");
    let others = Client::new(&app.url.replace("/default", "/others"));
    let eve = others.with_password("eve", "CANARY-password");
    let mut answers = Vec::new();
    for (caller, key) in [
        (&client, unknown.expose()),
        (&client, ended.as_str()),
        (&client, "CANARY no key"),
        (&bob, key.as_str()),
        (&eve, key.as_str()),
    ] {
        let refused = exchange(caller, key);
        answers.push(expect_error(refused, 400, "invalid_grant", "retrieves nothing").body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(exchange(&client, &key).expect(200).json()["access_token"], "CANARY-1");
    // A credential for another tenant than that of the path.
    let ticket = app.admin(&["ticket", "issue", "eve", "--tenant", "others"]);
    let by_ticket = client.with_authorization(Some(&format!("SoTicket {ticket}")));
    expect_error(exchange(&by_ticket, &key), 400, "unauthorized_client", "tenant");
}

/// CONTRACT 61: tokens that are not refreshed are answered until they expire, or always if their end is unknown.
#[test]
fn stored_tokens_are_answered_while_they_live() {
    let app = with_endpoint(Setup::new()).start();
    let client = app.client();
    let saving = |access: Value, expires_in: Value| {
        let carrier = json!({ "Provider": "et", "AccessToken": access, "RefreshToken": "odit" });
        let body = json!({ "TokenManagementInfo": carrier, "ExpiresIn": expires_in });
        client.post("SaveExternalTokens", &body).expect(200).key()
    };
    let endless = saving(json!("CANARY-1"), Value::Null);
    let issued = exchange(&client, &endless).expect(200).json();
    let expected = json!({
        "access_token": "CANARY-1", "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer"
    });
    assert_eq!(issued, expected);
    let living = saving(json!("CANARY-2"), json!(100));
    let left = exchange(&client, &living).expect(200).json()["expires_in"].as_i64();
    assert!(left.is_some_and(|left| (90..=100).contains(&left)), "{left:?}");
    for (access, end) in [(json!("CANARY-3"), json!(0)), (Value::Null, Value::Null)] {
        let refused = exchange(&client, &saving(access, end));
        expect_error(refused, 400, "invalid_grant", "this server does not refresh it");
    }
}

/// CONTRACT 47, 63: failures of a refresh at the provider, as error codes of OAuth. A stale token is not answered, even
/// if a get answers it.
#[rstest]
#[case::dead(
    Reply::error(400, "invalid_grant"),
    400,
    "invalid_grant",
    "the user must connect again"
)]
#[case::down(Reply::new(503, "text/plain", "CANARY"), 503, "temporarily_unavailable", "http_5xx")]
#[case::refused(
    Reply::error(401, "invalid_client"),
    502,
    "server_error",
    "does not accept this server"
)]
fn what_the_provider_does_is_an_error_of_oauth(
    #[case] reply: Reply,
    #[case] status: u16,
    #[case] code: &str,
    #[case] description: &str,
    #[values("error", "stale")] on_failure: &str,
) {
    let provider = MockProvider::start(Rules::default());
    let setup = knowing(Setup::new(), &[settings(&provider, &json!({}))]);
    let app = with_endpoint(setup).with("GRANTS__ON_FAILURE", on_failure).start();
    let client = app.client();
    let key = save(&client, &provider.grant(), 3600);
    let token = access_token(get(&client, &key, 0));
    provider.always(Some(reply));
    end_access_in(&app.setup, &key, 30);
    let lives = exchange(&client, &key).expect(200).json();
    assert_eq!(lives["access_token"], token.as_str());
    end_access_in(&app.setup, &key, -1);
    let refused = expect_error(exchange(&client, &key), status, code, description);
    assert_eq!(refused.header("Retry-After").is_empty(), status != 503, "{refused:?}");
    get(&client, &key, 0).expect(match (on_failure, status) {
        ("stale", _) => 200,
        (_, 400) => 424,
        (_, status) => status,
    });
    if status == 503 {
        provider.always(None);
        end_pause(&app.setup, &key);
        let fresh = exchange(&client, &key).expect(200).json();
        assert!(provider.is_newest(fresh["access_token"].as_str().expect("a token")));
        app.admin(&["grants", "pause"]);
        end_access_in(&app.setup, &key, -1);
        expect_error(exchange(&client, &key), 503, "temporarily_unavailable", "paused");
    }
}

/// CONTRACT 44, 61: many exchanges of one key share one refresh and its outcome.
#[test]
fn many_exchanges_are_one_refresh() {
    let scene = scene(Rules::default());
    let (_, key) = scene.save(0);
    let client = scene.app.client();
    let hold = scene.provider.hold(Gate::AfterReading, 1);
    let tokens: Vec<Value> = thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| exchange(&client.clone(), &key).expect(200).json()))
            .collect();
        hold.wait_for(1);
        thread::sleep(Duration::from_millis(300));
        hold.open();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("no panic")["access_token"].clone())
            .collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    assert_eq!(scene.provider.count(Kind::Refresh), 1);
    scene.assert_lives(&key);
}
