//! The expiry of records, the recording of their uses, and the work of the sweeper (CONTRACT 40, 41).
//!
//! Invariant: an expired record is answered with null from that moment, before and after the sweep.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    Database,
    records::clock,
    support::{
        app::{Setup, TestApp, until},
        client::Client,
    },
};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// Longer than the server takes to write uses.
const WRITTEN: Duration = Duration::from_millis(2500);

const PROVIDERS: &str = r#"[{"provider":"age","expire_after_days":30},
    {"provider":"idle","expire_unused_after_days":10},
    {"provider":"both","expire_after_days":30,"expire_unused_after_days":10},
    {"provider":"none"}]"#;

fn save(client: &Client, provider: &str) -> String {
    client.save(&json!({"Provider": provider, "AccessToken": "CANARY"}))
}

fn record(key: &str) -> i64 {
    model::RetrievalKey::parse(key).expect("key").record().as_i64()
}

/// A number in a key's row; -1 for NULL.
fn column(app: &TestApp, key: &str, column: &str) -> i64 {
    let id = record(key);
    app.number(&format!("SELECT coalesce({column}, -1) FROM external_tokens WHERE id = {id}"))
}

fn set(app: &TestApp, key: &str, change: &str) {
    let sql = format!("UPDATE external_tokens SET {change} WHERE id = {}", record(key));
    assert_eq!(app.sql(&sql), 1, "{sql}");
}

fn erased(app: &TestApp) -> i64 {
    app.number(
        "SELECT count(*) FROM external_tokens WHERE ended IS NOT NULL AND kek_id = '' AND \
         length(wrapped_dek) = 0 AND length(sealed) = 0",
    )
}

fn describe(app: &TestApp, key: &str) -> Value {
    app.client().describe(&json!({ "Key": key }))
}

/// Whether a time is about equal to the expected one.
fn is_about(found: i64, expected: i64) -> bool {
    (found - expected).abs() < 60 * SECOND
}

/// CONTRACT 40: the limits of the provider, or else the limits for all others.
#[test]
fn a_record_expires_as_its_provider_is_configured() {
    let setup = Setup::new().with("RECORDS__PROVIDERS", PROVIDERS);
    let app = setup.with("RECORDS__EXPIRE_AFTER_DAYS", "365").start();
    for (provider, days) in [
        ("age", Some(30)),
        ("idle", Some(10)),
        ("both", Some(10)),
        ("none", None),
        ("x", Some(365)),
    ] {
        let key = save(&app.client(), provider);
        let expires = column(&app, &key, "expires - created");
        assert_eq!(expires, days.map_or(-1, |days| days * DAY), "{provider}");
        assert_eq!(describe(&app, &key)["Expires"].is_string(), days.is_some(), "{provider}");
    }
    let plain = TestApp::new();
    let key = save(&plain.client(), "age");
    assert_eq!(column(&plain, &key, "expires"), -1, "nothing expires by default");
}

/// CONTRACT 40, 37: null from that moment, without a sweep. The tokens are erased once a get has found the record
/// expired.
#[test]
fn what_has_expired_is_null_at_once() {
    let app = Setup::new().with("RECORDS__SWEEP_SECONDS", "100000").start();
    let client = app.client();
    let (key, shown, living) = (save(&client, "et"), save(&client, "et"), save(&client, "et"));
    let now = Database::NOW;
    for key in [&key, &shown] {
        set(&app, key, &format!("expires = {now} - {SECOND}"));
    }
    set(&app, &living, &format!("expires = {now} + {HOUR}"));
    let told = describe(&app, &key);
    assert!(told["Ended"].is_string() && told["Ended"] == told["Expires"], "{told}");
    let page = client.post_records("List", &json!({})).expect(200).json();
    assert_eq!(page["Items"].as_array().map(Vec::len), Some(1), "{page}");
    assert!(!client.revoke(&json!({ "Key": key })) && !client.revoke(&json!({ "Id": key[3..14] })));
    assert_eq!(erased(&app), 1, "revoking erases it all the same");
    assert!(client.get(&shown).is_null());
    assert_eq!(erased(&app), 2);
    assert_eq!(column(&app, &shown, "ended"), column(&app, &shown, "expires"));
    assert_eq!(client.access_token(&living).as_deref(), Some("CANARY"));
    assert!(client.get(&key).is_null());
}

/// CONTRACT 40: a use is written soon, at most once an hour, and extends a record with an idle limit. It does not count
/// as a change of the record.
#[test]
fn uses_are_written_and_let_a_record_live_on() {
    let app = Setup::new().with("RECORDS__PROVIDERS", PROVIDERS).start();
    let client = app.client();
    let now = app.number(&format!("SELECT {}", Database::NOW));
    let [age, idle, both, none] = ["age", "idle", "both", "none"].map(|name| save(&client, name));
    // As if they had been saved 25 days ago, and used a day before they expire.
    let back = 25 * DAY;
    for key in [&age, &idle, &both, &none] {
        set(&app, key, &format!("created = created - {back}, updated = updated - {back}"));
    }
    for key in [&idle, &both] {
        set(&app, key, &format!("expires = {} + {DAY}", Database::NOW));
    }
    set(&app, &age, &format!("expires = created + {}", 30 * DAY));
    for key in [&age, &idle, &both, &none] {
        assert_eq!(describe(&app, key)["LastUsed"], Value::Null);
    }
    thread::sleep(WRITTEN);
    assert_eq!(column(&app, &none, "last_used"), -1, "to be described is no use");
    for key in [&age, &idle, &both, &none] {
        assert_eq!(client.access_token(key).as_deref(), Some("CANARY"));
    }
    for (key, expires) in
        [(&age, now + 5 * DAY), (&idle, now + 10 * DAY + HOUR), (&both, now + 5 * DAY), (&none, -1)]
    {
        until("the use is written", || column(&app, key, "last_used") > 0);
        assert!(is_about(column(&app, key, "last_used"), now));
        let found = column(&app, key, "expires");
        assert!(is_about(found, expires), "{found} {expires}");
        assert!(is_about(column(&app, key, "updated"), now - back));
        assert!(describe(&app, key)["LastUsed"].is_string());
    }

    // A use less than an hour after the last one is not written; a later use is.
    let use_after = |ago: i64| {
        set(&app, &none, &format!("last_used = {} - {ago}", Database::NOW));
        let before = column(&app, &none, "last_used");
        assert_eq!(client.access_token(&none).as_deref(), Some("CANARY"));
        before
    };
    let before = use_after(HOUR / 2);
    thread::sleep(WRITTEN);
    assert_eq!(column(&app, &none, "last_used"), before);
    let before = use_after(2 * HOUR);
    until("the use is written", || column(&app, &none, "last_used") != before);
    assert_eq!(app.number("SELECT count(*) FROM external_tokens WHERE ended IS NOT NULL"), 0);
}

/// CONTRACT 40: changed limits apply from the next written use, and end no record at once.
#[test]
fn limits_that_were_changed_count_from_the_next_use() {
    let app = Setup::new().with("RECORDS__PROVIDERS", PROVIDERS).start();
    let now = app.number(&format!("SELECT {}", Database::NOW));
    let [idle, both, age] = ["idle", "both", "age"].map(|name| save(&app.client(), name));
    for key in [&idle, &both, &age] {
        set(&app, key, &format!("created = created - {}", 25 * DAY));
    }
    set(&app, &age, &format!("expires = {now} + {}", 5 * DAY));
    let changed = r#"[{"provider":"idle"},{"provider":"both","expire_after_days":20},
        {"provider":"age","expire_after_days":60}]"#;
    let app = app.stop().with("RECORDS__PROVIDERS", changed).start();
    for (key, expires) in [(&idle, -1), (&both, now + 10 * DAY), (&age, now + 35 * DAY)] {
        assert_eq!(app.client().access_token(key).as_deref(), Some("CANARY"));
        until("the use is written", || column(&app, key, "last_used") > 0);
        let found = column(&app, key, "expires");
        assert!(is_about(found, expires), "{found} {expires}");
    }
}

/// CONTRACT 40, 6: a caller that may not see the tokens does not use them. Uses that are pending at a shutdown are
/// written. A use does not revive a record that was revoked meanwhile.
#[test]
fn only_a_get_that_gets_is_a_use() {
    let app = Setup::new().with("AUTH__RETRIEVAL", "owner").start();
    app.add_user("bob");
    let (key, revoked) = (save(&app.client(), "et"), save(&app.client(), "et"));
    let bob = app.client().with_password("bob", "CANARY-password");
    assert_eq!(bob.get(&key)["TableRight"]["Mask"], "None");
    thread::sleep(WRITTEN);
    assert_eq!(column(&app, &key, "last_used"), -1);
    for key in [&key, &revoked] {
        assert_eq!(app.client().access_token(key).as_deref(), Some("CANARY"));
    }
    assert!(app.client().revoke(&json!({ "Key": revoked })));
    let app = app.stop().start();
    assert!(column(&app, &key, "last_used") > 0);
    assert!(app.client().get(&revoked).is_null());
    assert_eq!(erased(&app), 1);
}

/// Makes this number of copies of a record, with ids of their own.
fn copy(app: &TestApp, key: &str, count: usize) {
    let copied = app.sql(&format!(
        "INSERT INTO external_tokens (id, tenant, owner, provider, generation, key_digest, kek_id, \
         wrapped_dek, sealed, created, updated, expires) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL \
         SELECT i + 1 FROM n WHERE i < {count}) SELECT id + i, tenant, owner, provider, 1, \
         key_digest, kek_id, wrapped_dek, sealed, created, updated, expires \
         FROM external_tokens, n WHERE id = {}",
        record(key)
    ));
    assert_eq!(copied, count);
}

/// CONTRACT 41: expired records are erased without a call, records that ended long ago are removed, and no others are.
#[test]
fn the_sweeper_erases_and_then_removes() {
    let setup = Setup::new().with("RECORDS__SWEEP_SECONDS", "1");
    let app = setup.with("RECORDS__REMOVE_AFTER_DAYS", "2").start();
    let client = app.client();
    let [expired, old, living, forever] = ["a", "b", "c", "d"].map(|name| save(&client, name));
    let now = Database::NOW;
    set(&app, &living, &format!("expires = {now} + {DAY}"));
    set(&app, &old, &format!("expires = {now} - {}", 2 * DAY + SECOND));
    set(&app, &expired, &format!("expires = {now} - {DAY}"));
    let tickets = [app.ticket("tje0"), app.ticket("tje0")];
    let first = "(SELECT min(id) FROM credentials)";
    app.sql(&format!("UPDATE credentials SET expires = {now} - {SECOND} WHERE id = {first}"));
    until("the ticket that expired is removed", || {
        app.number("SELECT count(*) FROM credentials") == tickets.len() as i64 - 1
    });
    // More than one batch.
    copy(&app, &expired, 600);
    app.sql(&format!(
        "INSERT INTO idempotency_keys (digest, fingerprint, sealed_key, expires) \
         SELECT key_digest, key_digest, key_digest, {now} + {HOUR} FROM external_tokens WHERE id = {} \
         UNION ALL SELECT wrapped_dek, key_digest, key_digest, {now} - {SECOND} FROM external_tokens \
         WHERE id = {}",
        record(&living),
        record(&living)
    ));
    until("all that expired is erased", || erased(&app) == 601);
    let rows = "SELECT count(*) FROM external_tokens";
    until("the old one is removed", || app.number(rows) == 603);
    until("so is the key", || app.number("SELECT count(*) FROM idempotency_keys") == 1);
    assert_eq!(column(&app, &expired, "ended"), column(&app, &expired, "expires"));
    assert_eq!(describe(&app, &old), Value::Null);
    assert!(describe(&app, &expired)["Ended"].is_string());
    for key in [&living, &forever] {
        assert_eq!(client.access_token(key).as_deref(), Some("CANARY"));
    }

    assert!(client.revoke(&json!({ "Key": forever })));
    let setup = app.stop().with("RECORDS__REMOVE_AFTER_DAYS", "0");
    let app = setup.start();
    until("what ended is removed", || app.number(rows) == 1);
    assert_eq!(app.client().access_token(&living).as_deref(), Some("CANARY"));
    assert_eq!(describe(&app, &forever), Value::Null);
}

/// CONTRACT 41: a sweep that is killed half-way leaves each record either whole or erased, and the next sweep
/// continues.
#[test]
fn a_sweep_that_is_killed_is_done_again() {
    const COUNT: usize = 20_000;
    let app = Setup::new().with("RECORDS__SWEEP_SECONDS", "100000").start();
    let (key, living) = (save(&app.client(), "et"), save(&app.client(), "et"));
    set(&app, &key, &format!("expires = {} - {SECOND}", Database::NOW));
    copy(&app, &key, COUNT);
    let mut app = app.stop().start();
    until("the first sweep began", || erased(&app) > 0);
    app.kill();
    let done = erased(&app);
    assert!(done < COUNT as i64, "it was too fast to be killed: {done}");
    let whole = app.number(
        "SELECT count(*) FROM external_tokens WHERE ended IS NULL AND kek_id <> '' AND \
         length(wrapped_dek) > 0 AND length(sealed) > 0",
    );
    assert_eq!(done + whole, COUNT as i64 + 2);
    let app = app.setup.clone().start();
    until("all is erased", || erased(&app) == COUNT as i64 + 1);
    assert_eq!(app.client().access_token(&living).as_deref(), Some("CANARY"));
}

/// CONTRACT 40: a record that was answered as expired, or swept, stays so when the clock is set back. Other records
/// live on.
#[test]
fn a_clock_that_is_set_back_revives_nothing() {
    let Some(setup) = clock::with_a_clock("expiry under a clock that jumps") else { return };
    let setup = setup.with("RECORDS__PROVIDERS", PROVIDERS).with("RECORDS__SWEEP_SECONDS", "1");
    let setup = setup.with("RECORDS__REMOVE_AFTER_DAYS", "1000");
    let app = setup.start();
    let client = app.client();
    let [age, swept, none] = ["age", "both", "none"].map(|name| save(&client, name));
    let is_kept = |key: &str| client.access_token(key).is_some();
    clock::set(&setup, "+9d");
    assert!(is_kept(&age) && is_kept(&none));
    clock::set(&setup, "+11d");
    until("it is swept", || column(&app, &swept, "ended") > 0);
    clock::set(&setup, "+31d");
    assert!(!is_kept(&age));
    for offset in ["+0", "-1d", "+12d"] {
        clock::set(&setup, offset);
        assert!(!is_kept(&age) && !is_kept(&swept), "{offset}");
        assert!(is_kept(&none), "{offset}");
    }
}

/// CONTRACT 41: after a sweep, neither the sealed tokens nor their data key are left in the files.
#[test]
fn what_was_swept_is_in_no_file() {
    let app = Setup::new().with("RECORDS__SWEEP_SECONDS", "1").start();
    let key = save(&app.client(), "et");
    let part = |column: &str| {
        let query = format!("SELECT {column} FROM external_tokens WHERE id = {}", record(&key));
        app.setup.database().bytes(&query)
    };
    let gone = [part("sealed"), part("wrapped_dek")];
    let found = |app: &TestApp| gone.iter().filter(|part| !app.files_with(part).is_empty()).count();
    let app = app.stop().start();
    assert_eq!(found(&app), 2, "they are looked for rightly");
    set(&app, &key, &format!("expires = {} - {SECOND}", Database::NOW));
    until("it is swept", || erased(&app) == 1);
    let app = app.stop().start();
    app.setup.database().compact();
    assert_eq!(found(&app), 0);
}
