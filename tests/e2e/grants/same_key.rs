//! New tokens under an existing key: a user connects again, or a caller replaces the tokens.

use std::thread;

use serde_json::{Value, json};

use crate::{
    grants::{
        connect::{authorize, connect, consent, exchange},
        exchange::discovering,
        scene::{
            NAME, access_token, assert_lives, assert_state, carrier, describe, end_access_in, get,
            held, refresh,
        },
    },
    support::{
        app::{TestApp, until},
        client::Client,
        provider::{Cut, Gate, Kind, Reply, Rules, Turn},
    },
};

const PATH: &str = "/api/v1/Agents/User/ExchangeCodeAndSaveTokens";

/// CONTRACT 57: a dead grant lives again under the same key.
#[test]
fn connecting_again_keeps_the_key() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    provider.revoke(held(&app.setup, &key).refresh.as_deref().expect("a refresh token"));
    end_access_in(&app.setup, &key, -1);
    get(&app.client(), &key, 0).expect_error(424, "SoGrantException", NAME);
    assert_state(&app, &key, "Dead", Some("invalid_grant"));
    let again = connect(&app, &provider, &json!({ "Key": key }));
    assert_eq!(again.expect(200).key(), key);
    assert_state(&app, &key, "Live", None);
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 2);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_eq!(app.saved_rows(), 1);
    // It is refreshed like any other.
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 3);
}

/// CONTRACT 57: some providers send a refresh token only with the first consent; it is kept.
#[test]
fn connecting_again_without_a_refresh_token_keeps_the_one_that_is_there() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let before = held(&app.setup, &key);
    provider.set(|rules| rules.answer = json!({"refresh_token": null}));
    connect(&app, &provider, &json!({ "Key": key })).expect(200);
    let after = held(&app.setup, &key);
    assert_eq!((after.generation, &after.refresh), (2, &before.refresh));
    assert_ne!(after.access, before.access);
    provider.set(|rules| rules.answer = json!({}));
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_lives(&provider, &app.setup, &key);
}

/// CONTRACT 58: if a user connects again while the old grant is being revoked, the new grant is kept.
#[test]
fn a_revocation_does_not_end_what_it_did_not_revoke() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let hold = provider.hold(Gate::AfterProcessing, 1);
    let revoking = thread::spawn({
        let (client, key) = (app.client(), key.clone());
        move || client.post_records("RevokeGrant", &json!({"Key": key, "Require": true}))
    });
    hold.wait_for(1);
    connect(&app, &provider, &json!({ "Key": key })).expect(200);
    hold.open();
    let revoked = revoking.join().expect("no panic").expect(200).json();
    assert_eq!(revoked, json!({"Revoked": false, "Upstream": "Failed"}));
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 2);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
}

/// CONTRACT 57: a state for one record is not valid for another record, and not for a new one.
#[test]
fn a_state_names_its_record() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let keys = [(); 2].map(|()| connect(&app, &provider, &json!({})).expect(200).key());
    let asked = authorize(&app.client(), &json!({ "Key": keys[0] })).expect(200).json();
    let mut body = consent(&provider, &asked);
    for other in [json!(keys[1]), Value::Null] {
        body["Key"] = other;
        exchange(&app.client(), &body).expect_error(400, "ArgumentException", "State");
    }
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (2, 2));
}

/// CONTRACT 57: another account cannot take over a key, and the record does not change.
#[test]
fn another_user_does_not_take_over_a_record() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let before = held(&app.setup, &key);
    provider.set(|rules| rules.id_claims = json!({"sub": "another"}));
    let refused = connect(&app, &provider, &json!({ "Key": key }));
    refused.expect_error(409, "SoConflictException", NAME);
    assert_eq!(held(&app.setup, &key), before);
    assert_lives(&provider, &app.setup, &key);
}

/// CONTRACT 57: only the owner and administrators may connect again, and only at the record's provider.
#[test]
fn a_record_is_connected_again_by_its_owner_at_its_provider() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    app.add_user("bob");
    let bob = app.client().with_password("bob", "CANARY-password");
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let foreign = app.client().save(&of_et("of another provider"));
    for client in [&bob, &app.client()] {
        let is_owner = !std::ptr::eq(client, &bob);
        let asked = authorize(client, &json!({})).expect(200).json();
        let mut body = consent(&provider, &asked);
        body["State"] = Value::Null;
        body["Key"] = if is_owner { foreign.as_str() } else { key.as_str() }.into();
        let refused = exchange(client, &body);
        let over = json!({ "Key": body["Key"] });
        let not_led = authorize(client, &over);
        for refused in [refused, not_led] {
            match is_owner {
                true => refused.expect_error(400, "ArgumentException", "Provider"),
                false => refused.expect_error(403, "SoSentryException", "owner"),
            };
        }
    }
    assert_eq!(provider.count(Kind::Exchange), 1);
    assert_lives(&provider, &app.setup, &key);
}

/// CONTRACT 57: a user connects again during a refresh: one generation is kept, and it is the user's.
#[test]
fn a_refresh_that_ends_late_does_not_undo_connecting_again() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    end_access_in(&app.setup, &key, -1);
    for (generation, cut) in [(2, false), (3, true)] {
        let hold = provider.hold(Gate::AfterProcessing, 1);
        let reader = thread::spawn({
            let (client, key) = (app.client(), key.clone());
            move || get(&client, &key, 0)
        });
        hold.wait_for(1);
        connect(&app, &provider, &json!({ "Key": key })).expect(200);
        if cut {
            provider.next([Turn::Say(Reply::error(400, "invalid_grant"))]);
            hold.cut(Cut::Reset);
        } else {
            hold.open();
        }
        assert!(provider.is_newest(&access_token(reader.join().expect("no panic"))));
        assert_eq!(assert_lives(&provider, &app.setup, &key).generation, generation);
        assert_state(&app, &key, "Live", None);
        end_access_in(&app.setup, &key, -1);
    }
    until("no request is under way", || describe(&app, &key)["GrantState"] == "Live");
}

/// CONTRACT 42, 57: a repeat under its `Idempotency-Key` returns the key, and sends nothing.
#[test]
fn connecting_again_can_be_repeated() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let asked = authorize(&app.client(), &json!({ "Key": key })).expect(200).json();
    let mut body = consent(&provider, &asked);
    body["Key"] = key.as_str().into();
    let send = |body: &Value| {
        let headers =
            [("Content-Type", "application/json"), ("Idempotency-Key", "CANARY-idempotency-1")];
        app.client().request("POST", PATH, &headers, body.to_string().as_bytes())
    };
    for _ in 0..2 {
        assert_eq!(send(&body).expect(200).key(), key);
    }
    body["Key"] = Value::Null;
    body["State"] = Value::Null;
    let other = send(&body);
    assert!((400..500).contains(&other.status), "{other:?}");
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (2, 1));
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 2);
}

/// CONTRACT O14, 56: new tokens under the same key, which are refreshed from then on.
#[test]
fn tokens_are_replaced_under_their_key() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    provider.revoke(held(&app.setup, &key).refresh.as_deref().expect("a refresh token"));
    end_access_in(&app.setup, &key, -1);
    get(&app.client(), &key, 0).expect(424);
    let grant = provider.grant();
    assert_eq!(replace(&app.client(), &key, &carrier(&grant.access, &grant.refresh), 3600), "true");
    assert_eq!(access_token(get(&app.client(), &key, 0)), grant.access);
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 2);
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_lives(&provider, &app.setup, &key);
    assert_state(&app, &key, "Live", None);
}

/// A carrier of a provider that is not configured.
fn of_et(access: &str) -> Value {
    json!({ "Provider": "et", "AccessToken": access })
}

fn replace(client: &Client, key: &str, carrier: &Value, expires_in: i64) -> String {
    let body = json!({ "Key": key, "TokenManagementInfo": carrier, "ExpiresIn": expires_in });
    client.post_records("Replace", &body).expect(200).body
}

/// CONTRACT 56: a refresh came before a caller that names the previous generation: a 409, and the living tokens stay.
#[test]
fn a_generation_that_has_passed_is_not_replaced() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    refresh(&app.client(), &key, None).expect(200);
    let grant = provider.grant();
    let body = |generation: Value| {
        json!({
            "Key": key, "TokenManagementInfo": carrier(&grant.access, &grant.refresh),
            "Generation": generation
        })
    };
    let refused = app.client().post_records("Replace", &body(json!(1)));
    refused.expect_error(409, "SoConflictException", "Generation");
    assert_lives(&provider, &app.setup, &key);
    for wrong in [json!(0), json!(-1), json!(1_u64 << 40), json!("two")] {
        let refused = app.client().post_records("Replace", &body(wrong));
        refused.expect_error(400, "ArgumentException", "Generation");
    }
    app.client().post_records("Replace", &body(json!(2))).expect(200);
    assert_eq!(held(&app.setup, &key).access.as_deref(), Some(grant.access.as_str()));
}

/// CONTRACT 56: the permission to replace, and the accepted carriers.
#[test]
fn tokens_are_replaced_by_their_owner_alone() {
    let app = TestApp::new();
    app.add_user("bob");
    let bob = app.client().with_password("bob", "CANARY-password");
    let key = bob.save(&of_et("first"));
    let mine = app.client().save(&of_et("mine"));
    let new = of_et("second");
    let ask = |client: &Client, key: &str, carrier: &Value| {
        client.post_records("Replace", &json!({ "Key": key, "TokenManagementInfo": carrier }))
    };
    ask(&bob, &mine, &new).expect_error(403, "SoSentryException", "owner");
    assert_eq!(app.client().access_token(&mine).as_deref(), Some("mine"));
    ask(&bob, &key, &json!({"Provider": "another", "AccessToken": "x"})).expect_error(
        400,
        "ArgumentException",
        "Provider",
    );
    ask(&bob, &key, &json!({"Provider": new["Provider"]})).expect(400);
    assert_eq!(bob.access_token(&key).as_deref(), Some("first"));
    assert_eq!(ask(&bob, &key, &new).expect(200).body, "true");
    assert_eq!(bob.access_token(&key).as_deref(), Some("second"));
    // The sample login is an administrator.
    assert_eq!(ask(&app.client(), &key, &new).expect(200).body, "true");
    assert!(bob.revoke(&json!({ "Key": key })));
    assert_eq!(ask(&bob, &key, &new).expect(200).body, "false");
    assert_eq!(bob.access_token(&key), None);
    assert_eq!(ask(&bob, "foreign", &new).expect(200).body, "false");
}

/// An answer to a refresh that arrives after the tokens were replaced is ignored.
#[test]
fn a_refresh_that_ends_late_does_not_undo_a_replacement() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    end_access_in(&app.setup, &key, -1);
    let hold = provider.hold(Gate::AfterProcessing, 1);
    let reader = thread::spawn({
        let (client, key) = (app.client(), key.clone());
        move || get(&client, &key, 0)
    });
    hold.wait_for(1);
    let grant = provider.grant();
    assert_eq!(replace(&app.client(), &key, &carrier(&grant.access, &grant.refresh), 3600), "true");
    hold.open();
    assert_eq!(access_token(reader.join().expect("no panic")), grant.access);
    let held = assert_lives(&provider, &app.setup, &key);
    assert_eq!((held.generation, held.access.as_deref()), (2, Some(grant.access.as_str())));
}
