//! A provider's answer about a stored access token (CONTRACT O17, 60).
//!
//! Invariant: introspection never changes the record.

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::{
        revocation::{scene, with_endpoints},
        scene::{NAME, Scene, access_token, assert_state, get, knowing, save, settings},
    },
    support::{
        app::Setup,
        client::{Answer, Client},
        provider::{Kind, MockProvider, Reply, Rules},
    },
};

fn introspect(client: &Client, key: &str) -> Answer {
    client.post_records("Introspect", &json!({ "Key": key }))
}

fn inactive() -> Value {
    json!({ "Active": false, "Scope": null, "Expires": null })
}

/// CONTRACT 60, O17: the answer says whether the token is active, its scope and its end. If the provider reports it as
/// inactive, the record does not change.
#[test]
fn the_provider_says_whether_the_stored_access_token_works() {
    let scene = scene(Rules::default(), &json!({}));
    let client = scene.app.client();
    // The access token has expired here, and is not refreshed.
    let (grant, key) = scene.save(0);
    let active = introspect(&client, &key).expect(200).json();
    assert_eq!((&active["Active"], &active["Scope"]), (&json!(true), &json!("openid email")));
    assert!(active["Expires"].as_str().is_some_and(|date| date.len() == 19), "{active}");
    assert_eq!(active.as_object().expect("an object").len(), 3, "{active}");
    assert_eq!(scene.refreshes(), 0);
    assert!(client.describe(&json!({ "Key": key }))["LastUsed"].is_null(), "it is no use");
    let requests = scene.provider.requests();
    let [sent] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(sent.field("token"), grant.access);
    assert_eq!(sent.field("token_type_hint"), "access_token");

    let (_, other) = scene.save(3600);
    scene.provider.page("/introspect", Reply::json(200, &json!({ "active": false, "exp": 1 })));
    assert_eq!(introspect(&client, &other).expect(200).json(), inactive());
    assert_state(&scene.app, &other, "None", None);
    assert!(scene.provider.is_active(&access_token(get(&client, &other, 0))));
    assert!(scene.provider.is_newest(&access_token(get(&client, &key, 0))));
    scene.assert_lives(&key);
    let odd = json!({ "active": "true", "scope": ["a", "b"], "exp": 9e15 });
    scene.provider.page("/introspect", Reply::json(200, &odd));
    let told = introspect(&client, &other).expect(200).json();
    assert_eq!(told, json!({ "Active": true, "Scope": "a b", "Expires": null }));
}

/// CONTRACT 60: if the provider does not answer, the error has the cause, and the grant does not end.
#[rstest]
#[case::down(Reply::new(503, "text/plain", ""), 503, "http_5xx")]
#[case::page(Reply::new(200, "text/html", "<h1>CANARY-page</h1>"), 503, "unreadable")]
#[case::silent(Reply::json(200, &json!({})), 503, "unreadable")]
#[case::refused(Reply::error(401, "invalid_client"), 502, "invalid_client")]
#[case::dead(Reply::error(400, "invalid_grant"), 503, "invalid_grant")]
#[case::moved(Reply::new(302, "text/plain", "").header("Location", "http://127.0.0.1/"), 503, "redirect")]
fn an_answer_that_says_nothing_is_an_error(
    #[case] reply: Reply,
    #[case] status: u16,
    #[case] cause: &str,
) {
    let scene = scene(Rules::default(), &json!({}));
    let (grant, key) = scene.save(3600);
    scene.provider.page("/introspect", reply);
    let answer = introspect(&scene.app.client(), &key).expect(status);
    let message = answer.json()["Message"].as_str().expect("a message").to_owned();
    assert!(message.contains(cause) && !message.contains("CANARY"), "{message}");
    let is_blocked = status == 502;
    let state = if is_blocked { ("Blocked", Some("invalid_client")) } else { ("None", None) };
    assert_state(&scene.app, &key, state.0, state.1);
    assert_eq!(access_token(get(&scene.app.client(), &key, 0)), grant.access);
    if is_blocked {
        introspect(&scene.app.client(), &key).expect(502);
        assert_eq!(scene.provider.count(Kind::Introspection), 1, "requests are paused");
    }
}

/// CONTRACT 60: a record without an introspection endpoint is a 400.
#[test]
fn without_an_endpoint_it_is_a_400() {
    let provider = MockProvider::start(Rules::default());
    let app = knowing(Setup::new(), &[settings(&provider, &json!({}))]).start();
    let key = save(&app.client(), &provider.grant(), 3600);
    let no_provider = app.client().save(&json!({ "Provider": "other", "AccessToken": "a" }));
    for (key, name) in [(&key, NAME), (&no_provider, "other")] {
        let refused = introspect(&app.client(), key);
        let text = format!("{name} has no introspection endpoint");
        refused.expect_error(400, "ArgumentException", &text);
    }
    let setup = knowing(app.stop(), &[with_endpoints(&provider, &json!({}))]);
    let app = setup.with("GRANTS__ENABLED", "false").start();
    introspect(&app.client(), &key).expect_error(400, "ArgumentException", "introspection");
    assert_eq!(provider.requests().len(), 0);
}

/// CONTRACT 6, 60: callers that do not get the tokens learn nothing about them. A key that retrieves nothing is
/// answered with null.
#[rstest]
#[case("key", true)]
#[case("owner", false)]
fn who_may_introspect(#[case] retrieval: &str, #[case] bob_may: bool) {
    let provider = MockProvider::start(Rules::default());
    let setup = Setup::new().with("AUTH__RETRIEVAL", retrieval);
    let app = knowing(setup, &[with_endpoints(&provider, &json!({}))]).start();
    app.add_user("bob");
    let key = save(&app.client(), &provider.grant(), 3600);
    let bob = app.client().with_password("bob", "CANARY-password");
    assert_eq!(!introspect(&bob, &key).expect(200).json().is_null(), bob_may);
    assert_eq!(provider.count(Kind::Introspection), usize::from(bob_may));
    assert!(introspect(&app.client(), "nam").expect(200).json().is_null());
    introspect(&app.client(), "lk_cut").expect_error(400, "ArgumentException", "lk_");
    let missing = app.client().post_records("Introspect", &json!({}));
    missing.expect_error(400, "ArgumentException", "Key");
    assert!(app.client().revoke(&json!({ "Key": key })));
    assert!(introspect(&app.client(), &key).expect(200).json().is_null());
}

/// CONTRACT 46, 54, 60: no request is sent without an access token, for another client, from a paused database, or past
/// the rate limit.
#[test]
fn what_is_not_asked() {
    let provider = MockProvider::start(Rules::default());
    let setup = Setup::new().with("GRANTS__REFRESHES_PER_OWNER", "1");
    let app = knowing(setup, &[with_endpoints(&provider, &json!({}))]).start();
    let scene = Scene { provider, app };
    let client = scene.app.client();
    let refresh = scene.provider.grant().refresh;
    let alone = client.save(&json!({ "Provider": NAME, "RefreshToken": refresh }));
    assert_eq!(introspect(&client, &alone).expect(200).json(), inactive());
    let (_, key) = scene.save(0);
    scene.app.admin(&["grants", "pause"]);
    introspect(&client, &key).expect_error(503, "SoUnavailableException", "paused");
    scene.app.admin(&["grants", "resume"]);
    assert_eq!(scene.provider.count(Kind::Introspection), 0);
    introspect(&client, &key).expect(200);
    introspect(&client, &key).expect_error(429, "SoLimitException", "");
    assert_eq!(scene.provider.count(Kind::Introspection), 1);
    get(&client, &key, 0).expect(200);
    let Scene { provider, app } = scene;
    let other = with_endpoints(&provider, &json!({ "client_id": "another" }));
    let app = knowing(app.stop(), &[other]).start();
    introspect(&app.client(), &key).expect_error(424, "SoGrantException", "other_client");
    assert_eq!(provider.count(Kind::Introspection), 1);
}
