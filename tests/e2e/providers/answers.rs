//! Token answers in every shape that providers use: each success is saved.

use std::{
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    Database,
    grants::scene::{
        MORE_THAN_IT_LIVES, Scene, access_token, assert_lives, assert_state, describe,
        end_access_in, end_pause, get, knowing, save, settings,
    },
    support::{
        app::{Setup, until},
        load::tell,
        provider::{
            ClientAuth, Gate, Grace, Kind, MockProvider, Reply, Rotation, Rules, Turn,
            endpoints::merge,
        },
    },
};

/// The answer with these members replaced; those that are null are removed.
fn with(answer: Value, over: Value) -> Reply {
    let mut answer = answer;
    merge(&mut answer, &over);
    Reply::json(200, &answer)
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().expect("a text")
}

fn form(answer: &Value) -> String {
    let (access, refresh) = (text(answer, "access_token"), text(answer, "refresh_token"));
    format!("access_token={access}&refresh_token={refresh}&expires_in=3600&token_type=bearer")
}

fn gzip(answer: &Value) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(answer.to_string().as_bytes()).expect("compressed");
    gzip.finish().expect("compressed")
}

#[rstest]
#[case::created(|answer| Reply::json(201, &answer))]
#[case::end_in_text(|answer| with(answer, json!({"expires_in": "3600"})))]
#[case::end_in_a_fraction(|answer| with(answer, json!({"expires_in": 3599.9})))]
#[case::end_is_null(|answer| with(answer, json!({"expires_in": null})))]
#[case::end_was_before(|answer| with(answer, json!({"expires_in": -1})))]
#[case::end_in_2_to_63(|answer| with(answer, json!({"expires_in": 9_223_372_036_854_775_808_u64})))]
#[case::end_is_no_number(|answer| with(answer, json!({"expires_in": {"in": "a while"}})))]
#[case::no_token_type(|answer| with(answer, json!({"token_type": null})))]
#[case::another_token_type(|answer| with(answer, json!({"token_type": "bEARER"})))]
#[case::fewer_scopes(|answer| with(answer, json!({"scope": "openid"})))]
#[case::scopes_in_a_list(|answer| with(answer, json!({"scope": ["openid", "email"]})))]
#[case::more_members(|answer| with(answer, json!({"x": [{"y": null}], "error_description": ""})))]
#[case::plain_text(|answer: Value| Reply::new(200, "text/plain", answer.to_string()))]
#[case::javascript(|answer: Value| Reply::new(200, "text/javascript; charset=utf-8", answer.to_string()))]
#[case::no_type(|answer: Value| {
    Reply { status: 200, headers: Vec::new(), body: answer.to_string().into_bytes() }
})]
#[case::a_form(|answer| Reply::new(200, "application/x-www-form-urlencoded", form(&answer)))]
#[case::a_byte_order_mark(|answer| {
    Reply::new(200, "application/json", format!("\u{feff}{answer}"))
})]
#[case::white_space(|answer| Reply::new(200, "application/json", format!("\r\n {answer} \n")))]
fn odd_answers_are_kept(#[case] say: fn(Value) -> Reply) {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    scene.provider.next([Turn::Reshape(say)]);
    let token = access_token(get(&scene.app.client(), &key, 0));
    assert!(scene.provider.is_newest(&token));
    let held = scene.assert_lives(&key);
    assert_eq!((held.generation, held.access), (2, Some(token)));
    assert_state(&scene.app, &key, "Live", None);
    assert_eq!(scene.refreshes(), 1);
}

/// The server does not ask for gzip. If an answer has it and cannot be read, the refresh token may be spent, so the
/// request is repeated.
#[test]
fn an_answer_in_a_coding_that_was_not_asked_for_loses_nothing() {
    let rules = Rules { grace: Grace::UntilSuccessorIsUsed, ..Rules::default() };
    let scene = Scene::new(rules, json!({"replay_within_seconds": 3600}));
    let (_, key) = scene.save(0);
    let say = |answer: Value| {
        Reply::new(200, "application/json", gzip(&answer)).header("Content-Encoding", "gzip")
    };
    scene.provider.next([Turn::Reshape(say)]);
    let token = access_token(get(&scene.app.client(), &key, 0));
    assert!(scene.provider.is_newest(&token));
    scene.assert_lives(&key);
    let asked = &scene.provider.requests()[0].headers;
    let coding = asked.iter().find(|(name, _)| name.eq_ignore_ascii_case("Accept-Encoding"));
    assert!(coding.is_none_or(|(_, value)| value == "identity"), "{coding:?}");
}

/// A provider that does not rotate may omit the refresh token from its answer. The old one stays in force.
#[test]
fn a_refresh_token_that_is_not_replaced_stays() {
    for answer in [json!({}), json!({"refresh_token": null}), json!({"refresh_token": ""})] {
        let rotation = Rotation::Never;
        let scene = Scene::new(Rules { rotation, answer, ..Rules::default() }, json!({}));
        let (grant, key) = scene.save(0);
        for generation in 2..5 {
            assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), &key, 0))));
            let held = scene.assert_lives(&key);
            assert_eq!(held.refresh.as_ref(), Some(&grant.refresh));
            assert_eq!(held.generation, generation);
            end_access_in(&scene.app.setup, &key, -1);
        }
    }
}

/// A provider whose refresh token changes about daily.
#[test]
fn a_refresh_token_that_rotates_now_and_then_is_kept() {
    let rotation = Rotation::OlderThan(Duration::from_hours(24));
    let scene = Scene::new(Rules { rotation, ..Rules::default() }, json!({}));
    let (grant, key) = scene.save(0);
    for hours in [1, 30, 1, 30] {
        scene.provider.pass(Duration::from_hours(hours));
        assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), &key, 0))));
        scene.assert_lives(&key);
        end_access_in(&scene.app.setup, &key, -1);
    }
    assert_eq!(scene.provider.presentations(&grant.refresh), 2);
}

/// A token that ends sooner than requested is answered. The server does not refresh again within one call.
#[test]
fn a_token_that_ends_soon_is_answered() {
    for seconds in [0, 1, 30] {
        let answer = json!({ "expires_in": seconds });
        let scene = Scene::new(Rules { answer, ..Rules::default() }, json!({}));
        let (_, key) = scene.save(0);
        let token = access_token(get(&scene.app.client(), &key, 0));
        assert!(scene.provider.is_newest(&token), "{seconds}");
        assert_eq!(scene.refreshes(), 1, "{seconds}");
        scene.assert_lives(&key);
    }
}

/// A token that exceeds the limit of saves is kept, because the refresh token that came with it lives.
#[test]
fn a_large_token_is_kept() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    scene.provider.next([Turn::Reshape(|answer| {
        with(answer, json!({"access_token": format!("CANARY-{}", "x".repeat(70_000))}))
    })]);
    let token = access_token(get(&scene.app.client(), &key, 0));
    assert_eq!(token.len(), 70_007);
    assert_eq!(scene.refreshes(), 1);
    scene.assert_lives(&key);
}

/// An answer of one byte a second ends at the deadline, not after hours. Other calls are not delayed.
#[test]
fn an_answer_that_drips_is_given_up() {
    let rules = Rules { grace: Grace::UntilSuccessorIsUsed, ..Rules::default() };
    let provider = MockProvider::start(rules);
    let setup =
        knowing(Setup::new(), &[settings(&provider, &json!({"replay_within_seconds": 60}))]);
    let app = setup.with("GRANTS__DEADLINE_SECONDS", "3").start();
    let grant = provider.grant();
    let key = save(&app.client(), &grant, 0);
    provider.next((0..3).map(|_| Turn::Drip(Duration::from_secs(1))));
    let began = Instant::now();
    let answer = get(&app.client(), &key, 0);
    tell(&format!("dripped on for {:?}: {}", began.elapsed(), answer.status));
    answer.expect_error(503, "SoUnavailableException", "");
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
    assert_state(&app, &key, "Failing", Some("timeout"));
    // The remaining slow answers.
    until("the tokens are there", || {
        end_pause(&app.setup, &key);
        get(&app.client(), &key, 0).status == 200
    });
    assert_lives(&provider, &app.setup, &key);
}

/// The client authenticates by the provider's method.
#[rstest]
#[case(ClientAuth::Basic, "basic")]
#[case(ClientAuth::BasicRaw, "basic_raw")]
#[case(ClientAuth::Post, "post")]
#[case(ClientAuth::None, "none")]
fn a_client_proves_who_it_is(#[case] client_auth: ClientAuth, #[case] name: &str) {
    // `basic_raw` does not encode the id, so it must not contain a colon (RFC 7617 §2).
    let client_id = ("client_id", "client 1+ä".to_owned());
    let mut over = json!({"client_auth": name, "client_id": client_id.1});
    if name == "none" {
        over["client_secret"] = Value::Null;
    }
    let scene = Scene::new(Rules { client_auth, client_id, ..Rules::default() }, over);
    let (_, key) = scene.save(0);
    assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), &key, 0))));
    assert_eq!((scene.provider.wrong_secrets(), scene.refreshes()), (0, 1));
    scene.assert_lives(&key);
}

/// A provider that differs from the standard in every way that the settings support.
#[test]
fn a_provider_that_differs_is_described_by_its_settings() {
    let rules = Rules {
        client_auth: ClientAuth::Post,
        client_id: ("client_key", "client-1".to_owned()),
        say: |answer| {
            let data = json!({
                "user": {"token": answer["access_token"], "again": answer["refresh_token"]},
                "ends": 3_600_000, "dies": 86_400_000,
            });
            Reply::json(202, &json!({"ok": true, "data": data}))
        },
        ..Rules::default()
    };
    let over = json!({
        "client_auth": "post",
        "client_id": "client-1",
        "request": {
            "body": "json",
            "names": {"client_id": "client_key"},
            "refresh": {"audience": "api.example.com"},
        },
        "answer": {
            "access_token": "data.user.token",
            "refresh_token": "data.user.again",
            "expires_in": "data.ends",
            "refresh_expires_in": "data.dies",
            "expires_in_unit": "ms",
            "status": [200, 202],
        },
        "errors": {"ok_field": "ok"},
    });
    let scene = Scene::new(rules, over);
    let (_, key) = scene.save(0);
    assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), &key, 0))));
    let sent = scene.provider.requests().pop().expect("a request");
    assert_eq!((sent.kind, sent.field("audience")), (Kind::Refresh, "api.example.com"));
    scene.assert_lives(&key);
    let left = scene.app.number(&format!(
        "SELECT (access_expires - {}) / 1000000 FROM external_tokens",
        Database::NOW
    ));
    assert!((3000..=3601).contains(&left), "{left} seconds");
    let described = describe(&scene.app, &key);
    assert!(described["RefreshBy"].is_string(), "{described}");
    // No request is sent earlier than necessary.
    assert_eq!(scene.refreshes(), 1);
}

/// The lifetime of an access token counts from before its request was sent, even if the answer takes long.
#[test]
fn the_end_counts_from_before_the_request() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    let hold = scene.provider.hold(Gate::AfterProcessing, 1);
    let before = scene.app.number(&format!("SELECT {}", Database::NOW));
    thread::scope(|scope| {
        let read = scope.spawn(|| get(&scene.app.client(), &key, 0));
        hold.wait_for(1);
        thread::sleep(Duration::from_secs(4));
        hold.open();
        read.join().expect("no panic").expect(200);
    });
    let ends = scene.app.number("SELECT access_expires FROM external_tokens");
    let seconds = (ends - before) / 1_000_000;
    assert!((3598..=3603).contains(&seconds), "{seconds} seconds after the request");
    scene.assert_lives(&key);
}

/// If a provider rejects a refresh before the last seconds of the access token, the server does not send one earlier.
#[test]
fn a_provider_that_refuses_early_refreshes_is_not_asked_early() {
    let scene = Scene::new(Rules::default(), json!({"earliest_seconds": 30}));
    let (grant, key) = scene.save(50);
    for minimum in [0, MORE_THAN_IT_LIVES] {
        assert_eq!(access_token(get(&scene.app.client(), &key, minimum)), grant.access);
    }
    assert_eq!(scene.refreshes(), 0);
    end_access_in(&scene.app.setup, &key, 10);
    assert_ne!(access_token(get(&scene.app.client(), &key, 0)), grant.access);
    assert_eq!(scene.refreshes(), 1);
    scene.assert_lives(&key);
}
