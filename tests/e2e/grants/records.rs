//! The records that have a grant: they have a refresh token and a configured provider, no matter when they were saved.

use serde_json::{Value, json};

use crate::{
    Database,
    grants::scene::{
        NAME, Scene, access_token, assert_lives, assert_state, end_access_in, get, knowing, save,
        settings,
    },
    support::{
        app::{Setup, TestApp},
        load::tell,
        provider::{Kind, MockProvider, Rules},
    },
};

/// The refresh token in the answer of a get, and the reason if there is none.
fn refresh_token(app: &TestApp, key: &str) -> (Value, Value) {
    let got = app.client().get(key);
    let right = got["FieldProperties"]["RefreshToken"]["FieldRight"].clone();
    (got["RefreshToken"].clone(), right)
}

/// CONTRACT 44, 45: A record that was saved before its provider was configured is refreshed like any other.
#[test]
fn records_from_before_their_provider_was_configured_are_refreshed() {
    let provider = MockProvider::start(Rules::default());
    let app = TestApp::new();
    let grant = provider.grant();
    let key = save(&app.client(), &grant, 3600);
    assert_state(&app, &key, "None", None);
    assert_eq!(refresh_token(&app, &key).0, grant.refresh);
    let app = knowing(app.stop(), &[settings(&provider, &json!({}))]).start();
    assert_eq!(access_token(get(&app.client(), &key, 0)), grant.access);
    let (token, right) = refresh_token(&app, &key);
    assert_eq!((token, &right["Mask"]), (Value::Null, &json!("None")));
    assert!(
        right["Reason"].as_str().expect("it").starts_with("[SR_REFRESHED_BY_SERVER]"),
        "{right}"
    );
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_lives(&provider, &app.setup, &key);
    assert_state(&app, &key, "Live", None);
    // After the provider is removed again, the record has no grant, and is answered with its current tokens.
    let app = knowing(app.stop(), &[]).start();
    assert_state(&app, &key, "None", None);
    end_access_in(&app.setup, &key, -1);
    let got = app.client().get(&key);
    assert!(provider.is_newest(got["AccessToken"].as_str().expect("it")), "{got}");
    assert!(provider.is_living_leaf(got["RefreshToken"].as_str().expect("it")), "{got}");
    assert_eq!(provider.count(Kind::Refresh), 1);
}

/// CONTRACT 44: if an access token does not contain its end and was saved without one, an hour is assumed, counted from
/// the save.
#[test]
fn the_end_of_an_opaque_token_is_assumed() {
    for (assumed, is_refreshed) in [(Value::Null, true), (json!(0), false)] {
        let over = json!({ "assume_expires_in_seconds": assumed });
        let scene = Scene::new(Rules::default(), over);
        let grant = scene.provider.grant();
        let carrier = json!({
            "Provider": NAME, "AccessToken": grant.access, "RefreshToken": grant.refresh
        });
        let key = scene.app.client().save(&carrier);
        assert_eq!(access_token(get(&scene.app.client(), &key, 0)), grant.access);
        assert_eq!(scene.refreshes(), 0);
        let before = format!("{} - {}", Database::NOW, 7_200_000_000_i64);
        scene
            .app
            .sql(&format!("UPDATE external_tokens SET created = {before}, updated = {before}"));
        let token = access_token(get(&scene.app.client(), &key, 0));
        assert_eq!(scene.refreshes(), usize::from(is_refreshed));
        assert_eq!(token != grant.access, is_refreshed);
        scene.assert_lives(&key);
    }
}

/// A record without a refresh token has no grant. Neither has a record whose provider is written in another case.
#[test]
fn what_has_no_grant_is_answered_as_it_is() {
    let scene = Scene::new(Rules::default(), json!({}));
    let client = scene.app.client();
    for carrier in [
        json!({"Provider": NAME, "AccessToken": "CANARY-alone"}),
        json!({"Provider": "Mock", "AccessToken": "CANARY-alone", "RefreshToken": "CANARY-r"}),
        json!({"Provider": "other", "AccessToken": "CANARY-alone", "RefreshToken": "CANARY-r"}),
    ] {
        let body = json!({"TokenManagementInfo": carrier, "ExpiresIn": 0});
        let key = client.post("SaveExternalTokens", &body).expect(200).key();
        assert_eq!(access_token(get(&client, &key, 0)), "CANARY-alone");
        assert_eq!(client.get(&key)["RefreshToken"], carrier["RefreshToken"]);
        assert_state(&scene.app, &key, "None", None);
    }
    assert_eq!(scene.provider.requests().len(), 0);
}

/// A record that was saved with a refresh token alone gets its access token by a refresh.
#[test]
fn a_refresh_token_alone_is_enough() {
    let scene = Scene::new(Rules::default(), json!({}));
    let grant = scene.provider.grant();
    let key = scene.app.client().save(&json!({"Provider": NAME, "RefreshToken": grant.refresh}));
    assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), &key, 0))));
    assert_eq!(scene.refreshes(), 1);
    scene.assert_lives(&key);
}

/// CONTRACT 45: callers get the refresh token if the provider is configured so.
#[test]
fn a_provider_may_be_configured_to_give_its_refresh_tokens() {
    let scene = Scene::new(Rules::default(), json!({"give_refresh_token": true}));
    let (_, key) = scene.save(0);
    let (token, _) = refresh_token(&scene.app, &key);
    assert!(scene.provider.is_living_leaf(token.as_str().expect("a token")));
    scene.assert_lives(&key);
}

/// If refreshing is off, records are answered as they are stored.
#[test]
fn refreshing_can_be_turned_off() {
    let provider = MockProvider::start(Rules::default());
    let setup = knowing(Setup::new(), &[settings(&provider, &json!({}))]);
    let app = setup.with("GRANTS__ENABLED", "false").start();
    let grant = provider.grant();
    let key = save(&app.client(), &grant, 0);
    assert_eq!(access_token(get(&app.client(), &key, 0)), grant.access);
    assert_eq!(provider.requests().len(), 0);
}

/// CONTRACT 47: the stored token and the reason are answered instead of an error, if that is configured.
#[test]
fn what_is_stored_may_be_answered_in_place_of_an_error() {
    let provider = MockProvider::start(Rules::default());
    let setup = knowing(Setup::new(), &[settings(&provider, &json!({}))]);
    let app = setup.with("GRANTS__ON_FAILURE", "stale").start();
    let grant = provider.grant();
    let key = save(&app.client(), &grant, 0);
    provider.revoke(&grant.refresh);
    let got = get(&app.client(), &key, 0).expect(200).json();
    assert_eq!(got["AccessToken"], grant.access);
    let reason = &got["FieldProperties"]["AccessToken"]["FieldRight"]["Reason"];
    tell(&format!("the reason: {reason}"));
    assert!(reason.as_str().is_some_and(|reason| !reason.is_empty()), "{got}");
    assert_state(&app, &key, "Dead", Some("invalid_grant"));
}

/// CONTRACT O1, 44: `ExpiresIn` is a number of seconds.
#[test]
fn expires_in_is_checked() {
    let scene = Scene::new(Rules::default(), json!({}));
    let client = scene.app.client();
    for wrong in [json!(-1), json!("3600"), json!(1.5), json!(315_360_001), json!([])] {
        let carrier = json!({"Provider": NAME, "AccessToken": "CANARY-a"});
        let body = json!({"TokenManagementInfo": carrier, "ExpiresIn": wrong});
        let refused = client.post("SaveExternalTokens", &body);
        refused.expect_error(400, "ArgumentException", "ExpiresIn");
    }
    assert_eq!(scene.app.saved_rows(), 0);
}

/// Mistakes in the configuration stop the start. The message names them and contains no secret.
#[test]
fn a_mistake_among_the_providers_stops_the_start() {
    let provider = MockProvider::start(Rules::default());
    let with = |over: Value| settings(&provider, &over);
    let cases = [
        (vec![with(json!({})), with(json!({}))], "name"),
        (vec![with(json!({})), with(json!({"name": "MOCK"}))], "name"),
        (vec![with(json!({"unknown": 1}))], "unknown"),
        (vec![with(json!({"token_endpoint": null}))], "token_endpoint"),
        (vec![with(json!({"issuer": provider.url()}))], "issuer"),
        (vec![with(json!({"token_endpoint": "http://example.com/token"}))], "token_endpoint"),
        (vec![with(json!({"token_endpoint": "https://a:b@example.com/token"}))], "token_endpoint"),
        (vec![with(json!({"client_auth": "magic"}))], "client_auth"),
        (vec![with(json!({"client_secret": null}))], "client_secret"),
        (vec![with(json!({"client_secret_file": "secret"}))], "client_secret"),
        (vec![with(json!({"refresh_before_seconds": -1}))], "refresh_before_seconds"),
        (vec![with(json!({"minimum_seconds": 900}))], "minimum_seconds"),
        (vec![with(json!({"redirect_uris": ["not a url"]}))], "redirect_uris"),
        (vec![with(json!({"tenants": []}))], "tenants"),
    ];
    for (providers, named) in cases {
        let refusal = knowing(Setup::new(), &providers).refusal();
        assert!(refusal.contains(named), "{named}: {refusal}");
        assert!(refusal.contains("grants.providers"), "{refusal}");
    }
    // Two providers of one name, for different tenants.
    let tenants = ["one", "two"].map(|tenant| with(json!({ "tenants": [tenant] })));
    knowing(Setup::new(), &tenants).start();
}
