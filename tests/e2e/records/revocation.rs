//! Revocation of records (CONTRACT O11, 39).
//!
//! Invariant: a revoked record is never answered again, and nothing of it can be opened.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rstest::rstest;
use serde_json::json;

use crate::support::{
    app::{Setup, TestApp},
    client::Client,
};

/// The number of calls at once.
const CLIENTS: usize = 100;

fn save(client: &Client) -> String {
    client.save(&json!({"Provider": "et", "AccessToken": "CANARY", "RefreshToken": "CANARY"}))
}

/// The number of rows that have neither a data key nor tokens.
fn erased(app: &TestApp) -> i64 {
    app.number(
        "SELECT count(*) FROM external_tokens WHERE ended IS NOT NULL AND kek_id = '' AND \
         length(wrapped_dek) = 0 AND length(sealed) = 0",
    )
}

/// CONTRACT 39, 40, O11: true once, then false. From then on a get returns null, also after a restart. The record is
/// listed as ended, and erased in the database.
#[rstest]
#[case::by_key(|key: &str| json!({ "Key": key }))]
#[case::by_id(|key: &str| json!({ "Id": key[3..14] }))]
fn what_is_revoked_is_gone_for_good(#[case] which: fn(&str) -> serde_json::Value) {
    let app = TestApp::new();
    let client = app.client();
    let (key, other) = (save(&client), save(&client));
    let updated = client.describe(&which(&key))["Updated"].take();
    assert!(client.revoke(&which(&key)));
    assert!(client.get(&key).is_null());
    assert_eq!(erased(&app), 1);

    // A record that has just expired may still live by another server's clock.
    let expired = save(&client);
    let id = model::RetrievalKey::parse(&expired).expect("key").record().as_i64();
    app.sql(&format!("UPDATE external_tokens SET expires = created WHERE id = {id}"));
    assert!(!client.revoke(&which(&expired)), "it did not live by this one");
    assert_eq!(erased(&app), 2);
    assert!(!client.revoke(&which(&key)));
    let told = client.describe(&which(&key));
    assert!(told["Ended"].is_string(), "{told}");
    assert_eq!(told["Updated"], updated);
    let listed = |include_ended: bool| {
        let page = client.post_records("List", &json!({ "IncludeEnded": include_ended }));
        page.expect(200).json()["Items"].as_array().expect("items").len()
    };
    assert_eq!((listed(false), listed(true)), (1, 3));
    assert_eq!(client.access_token(&other).as_deref(), Some("CANARY"));
    let app = app.stop().start();
    assert!(app.client().get(&key).is_null());
    assert_eq!(app.client().access_token(&other).as_deref(), Some("CANARY"));
    assert!(!app.client().revoke(&json!({"Id": "00000000000"})), "unknown");
}

/// CONTRACT 6, 39: the owner and administrators may revoke. Another holder of the key is rejected. Another holder of
/// the id, and another tenant, get false.
#[rstest]
#[case("key")]
#[case("owner")]
fn who_may_revoke(#[case] retrieval: &str) {
    let setup = Setup::new().with("AUTH__RETRIEVAL", retrieval).with("TENANTS", "path");
    let app = setup.start();
    app.add_user("ann");
    app.add_user("bob");
    app.admin(&[
        "user",
        "add",
        "boss",
        "--tenant",
        "others",
        "--administrator",
        "--password-stdin",
    ]);
    let of = |login: &str| app.client().with_password(login, "CANARY-password");
    let elsewhere = Client::new(&app.url.replace("/default", "/others"));
    let elsewhere = elsewhere.with_password("boss", "CANARY-password");
    for client in [of("ann"), app.client()] {
        for is_by_id in [false, true] {
            let key = save(&of("ann"));
            let (by_key, by_id) = (json!({ "Key": key }), json!({ "Id": key[3..14] }));
            assert!(!of("bob").revoke(&by_id));
            assert!(!elsewhere.revoke(&by_id) && !elsewhere.revoke(&by_key));
            let refused = of("bob").post_records("Revoke", &by_key);
            refused.expect_error(403, "SoSentryException", "Only the owner of these tokens");
            assert_eq!(of("ann").access_token(&key).as_deref(), Some("CANARY"), "it lives");
            assert!(client.revoke(if is_by_id { &by_id } else { &by_key }));
            assert!(of("ann").get(&key).is_null());
            assert!(!of("bob").revoke(&by_key), "there is nothing to refuse any more");
        }
    }
}

/// CONTRACT 39: none of a hundred clients that get all the time gets the tokens after the revocation was answered. Of a
/// hundred that revoke at once, one gets true.
#[test]
fn no_get_that_begins_after_the_revocation_finds_anything() {
    let app = TestApp::new();
    for _ in 0..3 {
        let key = save(&app.client());
        let is_revoked = AtomicBool::new(false);
        let all_got = Barrier::new(CLIENTS + 1);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let client = app.client();
                let (is_revoked, all_got, key) = (&is_revoked, &all_got, &key);
                scope.spawn(move || {
                    assert!(client.access_token(key).is_some());
                    all_got.wait();
                    loop {
                        let must_be_null = is_revoked.load(Ordering::SeqCst);
                        let token = client.access_token(key);
                        assert!(!(must_be_null && token.is_some()), "it was revoked");
                        if token.is_none() && must_be_null {
                            return;
                        }
                    }
                });
            }
            all_got.wait();
            assert!(app.client().revoke(&json!({ "Key": key })));
            is_revoked.store(true, Ordering::SeqCst);
        });
    }
    let key = save(&app.client());
    let barrier = Barrier::new(CLIENTS);
    let revoked = thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    let client = app.client();
                    barrier.wait();
                    client.revoke(&json!({ "Id": key[3..14] }))
                })
            })
            .collect();
        let outcomes = workers.into_iter().map(|worker| worker.join().expect("no panic"));
        outcomes.filter(|was_revoked| *was_revoked).count()
    });
    assert_eq!(revoked, 1);
}

/// CONTRACT 39: neither the sealed tokens nor their data key are left in the files.
#[test]
fn what_is_revoked_is_in_no_file() {
    let app = TestApp::new();
    let long = "CANARY".repeat(3000);
    let keys =
        [save(&app.client()), app.client().save(&json!({"Provider": "p", "AccessToken": long}))];
    let neighbour = save(&app.client());
    let mut gone = Vec::new();
    for key in &keys {
        let id = model::RetrievalKey::parse(key).expect("key").record().as_i64();
        for column in ["sealed", "wrapped_dek"] {
            let query = format!("SELECT {column} FROM external_tokens WHERE id = {id}");
            gone.push(app.setup.database().bytes(&query));
        }
    }
    // The end of a blob that spans pages is on another page than its beginning.
    let parts = |blob: &[u8]| [blob[..40].to_vec(), blob[blob.len() - 40..].to_vec()];
    let gone: Vec<Vec<u8>> = gone.iter().flat_map(|blob| parts(blob)).collect();
    let found = |app: &TestApp| gone.iter().filter(|part| !app.files_with(part).is_empty()).count();
    let app = app.stop().start();
    assert_eq!(found(&app), gone.len(), "they are looked for rightly");
    for key in &keys {
        assert!(app.client().revoke(&json!({ "Key": key })));
    }
    let app = app.stop().start();
    app.setup.database().compact();
    assert_eq!(found(&app), 0);
    assert_eq!(app.client().access_token(&neighbour).as_deref(), Some("CANARY"));
}
