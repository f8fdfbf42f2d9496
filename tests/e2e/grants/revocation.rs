//! Grants that are revoked at their provider (CONTRACT O15, 39, 58), and providers that do not confirm it.
//!
//! Invariant: the mock's tree shows the state of a token at the provider, and the row shows the state here.

use std::{fs, io::Write as _, net::TcpStream, thread, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::scene::{
        NAME, Scene, access_token, assert_state, end_access_in, get, knowing, save, settings,
    },
    support::{
        app::{Setup, TestApp, until},
        client::{Answer, Client},
        load::tell,
        provider::{Cut, Gate, Grant, Kind, MockProvider, Reply, Rules, SECRET, endpoints::merge},
        raw::reset,
    },
};

/// The settings of a provider with both endpoints.
pub(crate) fn with_endpoints(provider: &MockProvider, over: &Value) -> Value {
    let mut endpoints = json!({
        "authorization_endpoint": provider.at("/authorize"),
        "revocation_endpoint": provider.at("/revoke"),
        "introspection_endpoint": provider.at("/introspect"),
    });
    merge(&mut endpoints, over);
    settings(provider, &endpoints)
}

/// A scene whose provider revokes and introspects.
pub(crate) fn scene(rules: Rules, over: &Value) -> Scene {
    in_setup(Setup::new(), rules, over)
}

fn in_setup(setup: Setup, rules: Rules, over: &Value) -> Scene {
    let provider = MockProvider::start(rules);
    let app = knowing(setup, &[with_endpoints(&provider, over)]).start();
    Scene { provider, app }
}

fn revoke_grant(client: &Client, key: &str, require: bool) -> Answer {
    client.post_records("RevokeGrant", &json!({ "Key": key, "Require": require }))
}

fn revoked(ended: bool, upstream: &str) -> Value {
    json!({ "Revoked": ended, "Upstream": upstream })
}

/// Asserts that no tokens of the record are left here.
fn assert_ended(app: &TestApp, key: &str) {
    assert!(app.client().get(key).is_null());
    assert!(app.client().describe(&json!({ "Key": key }))["Ended"].is_string());
    let erased = "SELECT count(*) FROM external_tokens WHERE length(sealed) = 0";
    assert_eq!(app.number(erased), 1);
}

/// Asserts that the record lives and is refreshed as before.
fn assert_refreshes(scene: &Scene, key: &str) {
    end_access_in(&scene.app.setup, key, -1);
    assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), key, 0))));
    scene.assert_lives(key);
}

/// CONTRACT 58, O15: the provider revokes the refresh token, and the access token with it. Then the record ends. A
/// second call gets null.
#[rstest]
#[case(false)]
#[case(true)]
fn a_grant_is_revoked_at_its_provider_and_then_here(#[case] require: bool) {
    let scene = scene(Rules::default(), &json!({}));
    let (grant, key) = scene.save(3600);
    let client = scene.app.client();
    assert!(scene.provider.is_active(&grant.access));
    let answer = revoke_grant(&client, &key, require).expect(200).json();
    assert_eq!(answer, revoked(true, "Revoked"));
    assert_eq!(scene.provider.revocations(), [[grant.refresh.as_str(), "refresh_token"]]);
    assert!(!scene.provider.is_active(&grant.access));
    assert_ended(&scene.app, &key);
    assert!(revoke_grant(&client, &key, require).expect(200).json().is_null());
    assert_eq!(scene.provider.count(Kind::Revocation), 1);
    scene.app.logged(&["a grant was revoked at its provider", &key[3..14]]);
    let log = scene.app.log();
    assert!(!log.contains(&grant.refresh) && !log.contains(&key), "{log}");
}

/// CONTRACT 58: a record with an access token alone: that token is revoked. If the provider revokes only the token that
/// it is sent, both tokens are sent.
#[test]
fn access_tokens_are_revoked_where_nothing_takes_them_along() {
    let scene = scene(Rules::default(), &json!({}));
    let grant = scene.provider.grant();
    let key = scene.app.client().save(&json!({"Provider": NAME, "AccessToken": grant.access}));
    let answer = revoke_grant(&scene.app.client(), &key, true).expect(200).json();
    assert_eq!(answer, revoked(true, "Revoked"));
    assert_eq!(scene.provider.revocations(), [[grant.access.as_str(), "access_token"]]);

    for (ends, is_active) in [("grant", true), ("token", false)] {
        let rules = Rules { revocation_ends_family: false, ..Rules::default() };
        let scene = self::scene(rules, &json!({ "revocation_ends": ends }));
        let (grant, key) = scene.save(3600);
        let answer = revoke_grant(&scene.app.client(), &key, true).expect(200).json();
        assert_eq!(answer, revoked(true, "Revoked"));
        assert!(!scene.provider.is_living_leaf(&grant.refresh));
        assert_eq!(scene.provider.is_active(&grant.access), is_active, "{ends}");
        let sent = scene.provider.revocations();
        assert_eq!(sent[0], [grant.refresh.as_str(), "refresh_token"]);
        assert_eq!(sent.len(), if is_active { 1 } else { 2 });
    }
}

/// A provider that does not confirm.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Unavailable,
    Unsupported,
    Hangs,
    Refuses,
    ErrorWith200,
    Accepted,
    Firewall,
    NoEndpoint,
    Unreachable,
}

impl Fault {
    fn settings(self) -> Value {
        match self {
            Self::NoEndpoint => json!({ "revocation_endpoint": null }),
            Self::Unreachable => json!({ "revocation_endpoint": "http://127.0.0.1:9/revoke" }),
            _ => json!({}),
        }
    }

    fn page(self) -> Option<Reply> {
        Some(match self {
            Self::Unavailable => Reply::new(503, "text/plain", "").header("Retry-After", "7"),
            Self::Unsupported => Reply::error(400, "unsupported_token_type"),
            Self::Refuses => Reply::error(401, "invalid_client"),
            Self::ErrorWith200 => Reply::error(200, "internal_error"),
            Self::Accepted => Reply::new(202, "text/plain", ""),
            Self::Firewall => Reply::new(403, "text/html", "<h1>CANARY-page</h1>"),
            Self::Hangs | Self::NoEndpoint | Self::Unreachable => return None,
        })
    }
}

/// CONTRACT 58: the answer reports a revocation only if the provider confirmed it. With `Require`, the record then
/// lives on and is refreshed as before. Without `Require` it ends.
#[rstest]
#[case(Fault::Unavailable, "Failed")]
#[case(Fault::Unsupported, "NotSupported")]
#[case(Fault::Hangs, "Failed")]
#[case(Fault::Refuses, "Failed")]
#[case(Fault::ErrorWith200, "Failed")]
#[case(Fault::Accepted, "Failed")]
#[case(Fault::Firewall, "Failed")]
#[case(Fault::NoEndpoint, "NotSupported")]
#[case(Fault::Unreachable, "Failed")]
fn what_the_provider_does_not_confirm_is_not_revoked(#[case] fault: Fault, #[case] upstream: &str) {
    let setup = Setup::new().with("GRANTS__DEADLINE_SECONDS", "1");
    let scene = in_setup(setup, Rules::default(), &fault.settings());
    if let Some(page) = fault.page() {
        scene.provider.page("/revoke", page);
    }
    let client = scene.app.client();
    let (grant, key) = scene.save(3600);
    let hold =
        matches!(fault, Fault::Hangs).then(|| scene.provider.hold(Gate::AfterReading, usize::MAX));
    let answer = revoke_grant(&client, &key, true).expect(200);
    tell(&format!("{fault:?}, with Require: {}", answer.body));
    assert_eq!(answer.json(), revoked(false, upstream));
    assert_eq!(access_token(get(&client, &key, 0)), grant.access);
    if let Fault::Refuses = fault {
        // All requests to the provider wait.
        assert_state(&scene.app, &key, "Blocked", Some("invalid_client"));
        assert_eq!(scene.provider.count(Kind::Revocation), 1);
        let again = revoke_grant(&client, &key, true).expect(200).json();
        assert_eq!(again, revoked(false, "Failed"));
        assert_eq!(scene.provider.count(Kind::Revocation), 1, "nothing was sent");
        scene.app.sql("UPDATE provider_states SET retry_at = 1");
    } else {
        // The provider never processes the held requests.
        hold.into_iter().for_each(|hold| hold.cut(Cut::Reset));
        assert_state(&scene.app, &key, "None", None);
        assert_refreshes(&scene, &key);
    }
    let hold =
        matches!(fault, Fault::Hangs).then(|| scene.provider.hold(Gate::AfterReading, usize::MAX));
    let answer = revoke_grant(&client, &key, false).expect(200).json();
    assert_eq!(answer, revoked(true, upstream));
    drop(hold);
    assert_ended(&scene.app, &key);
    assert!(!scene.app.log().contains("CANARY-page"));
}

/// CONTRACT 58: a call that failed may be repeated once the provider is back.
#[test]
fn a_revocation_can_be_repeated() {
    let scene = scene(Rules::default(), &json!({}));
    let (grant, key) = scene.save(3600);
    scene.provider.page("/revoke", Reply::new(503, "text/plain", ""));
    let client = scene.app.client();
    assert_eq!(revoke_grant(&client, &key, true).expect(200).json(), revoked(false, "Failed"));
    scene.provider.mend("/revoke");
    // A provider confirms the revocation of a token that it no longer knows.
    scene.provider.revoke(&grant.refresh);
    assert_eq!(revoke_grant(&client, &key, true).expect(200).json(), revoked(true, "Revoked"));
    assert_ended(&scene.app, &key);
}

/// While a secret is being replaced, the server tries the next one.
#[test]
fn the_next_secret_revokes() {
    let provider = MockProvider::start(Rules::default());
    let setup = Setup::new();
    let file = setup.folder().join("next");
    fs::write(&file, "CANARY-next").expect("write");
    let over = json!({ "next_client_secret_file": file });
    let app = knowing(setup, &[with_endpoints(&provider, &over)]).start();
    let key = save(&app.client(), &provider.grant(), 3600);
    provider.set(|rules| rules.secrets = vec!["CANARY-next".to_owned()]);
    let answer = revoke_grant(&app.client(), &key, true).expect(200).json();
    assert_eq!(answer, revoked(true, "Revoked"));
    assert_eq!((provider.wrong_secrets(), provider.count(Kind::Revocation)), (1, 2));
}

/// After the provider rejected the client, one request tests whether it accepts the client again. That may be a
/// revocation.
#[test]
fn a_revocation_ends_a_pause_of_the_provider() {
    let scene = scene(Rules::default(), &json!({}));
    scene.provider.set(|rules| rules.secrets = vec!["CANARY-other".to_owned()]);
    let (_, key) = scene.save(0);
    get(&scene.app.client(), &key, 0).expect(502);
    let (_, other) = scene.save(3600);
    assert_state(&scene.app, &other, "Blocked", Some("invalid_client"));
    scene.provider.set(|rules| rules.secrets = vec![SECRET.to_owned()]);
    scene.app.sql("UPDATE provider_states SET retry_at = 1");
    let answer = revoke_grant(&scene.app.client(), &other, true).expect(200).json();
    assert_eq!(answer, revoked(true, "Revoked"));
    assert_state(&scene.app, &key, "None", None);
}

/// CONTRACT 58: a refresh that is under way ends first, and its new token is revoked.
#[test]
fn the_newest_token_is_revoked() {
    let scene = scene(Rules::default(), &json!({}));
    let (grant, key) = scene.save(0);
    let hold = scene.provider.hold(Gate::AfterProcessing, 1);
    thread::scope(|scope| {
        let read = scope.spawn(|| get(&scene.app.client(), &key, 0));
        hold.wait_for(1);
        let revoking = scope.spawn(|| revoke_grant(&scene.app.client(), &key, true));
        thread::sleep(Duration::from_millis(500));
        assert_eq!(scene.provider.count(Kind::Revocation), 0, "it waits");
        hold.open();
        let answer = revoking.join().expect("no panic").expect(200).json();
        assert_eq!(answer, revoked(true, "Revoked"));
        // The reader gets the new token, or null.
        read.join().expect("no panic").expect(200);
    });
    let [[token, _]] = &scene.provider.revocations()[..] else { panic!("one revocation") };
    assert_ne!(*token, grant.refresh);
    assert!(!scene.provider.is_active(&grant.access));
    assert_ended(&scene.app, &key);
    assert_eq!(scene.refreshes(), 1);
}

/// CONTRACT 58: no refresh begins while a revocation is under way. A caller that needs one waits, and then gets null.
#[test]
fn no_refresh_begins_meanwhile() {
    let scene = scene(Rules::default(), &json!({}));
    let (_, key) = scene.save(0);
    let hold = scene.provider.hold(Gate::AfterReading, 1);
    thread::scope(|scope| {
        let revoking = scope.spawn(|| revoke_grant(&scene.app.client(), &key, true));
        hold.wait_for(1);
        let read = scope.spawn(|| get(&scene.app.client(), &key, 0));
        thread::sleep(Duration::from_millis(500));
        hold.open();
        let answer = revoking.join().expect("no panic").expect(200).json();
        assert_eq!(answer, revoked(true, "Revoked"));
        assert!(read.join().expect("no panic").expect(200).json().is_null());
    });
    assert_eq!(scene.refreshes(), 0);
}

/// CONTRACT 58: if many callers revoke at once, the provider is asked once, and one of them gets the confirmation.
#[test]
fn many_revoke_at_once() {
    let scene = scene(Rules::default(), &json!({}));
    let (_, key) = scene.save(3600);
    let answers: Vec<Value> = thread::scope(|scope| {
        let calls: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| revoke_grant(&scene.app.client(), &key, true)))
            .collect();
        calls.into_iter().map(|call| call.join().expect("no panic").expect(200).json()).collect()
    });
    let done = answers.iter().filter(|answer| **answer == revoked(true, "Revoked")).count();
    let nothing = answers.iter().filter(|answer| answer.is_null()).count();
    assert_eq!((done, nothing), (1, 9), "{answers:?}");
    assert_eq!(scene.provider.count(Kind::Revocation), 1);
}

/// CONTRACT 58: the revocation continues after its caller has left.
#[test]
fn a_revocation_goes_on_when_its_caller_goes() {
    let scene = scene(Rules::default(), &json!({}));
    let (grant, key) = scene.save(3600);
    let body = json!({ "Key": key }).to_string();
    let head = format!(
        "POST /api/v1/Agents/ExternalTokens/RevokeGrant HTTP/1.1\r\nHost: {}\r\n\
         Authorization: Basic dGplMDpUamUw\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        scene.app.authority(),
        body.len()
    );
    let hold = scene.provider.hold(Gate::AfterReading, 1);
    let mut stream = TcpStream::connect(scene.app.authority()).expect("connect");
    stream.write_all(head.as_bytes()).expect("send");
    hold.wait_for(1);
    reset(stream);
    hold.open();
    let ended = || scene.app.client().describe(&json!({ "Key": key }))["Ended"].is_string();
    until("the record ends", ended);
    assert!(!scene.provider.is_active(&grant.access));
    assert_eq!(scene.provider.count(Kind::Revocation), 1);
}

/// CONTRACT 58: the server is killed after the provider revoked the token and before the record ended. A repeat works,
/// because a provider also confirms tokens that it does not know.
#[test]
fn a_revocation_can_be_repeated_after_a_kill() {
    let mut scene = scene(Rules::default(), &json!({}));
    let (grant, key) = scene.save(3600);
    let hold = scene.provider.hold(Gate::AfterProcessing, 1);
    let client = scene.app.client();
    thread::scope(|scope| {
        scope.spawn(|| {
            let body = json!({ "Key": key, "Require": true }).to_string();
            let path = "/api/v1/Agents/ExternalTokens/RevokeGrant";
            let headers = [("Content-Type", "application/json")];
            client.try_request("POST", path, &headers, body.as_bytes()).expect_err("it was killed")
        });
        hold.wait_for(1);
        scene.app.kill();
    });
    drop(hold);
    let scene = scene.restart();
    assert!(!scene.provider.is_active(&grant.access));
    // By the stored data the access token is still valid.
    assert_eq!(access_token(get(&scene.app.client(), &key, 0)), grant.access);
    let answer = revoke_grant(&scene.app.client(), &key, true).expect(200).json();
    assert_eq!(answer, revoked(true, "Revoked"));
    assert_eq!(scene.provider.count(Kind::Revocation), 2);
    assert_ended(&scene.app, &key);
}

/// CONTRACT 54, 58: a paused database sends no request.
#[test]
fn nothing_is_revoked_while_grants_are_paused() {
    let scene = scene(Rules::default(), &json!({ "revoke_upstream": true }));
    let (grant, key) = scene.save(3600);
    scene.app.admin(&["grants", "pause"]);
    for require in [false, true] {
        let refused = revoke_grant(&scene.app.client(), &key, require);
        refused.expect_error(503, "SoUnavailableException", "paused");
        assert_eq!(access_token(get(&scene.app.client(), &key, 0)), grant.access);
    }
    assert!(scene.app.client().revoke(&json!({ "Key": key })), "it ends all the same");
    assert_ended(&scene.app, &key);
    assert_eq!(scene.provider.requests().len(), 0);
    assert!(scene.provider.is_active(&grant.access));
}

/// CONTRACT 58: tokens of another client are not sent.
#[test]
fn tokens_of_another_client_are_not_revoked() {
    let scene = scene(Rules::default(), &json!({}));
    let (_, key) = scene.save(0);
    get(&scene.app.client(), &key, 0).expect(200);
    let Scene { provider, app } = scene;
    let other = with_endpoints(&provider, &json!({ "client_id": "another" }));
    let app = knowing(app.stop(), &[other]).start();
    let answer = revoke_grant(&app.client(), &key, true).expect(200).json();
    assert_eq!(answer, revoked(false, "NotSupported"));
    // Neither are tokens without a provider, or while refreshing is off.
    let app = knowing(app.stop(), &[]).start();
    let answer = revoke_grant(&app.client(), &key, true).expect(200).json();
    assert_eq!(answer, revoked(false, "NotSupported"));
    let setup = knowing(app.stop(), &[with_endpoints(&provider, &json!({}))]);
    let app = setup.with("GRANTS__ENABLED", "false").start();
    let answer = revoke_grant(&app.client(), &key, false).expect(200).json();
    assert_eq!(answer, revoked(true, "NotSupported"));
    assert_eq!(provider.count(Kind::Revocation), 0);
}

/// CONTRACT 39: `Revoke` by key also revokes at the provider if that is configured, and by id it cannot. Otherwise it
/// sends nothing. The record ends whether or not the provider confirms.
#[test]
fn a_record_is_revoked_upstream_by_its_key_alone() {
    let which = [
        (|key: &str| json!({ "Key": key })) as fn(&str) -> Value,
        |key: &str| json!({ "Id": key[3..14] }),
    ];
    for (over, expected) in [(json!({}), [0, 0]), (json!({ "revoke_upstream": true }), [1, 0])] {
        let scene = scene(Rules::default(), &over);
        let client = scene.app.client();
        for (which, expected) in which.iter().zip(expected) {
            let (grant, key) = scene.save(3600);
            let before = scene.provider.count(Kind::Revocation);
            assert!(client.revoke(&which(&key)));
            assert!(client.get(&key).is_null());
            assert!(!client.revoke(&which(&key)), "once");
            assert_eq!(scene.provider.count(Kind::Revocation) - before, expected);
            assert_eq!(scene.provider.is_active(&grant.access), expected == 0);
        }
    }
    let setup = Setup::new().with("GRANTS__DEADLINE_SECONDS", "1");
    let scene = in_setup(setup, Rules::default(), &json!({ "revoke_upstream": true }));
    let client = scene.app.client();
    for fault in [Fault::Unavailable, Fault::Unsupported, Fault::Refuses] {
        scene.provider.page("/revoke", fault.page().expect("a page"));
        let (_, key) = scene.save(3600);
        assert!(client.revoke(&json!({ "Key": key })), "{fault:?}");
        assert!(client.get(&key).is_null());
    }
    scene.app.sql("UPDATE provider_states SET retry_at = 1");
    scene.provider.mend("/revoke");
    let (_, key) = scene.save(3600);
    let hold = scene.provider.hold(Gate::AfterReading, 1);
    assert!(client.revoke(&json!({ "Key": key })), "the provider hangs");
    assert_eq!(hold.came(), 1);
    assert!(client.get(&key).is_null());
}

/// Every other end of a record, or loss of tokens, revokes nothing at the provider.
#[test]
fn nothing_else_revokes_upstream() {
    let over = json!({ "revoke_upstream": true });
    let scene = scene(Rules::default(), &over);
    let (grant, key) = scene.save(3600);
    scene.app.sql("UPDATE external_tokens SET expires = created");
    assert!(scene.app.client().get(&key).is_null());
    assert!(!scene.app.client().revoke(&json!({ "Key": key })));
    assert!(revoke_grant(&scene.app.client(), &key, false).expect(200).json().is_null());
    assert_eq!(scene.provider.count(Kind::Revocation), 0);
    assert!(scene.provider.is_active(&grant.access));
}

/// CONTRACT 58: the owner and administrators may revoke. Another holder of the key is rejected, and another tenant gets
/// null.
#[test]
fn who_may_revoke_a_grant() {
    let scene = in_setup(Setup::new().with("TENANTS", "path"), Rules::default(), &json!({}));
    let app = &scene.app;
    app.add_user("ann");
    app.add_user("bob");
    let of = |login: &str| app.client().with_password(login, "CANARY-password");
    let others = ["user", "add", "boss", "--tenant", "others", "--administrator"];
    app.admin(&[&others[..], &["--password-stdin"]].concat());
    let elsewhere = Client::new(&app.url.replace("/default", "/others"));
    let elsewhere = elsewhere.with_password("boss", "CANARY-password");
    for client in [of("ann"), app.client()] {
        let Grant { access, refresh } = scene.provider.grant();
        let carrier = json!({"Provider": NAME, "AccessToken": access, "RefreshToken": refresh});
        let key = of("ann").save(&carrier);
        let refused = revoke_grant(&of("bob"), &key, false);
        refused.expect_error(403, "SoSentryException", "Only the owner of these tokens");
        assert!(revoke_grant(&elsewhere, &key, false).expect(200).json().is_null());
        assert!(scene.provider.is_active(&access));
        assert_eq!(revoke_grant(&client, &key, true).expect(200).json(), revoked(true, "Revoked"));
        assert!(revoke_grant(&of("bob"), &key, false).expect(200).json().is_null());
    }
}

/// CONTRACT 58: a text that is no key of a record gets null, and an invalid request a 400.
#[test]
fn what_retrieves_nothing_is_answered_with_null() {
    let scene = scene(Rules::default(), &json!({}));
    let client = scene.app.client();
    let (_, key) = scene.save(3600);
    for (body, property) in [
        (json!({}), "Key"),
        (json!({ "Key": " " }), "Key"),
        (json!({ "Key": "lk_cut" }), "lk_"),
        (json!({ "Key": key, "Require": "maybe" }), "Require"),
    ] {
        let refused = client.post_records("RevokeGrant", &body);
        refused.expect_error(400, "ArgumentException", property);
    }
    for none in ["nam", "lk_01vYvSdgm8u000ThisKeyIsAnExampleAndRetrievesNothing0002HeXH9"] {
        assert!(revoke_grant(&client, none, true).expect(200).json().is_null());
    }
    assert_eq!(scene.provider.count(Kind::Revocation), 0);
    assert_eq!(revoke_grant(&client, &key, true).expect(200).json(), revoked(true, "Revoked"));
}

/// CONTRACT 46, 58: revocations count against the owner's rate limit.
#[test]
fn revocations_have_a_rate() {
    let setup = Setup::new().with("GRANTS__REFRESHES_PER_OWNER", "1");
    let scene = in_setup(setup, Rules::default(), &json!({}));
    let (first, second) = (scene.save(3600).1, scene.save(3600).1);
    revoke_grant(&scene.app.client(), &first, true).expect(200);
    let refused = revoke_grant(&scene.app.client(), &second, true);
    let refused = refused.expect_error(429, "SoLimitException", "");
    assert!(!refused.header("Retry-After").is_empty());
    assert!(!scene.app.client().get(&second).is_null());
    assert!(scene.app.client().revoke(&json!({ "Key": second })), "that is no request");
}
