//! A new key for a record (CONTRACT O19, 59).
//!
//! Invariant: the tokens that live are always sealed under the one key that works.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    grants::{
        outages::{assert_no_token_in_files, unsaved},
        scene::{Scene, access_token, end_access_in, get},
    },
    records::idempotency::save_once,
    support::{
        app::{Setup, TestApp, until},
        client::{Answer, Client, to_save},
        master_keys::record,
        provider::{Gate, Rules},
    },
};

const REKEY: &str = "/api/v1/Agents/ExternalTokens/Rekey";

fn rekey(client: &Client, key: &str) -> Answer {
    client.post_records("Rekey", &json!({ "Key": key }))
}

/// Requests a new key under this `Idempotency-Key`.
fn rekey_once(client: &Client, key: &str, once: &str) -> Answer {
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", once)];
    client.request("POST", REKEY, &headers, json!({ "Key": key }).to_string().as_bytes())
}

/// CONTRACT 59, O19: the new key of the record retrieves the tokens, and the old key nothing. The description of the
/// record stays.
#[test]
fn another_key_retrieves_the_tokens_and_the_one_before_nothing() {
    let app = TestApp::new();
    let client = app.client();
    let carrier = json!({
        "Provider": "et", "AccessToken": "CANARY-a", "RefreshToken": "CANARY-r",
        "Claims": "{\"sub\":\"CANARY-s\"}"
    });
    let key = client.save(&carrier);
    let (before, described) = (client.get(&key), client.describe(&json!({ "Key": key })));
    let sealed = |app: &TestApp| {
        let query = format!("SELECT sealed FROM external_tokens WHERE id = {}", record(&key));
        app.setup.database().bytes(&query)
    };
    let blob = sealed(&app);
    let other = rekey(&client, &key).expect(200).key();
    assert_eq!(other[..14], key[..14], "the same id");
    assert_ne!(other, key);
    assert_eq!(client.get(&other), before);
    assert!(client.get(&key).is_null());
    assert!(client.describe(&json!({ "Key": key })).is_null());
    let mut expected = described;
    (expected["Generation"], expected["LastUsed"]) = (json!(2), Value::Null);
    let mut now = client.describe(&json!({ "Key": other }));
    now["LastUsed"].take();
    assert_eq!(now, expected);
    assert_ne!(sealed(&app), blob, "it is sealed under another data key");
    assert!(rekey(&client, &key).expect(200).json().is_null(), "the one before is no key any more");
    assert_eq!(app.saved_rows(), 1);

    let third = rekey(&client, &other).expect(200).key();
    let app = app.stop().start();
    assert_eq!(app.client().access_token(&third).as_deref(), Some("CANARY-a"));
    for old in [&key, &other] {
        assert!(app.client().get(old).is_null());
    }
    app.admin(&["verify"]);
    assert!(app.client().revoke(&json!({ "Key": third })));
    assert!(rekey(&app.client(), &third).expect(200).json().is_null(), "it has ended");
    let log = app.log();
    assert!(![&key, &other, &third].iter().any(|key| log.contains(key.as_str())), "{log}");
}

/// A record with a new key is refreshed as before.
#[test]
fn a_grant_lives_on_under_another_key() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    let client = scene.app.client();
    get(&client, &key, 0).expect(200);
    let other = rekey(&client, &key).expect(200).key();
    assert_eq!(scene.assert_lives(&other).generation, 3);
    end_access_in(&scene.app.setup, &other, -1);
    assert!(scene.provider.is_newest(&access_token(get(&client, &other, 0))));
    assert_eq!(scene.assert_lives(&other).generation, 4);
}

/// CONTRACT 59: a refresh that is under way ends first, so that no new tokens are lost.
#[test]
fn a_refresh_under_way_ends_first() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    let hold = scene.provider.hold(Gate::AfterProcessing, 1);
    let other = thread::scope(|scope| {
        let read = scope.spawn(|| get(&scene.app.client(), &key, 0));
        hold.wait_for(1);
        let rekeying = scope.spawn(|| rekey(&scene.app.client(), &key));
        thread::sleep(Duration::from_millis(500));
        assert!(!rekeying.is_finished(), "it waits");
        hold.open();
        let other = rekeying.join().expect("no panic").expect(200).key();
        read.join().expect("no panic").expect(200);
        other
    });
    assert_eq!(scene.assert_lives(&other).generation, 3);
    assert!(scene.app.client().get(&key).is_null());
    assert_eq!(scene.refreshes(), 1);
}

/// CONTRACT 59: if the refresh takes longer than callers wait, the record keeps its key.
#[test]
fn a_refresh_that_takes_too_long_keeps_the_key() {
    let setup = Setup::new().with("GRANTS__WAIT_SECONDS", "1");
    let provider = crate::support::provider::MockProvider::start(Rules::default());
    let settings = crate::grants::scene::settings(&provider, &json!({}));
    let app = crate::grants::scene::knowing(setup, &[settings]).start();
    let scene = Scene { provider, app };
    let (_, key) = scene.save(0);
    let hold = scene.provider.hold(Gate::AfterProcessing, 1);
    get(&scene.app.client(), &key, 0).expect(503);
    rekey(&scene.app.client(), &key).expect_error(503, "SoUnavailableException", "");
    hold.open();
    until("it is refreshed", || get(&scene.app.client(), &key, 0).status == 200);
    scene.assert_lives(&key);
}

/// CONTRACT 59: new tokens that wait in a file are sealed for the old key. So the key stays until they are in the
/// database.
#[test]
fn unsaved_tokens_keep_the_key() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    let hold = scene.provider.hold(Gate::AfterProcessing, 1);
    thread::scope(|scope| {
        let read = scope.spawn(|| get(&scene.app.client(), &key, 0));
        hold.wait_for(1);
        scene.app.sql("ALTER TABLE external_tokens RENAME TO away");
        hold.open();
        read.join().expect("no panic").expect(503);
    });
    assert_eq!(unsaved(&scene.app.setup), 1);
    rekey(&scene.app.client(), &key).expect_error(503, "SoUnavailableException", "");
    scene.app.sql("ALTER TABLE away RENAME TO external_tokens");
    let mut other = None;
    until("it has another key", || {
        let answer = rekey(&scene.app.client(), &key);
        other = (answer.status == 200).then(|| answer.key());
        other.is_some()
    });
    let other = other.expect("a key");
    assert_eq!(scene.assert_lives(&other).generation, 3);
    until("the file is gone", || unsaved(&scene.app.setup) == 0);
    assert_no_token_in_files(&scene.app);
}

/// CONTRACT 59: if many callers request a new key at once, one gets it, and the others get nothing.
#[test]
fn of_many_at_once_one_gets_another_key() {
    let app = TestApp::new();
    let key = app.client().save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
    let keys: Vec<Value> = thread::scope(|scope| {
        let calls: Vec<_> = (0..20).map(|_| scope.spawn(|| rekey(&app.client(), &key))).collect();
        calls.into_iter().map(|call| call.join().expect("no panic").expect(200).json()).collect()
    });
    let got: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
    let [other] = got[..] else { panic!("{keys:?}") };
    assert_eq!(app.client().access_token(other).as_deref(), Some("CANARY"));
}

/// CONTRACT 42, 43, 59: a repeat under the `Idempotency-Key` is answered with the same key, also to a caller that lost
/// the first answer. With another key in the body it is rejected.
#[test]
fn a_lost_answer_can_be_had_again() {
    let app = TestApp::new();
    let client = app.client();
    let once = "CANARY-rekey-0123456789";
    let key = client.save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
    let other = rekey_once(&client, &key, once).expect(200).key();
    assert_eq!(rekey_once(&client, &key, once).expect(200).key(), other);
    assert_eq!(app.number("SELECT count(*) FROM idempotency_keys"), 1);
    assert!(rekey(&client, &key).expect(200).json().is_null(), "without it there is nothing");
    let second = client.save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
    let refused = rekey_once(&client, &second, once);
    refused.expect_error(422, "InvalidOperationException", "");
    assert_eq!(client.access_token(&second).as_deref(), Some("CANARY"));
    app.add_user("bob");
    let bob = client.with_password("bob", "CANARY-password");
    assert!(rekey_once(&bob, &key, once).expect(200).json().is_null(), "it is the caller's own");
    let app = app.stop().start();
    assert_eq!(rekey_once(&app.client(), &key, once).expect(200).key(), other);
    assert_eq!(app.client().access_token(&other).as_deref(), Some("CANARY"));
    rekey_once(&app.client(), &other, "short").expect(400);

    // Many repeats at once get one key.
    let once = "CANARY-rekey-9876543210";
    let keys: Vec<String> = thread::scope(|scope| {
        let call = || rekey_once(&app.client(), &other, once).expect(200).key();
        let calls: Vec<_> = (0..10).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().expect("no panic")).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(app.client().access_token(&keys[0]).as_deref(), Some("CANARY"));
}

/// CONTRACT 59: a repeated save is answered with the key that the save made.
#[test]
fn a_save_that_is_sent_again_has_the_key_before() {
    let app = TestApp::new();
    let (once, body) = ("CANARY-save-0123456789", to_save("CANARY"));
    let key = save_once(&app.client(), once, &body).expect(200).key();
    let other = rekey(&app.client(), &key).expect(200).key();
    assert_eq!(save_once(&app.client(), once, &body).expect(200).key(), key);
    assert!(app.client().get(&key).is_null());
    assert_eq!(app.client().access_token(&other).as_deref(), Some("CANARY"));
}

/// CONTRACT 59: the owner and administrators may change the key. Another holder of the key is rejected, and another
/// tenant gets null.
#[test]
fn who_may_change_a_key() {
    let app = Setup::new().with("TENANTS", "path").start();
    app.add_user("ann");
    app.add_user("bob");
    let others = ["user", "add", "boss", "--tenant", "others", "--administrator"];
    app.admin(&[&others[..], &["--password-stdin"]].concat());
    let of = |login: &str| app.client().with_password(login, "CANARY-password");
    let elsewhere = Client::new(&app.url.replace("/default", "/others"));
    let elsewhere = elsewhere.with_password("boss", "CANARY-password");
    for client in [of("ann"), app.client()] {
        let key = of("ann").save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
        let refused = rekey(&of("bob"), &key);
        refused.expect_error(403, "SoSentryException", "give them another key");
        assert!(rekey(&elsewhere, &key).expect(200).json().is_null());
        let other = rekey(&client, &key).expect(200).key();
        assert_eq!(of("ann").access_token(&other).as_deref(), Some("CANARY"));
        assert_eq!(of("bob").access_token(&key), None);
    }
    assert!(rekey(&of("ann"), "nam").expect(200).json().is_null());
    rekey(&of("ann"), "lk_cut").expect_error(400, "ArgumentException", "lk_");
    let missing = app.client().post_records("Rekey", &json!({}));
    missing.expect_error(400, "ArgumentException", "Key");
}
