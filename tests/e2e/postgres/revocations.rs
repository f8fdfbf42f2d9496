//! One server revokes a grant or changes a key while another one refreshes the record.
//!
//! Invariant: the newest tokens are revoked, and no living tokens are lost.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    grants::scene::{assert_lives, get},
    postgres::refreshes::Servers,
    support::{
        app::TestApp,
        client::Answer,
        provider::{Cut, Gate, Kind, Rules},
    },
};

/// Long enough for a call that does not wait.
const A_WHILE: Duration = Duration::from_millis(1000);

fn call(app: &TestApp, operation: &str, key: &str) -> Answer {
    let mut body = json!({ "Key": key });
    if operation == "RevokeGrant" {
        body["Require"] = true.into();
    }
    app.client().post_records(operation, &body)
}

/// The answer to a call to the second server while the first one refreshes the record.
fn while_another_refreshes(servers: &Servers, operation: &str, key: &str) -> Value {
    let hold = servers.provider.hold(Gate::AfterProcessing, 1);
    thread::scope(|scope| {
        let read = scope.spawn(|| get(&servers.apps[0].client(), key, 0));
        hold.wait_for(1);
        let calling = scope.spawn(|| call(&servers.apps[1], operation, key));
        thread::sleep(A_WHILE);
        assert!(!calling.is_finished(), "it waits");
        assert_eq!(servers.provider.count(Kind::Revocation), 0);
        hold.open();
        read.join().expect("no panic").expect(200);
        calling.join().expect("no panic").expect(200).json()
    })
}

/// CONTRACT 58: a refresh that is under way on another server ends first, and its new token is revoked.
#[test]
fn a_revocation_waits_for_the_refresh_of_another_server() {
    let servers = Servers::new(2, Rules::default(), &json!({}));
    let (refresh, key) = servers.save(0);
    let answer = while_another_refreshes(&servers, "RevokeGrant", &key);
    assert_eq!(answer, json!({ "Revoked": true, "Upstream": "Revoked" }));
    let [[token, _]] = &servers.provider.revocations()[..] else { panic!("one revocation") };
    assert_ne!(*token, refresh);
    for app in &servers.apps {
        assert!(app.client().get(&key).is_null());
    }
    assert_eq!(servers.refreshes(), 1);
}

/// CONTRACT 58: no server refreshes a record while its grant is being revoked.
#[test]
fn no_server_refreshes_while_a_grant_is_revoked() {
    let servers = Servers::new(2, Rules::default(), &json!({}));
    let (_, key) = servers.save(0);
    let hold = servers.provider.hold(Gate::AfterReading, 1);
    thread::scope(|scope| {
        let revoking = scope.spawn(|| call(&servers.apps[1], "RevokeGrant", &key));
        hold.wait_for(1);
        let read = scope.spawn(|| get(&servers.apps[0].client(), &key, 0));
        // Longer than the life of a lease that is not renewed.
        thread::sleep(Duration::from_secs(7));
        assert!(!read.is_finished(), "it waits");
        hold.open();
        let answer = revoking.join().expect("no panic").expect(200).json();
        assert_eq!(answer, json!({ "Revoked": true, "Upstream": "Revoked" }));
        assert!(read.join().expect("no panic").expect(200).json().is_null());
    });
    assert_eq!(servers.refreshes(), 0);
}

/// CONTRACT 59: the change of a key waits for the refresh, so that the new tokens are sealed for the new key.
#[test]
fn another_key_waits_for_the_refresh_of_another_server() {
    let servers = Servers::new(2, Rules::default(), &json!({}));
    let (_, key) = servers.save(0);
    let answer = while_another_refreshes(&servers, "Rekey", &key);
    let other = answer.as_str().expect("a key").to_owned();
    assert_eq!(assert_lives(&servers.provider, servers.setup(), &other).generation, 3);
    for app in &servers.apps {
        assert!(app.client().get(&key).is_null());
        assert!(!app.client().get(&other).is_null());
    }
}

/// CONTRACT 59: other servers must expect that a server which was killed during a refresh returns with new tokens. So
/// the record keeps its key until a get has settled the outcome.
#[test]
fn another_key_waits_for_what_a_killed_server_left() {
    let mut servers = Servers::new(2, Rules::default(), &json!({}));
    let (_, key) = servers.save(0);
    let hold = servers.provider.hold(Gate::AfterReading, 1);
    let client = servers.apps[0].client();
    thread::scope(|scope| {
        scope.spawn(|| {
            let body = json!({ "Key": key });
            client.try_post("GetExternalTokens", &body).expect_err("it was killed")
        });
        hold.wait_for(1);
        servers.apps[0].kill();
    });
    hold.cut(Cut::Reset);
    let refused = call(&servers.apps[1], "Rekey", &key);
    refused.expect_error(503, "SoUnavailableException", "");
    // The request was never processed, so the repeat gets the tokens.
    get(&servers.apps[1].client(), &key, 0).expect(200);
    let other = call(&servers.apps[1], "Rekey", &key).expect(200).key();
    assert_eq!(assert_lives(&servers.provider, servers.setup(), &other).generation, 3);
}
