//! Retrieval keys that are exchanged for access tokens, as OAuth clients do (CONTRACT O18, 61, 62, 63).
//!
//! Invariant: what the endpoint answers is what a get of the same caller answers, or an error that an OAuth client
//! understands.

use model::{RecordId, RetrievalKey};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::scene::{
        Scene, access_token, assert_state, end_access_in, end_pause, get, knowing, save, settings,
    },
    support::{
        app::{Setup, TestApp},
        client::{Answer, Client},
        provider::{Kind, MockProvider, Reply, Rules},
    },
    wire::official_client::{client as node_clients, pass},
};

pub(crate) const TOKEN: &str = "/oauth2/token";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(crate) const KEY_TYPE: &str = "urn:latchkey:params:oauth:token-type:retrieval-key";

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

/// What exchanges a key.
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

/// Asserts an error: its status, code, and a part of its description; and that it is one of OAuth.
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

/// CONTRACT O18, 61: the tokens are refreshed before if they must be, and the answer is that of RFC 8693.
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
    let mut expected = json!({
        "access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
        "expires_in": expires_in,
    });
    if let Some(scope) = issued.get("scope") {
        assert_eq!(scope, "openid email");
        expected["scope"] = scope.clone();
    }
    assert_eq!(issued, expected);
    assert_eq!(scene.refreshes(), 1);
    scene.assert_lives(&key);
    assert_state(&scene.app, &key, "Live", None);

    // The same token to a get, to another name of the type, and whatever else is asked for that changes nothing.
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

/// CONTRACT O18, 61, 62, 63: npm's oauth4webapi and openid-client, unchanged; login and password have characters that a
/// form encodes.
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

/// CONTRACT 61, 63: what is asked for wrongly, by the parameter's name; nothing is refreshed by it.
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
#[case::scope(&[("scope", "openid CANARY")], "invalid_scope", "scope has more")]
#[case::repeated(&[("scope", "a"), ("+scope", "a")], "invalid_request", "scope is there more than once")]
#[case::repeated_key(&[("+subject_token", "lk_1")], "invalid_request", "subject_token is there more")]
#[case::repeated_type(&[("+grant_type", "x")], "invalid_request", "grant_type is there more")]
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

/// CONTRACT 61: scopes that the provider said it granted may be asked for, and are answered.
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

/// CONTRACT 8, 39, 61, 63: a key that retrieves nothing for the caller, for whatever reason, is one answer.
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
    // A credential of another tenant than the path's.
    let ticket = app.admin(&["ticket", "issue", "eve", "--tenant", "others"]);
    let by_ticket = client.with_authorization(Some(&format!("SoTicket {ticket}")));
    expect_error(exchange(&by_ticket, &key), 400, "unauthorized_client", "tenant");
}

/// CONTRACT 61: tokens that nothing refreshes are answered as long as they live, as far as that is known.
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
        expect_error(refused, 400, "invalid_grant", "nothing refreshes it");
    }
}

/// CONTRACT 47, 63: what a provider does to a refresh, in the codes of OAuth; and a stale token is not answered even where
/// a get answers it.
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

/// CONTRACT 1, O7, O18: only where it is switched on, and then below prefix and tenant.
#[test]
fn it_is_off_by_default() {
    let setup = Setup::new().with("TENANTS", "path").with("SERVER__PATH_PREFIX", "/SO");
    let documented = |app: &TestApp| {
        let document = app.client().request("GET", "/api/openapi.json", &[], b"").expect(200);
        let index = app.client().request("GET", "/api/v1", &[], b"").expect(200);
        let parts =
            [document.body.contains("\"OAuth\""), document.json()["paths"].get(TOKEN).is_some()];
        (parts, index.body.contains(TOKEN))
    };
    let app = setup.start();
    let key = app.client().save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
    for method in ["POST", "GET", "OPTIONS", "PUT"] {
        let unknown = app.client().request(method, "/oauth2/tokenX", &[FORM], b"").expect(404);
        let off = app.client().request(method, TOKEN, &[FORM], b"").expect(404);
        assert_eq!(off.json()["Message"], unknown.json()["Message"]);
        assert_eq!(off.json()["ErrorType"], "SoNotFoundException");
    }
    assert_eq!(documented(&app), ([false, false], false));
    let app = with_endpoint(app.stop()).start();
    assert_eq!(documented(&app), ([true, true], true));
    assert_eq!(exchange(&app.client(), &key).expect(200).json()["access_token"], "CANARY");
    let upper = "/OAuth2/Token/";
    let sent = exchanging(&key);
    app.client().request("POST", upper, &[FORM], sent.as_bytes()).expect(200);
    let options = app.client().request("OPTIONS", TOKEN, &[], b"").expect(204);
    assert_eq!((options.header("Allow"), options.header("Accept-Post")), ("POST, OPTIONS", FORM.1));
    for method in ["GET", "PUT", "DELETE"] {
        let refused = app.client().request(method, TOKEN, &[], b"");
        let refused = expect_error(refused, 405, "invalid_request", "POST, OPTIONS");
        assert_eq!(refused.header("Allow"), "POST, OPTIONS");
    }
    let refusal = setup.with("GRANTS__TOKEN_ENDPOINT", "maybe").refusal();
    assert!(refusal.contains("grants.token_endpoint"), "{refusal}");
}

/// CONTRACT 13, 34, 61, 63: one form, of 16 KiB at most, whatever the client accepts or speaks.
#[test]
fn the_body_is_a_form_and_the_answer_json() {
    let app = with_endpoint(Setup::new()).start();
    let client = app.client();
    let key = client.save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
    let sent = exchanging(&key);
    let post = |headers: &[(&str, &str)], body: &str| {
        client.request("POST", TOKEN, headers, body.as_bytes())
    };
    let browser =
        [FORM, ("Accept", "text/html"), ("Accept-Language", "fi"), ("SO-TimeZone", "CANARY")];
    assert_eq!(post(&browser, &sent).expect(200).json()["access_token"], "CANARY");
    expect_error(post(&browser, ""), 400, "invalid_request", "grant_type is required.");
    for headers in [&[("Content-Type", "application/json")][..], &[("Content-Type", "CANARY")], &[]]
    {
        let body = json!({ "grant_type": TOKEN_EXCHANGE, "subject_token": key }).to_string();
        let refused = expect_error(post(headers, &body), 415, "invalid_request", FORM.1);
        assert_eq!(refused.header("Accept-Post"), FORM.1);
    }
    expect_error(post(&[FORM], "{\"a\":1}"), 400, "invalid_request", "JSON");
    expect_error(post(&[FORM], "grant_type=%FF"), 400, "invalid_request", "utf-8");
    let long = format!("{sent}&x={}", "x".repeat(16 * 1024));
    expect_error(post(&[FORM], &long), 413, "invalid_request", "16");
    let latin = [("Content-Type", "application/x-www-form-urlencoded; charset=iso-8859-1")];
    post(&latin, &sent).expect(200);
    let host = [FORM, ("Host", "other.example")];
    expect_error(post(&host, &sent), 421, "invalid_request", "host");
}

/// CONTRACT 25, 33, 62, 63: the login stands in the head or in the form; wrong ones are throttled alike.
#[test]
fn a_caller_logs_in_as_for_any_call() {
    let app = with_endpoint(Setup::new()).with("AUTH__THROTTLE__PER_USER", "3").start();
    let client = app.client();
    let visitor = client.with_authorization(None);
    let key = client.save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
    let with = |more: &[(&'static str, &'static str)]| {
        let all = [fields(&key).to_vec(), more.to_vec()].concat();
        form(&all)
    };
    let login = [("client_id", "tje0"), ("client_secret", "Tje0")];
    let post = |client: &Client, headers: &[(&str, &str)], body: &str| {
        client.request("POST", TOKEN, &[&[FORM], headers].concat(), body.as_bytes())
    };
    let session = client.sign_in("tje0", "Tje0");
    let ticket = app.ticket("tje0");
    for (caller, headers, body) in [
        (&client, vec![], with(&[])),
        // Of whom the form speaks without a secret does not count.
        (&client, vec![], with(&[("client_id", "somebody")])),
        (&client.with_authorization(Some(&format!("SoTicket {ticket}"))), vec![], with(&[])),
        (&visitor, session.headers().to_vec(), with(&[])),
        (&visitor, vec![], with(&login)),
    ] {
        assert_eq!(post(caller, &headers, &body).expect(200).json()["access_token"], "CANARY");
    }
    for body in [with(&[]), with(&login[..1]), with(&login[1..])] {
        let refused = expect_error(post(&visitor, &[], &body), 401, "invalid_client", "");
        assert_eq!(refused.challenges(), ["Basic", "SoTicket", "Bearer", "Session"]);
    }
    let twice = post(&client, &[], &with(&login));
    expect_error(twice, 400, "invalid_request", "Authorization or client_secret");
    let repeated = with(&[login[0], login[0], login[1]]);
    expect_error(post(&visitor, &[], &repeated), 400, "invalid_request", "client_id");
    let cookie_alone = post(&visitor, &session.headers()[..1], &with(&[]));
    expect_error(cookie_alone, 401, "invalid_client", "");

    let wrong = [("client_id", "ann"), ("client_secret", "CANARY")];
    let in_head = client.with_password("ann", "CANARY");
    expect_error(post(&visitor, &[], &with(&wrong)), 401, "invalid_client", "");
    expect_error(post(&in_head, &[], &with(&[])), 401, "invalid_client", "");
    expect_error(post(&visitor, &[], &with(&wrong)), 401, "invalid_client", "");
    for refused in [post(&visitor, &[], &with(&wrong)), post(&in_head, &[], &with(&[]))] {
        let refused = expect_error(refused, 429, "temporarily_unavailable", "passwords");
        assert!(refused.header("Retry-After").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    }
}

/// CONTRACT 25, 30, 31, 62: online a password is none, and the endpoint is closed with the agents.
#[test]
fn online_it_is_closed_as_the_agents_are() {
    let setup = with_endpoint(Setup::new()).with("INSTALLATION", "online");
    let app = setup.start();
    let application = app.admin(&["app", "add", "partner"]);
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let visitor = app.client().with_authorization(None);
    let by_ticket = app.client().with_authorization(Some(&ticket));
    let known = [FORM, ("SO-AppToken", application.as_str())];
    let sent = exchanging("lk_none");
    let closed = by_ticket.request("POST", TOKEN, &known, sent.as_bytes());
    expect_error(closed, 400, "unauthorized_client", "");
    let app = app.stop().with("ONLINE__USER_AGENT", "default/partner").start();
    let at = |client: &Client| client.at(&app.url);
    let key_unknown = RetrievalKey::new(RecordId::at(0, 0), &[7; 32]);
    let sent = exchanging(key_unknown.expose());
    let open = at(&by_ticket).request("POST", TOKEN, &known, sent.as_bytes());
    expect_error(open, 400, "invalid_grant", "retrieves nothing");
    let no_application = at(&by_ticket).request("POST", TOKEN, &[FORM], sent.as_bytes());
    expect_error(no_application, 401, "invalid_client", "");
    let secret = format!("{sent}&client_id=tje0&client_secret=Tje0");
    let refused = at(&visitor).request("POST", TOKEN, &known, secret.as_bytes());
    let refused = expect_error(refused, 401, "invalid_client", "");
    assert_eq!(refused.challenges(), ["SoTicket", "Bearer", "Session"]);
}

/// CONTRACT 46, 61: many exchanges of one key are one refresh, and share its end.
#[test]
fn many_exchanges_are_one_refresh() {
    let scene = scene(Rules::default());
    let (_, key) = scene.save(0);
    let client = scene.app.client();
    let tokens: Vec<Value> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| exchange(&client.clone(), &key).expect(200).json()))
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().expect("no panic")["access_token"].clone())
            .collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    assert_eq!(scene.provider.count(Kind::Refresh), 1);
    scene.assert_lives(&key);
}
