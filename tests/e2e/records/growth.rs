//! Data that callers add has a limit, and is removed in batches.
//!
//! Invariant: no test needs many rows to test a batch. Some ten thousand rows stand for millions.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::{
    Database,
    support::{
        app::{Setup, TestApp, until},
        client::to_save,
        issuer::{self, Issuer},
    },
};

const CURRENT_TOKEN: &str = "/api/v1/User/currentToken";

/// The start of a query that has the numbers from 1 to `count` in `n(i)`.
fn numbers(count: usize) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT"
    )
}

/// Adds credentials of the sample user directly to the database.
fn add_credentials(app: &TestApp, count: usize, kind: &str, expires: &str, parent: &str) {
    let columns = "id, kind, digest, tenant, login, user_version, created, expires, parent";
    let id = format!("'{}' || (1000000000 + i)", "a".repeat(22));
    let values = format!(
        "{id}, '{kind}', {}, 'default', 'tje0', 1, 1, {expires}, {parent} FROM n",
        Database::zeros("32")
    );
    let sql = format!("INSERT INTO credentials ({columns}) {} {values}", numbers(count));
    assert_eq!(app.sql(&sql), count);
}

fn credentials(app: &TestApp, filter: &str) -> i64 {
    app.number(&format!("SELECT count(*) FROM credentials WHERE {filter}"))
}

/// Saves are served during the removal, and the rows are removed in batches. 30,000 rows stand for 2 million, which are
/// removed in batches of the same size.
#[test]
fn many_expired_credentials_go_while_saves_go_on() {
    let app = Setup::new().with("RECORDS__SWEEP_SECONDS", "1").start();
    let client = app.client();
    let key = client.save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    add_credentials(&app, 30_000, "access_token", "5", "NULL");
    let mut seen = HashSet::new();
    until("all are removed", || {
        client.post("SaveExternalTokens", &to_save("fugit")).expect(200);
        assert_eq!(client.access_token(&key).as_deref(), Some("fugit"));
        let left = credentials(&app, "expires = 5");
        seen.insert(left);
        left == 0
    });
    assert!(seen.len() > 2, "they went all at once: {seen:?}");
}

/// A failing part of a sweep does not stop the other parts. It is logged when it fails, and when it works again.
#[test]
fn each_part_of_a_sweep_stands_for_itself() {
    let app = Setup::new().with("RECORDS__SWEEP_SECONDS", "1").start();
    let client = app.client();
    app.sql("ALTER TABLE credentials RENAME TO hidden");
    let warned = || app.log().matches("upkeep fails").count();
    until("a part fails", || warned() > 0);
    for _ in 0..2 {
        client.save(&json!({"Provider": "et", "AccessToken": "fugit"}));
        app.sql("UPDATE external_tokens SET expires = 5 WHERE ended IS NULL");
        until("another part works", || {
            app.number("SELECT count(*) FROM external_tokens WHERE ended IS NULL") == 0
        });
    }
    assert_eq!(warned(), 1, "{}", app.log());
    app.sql("ALTER TABLE hidden RENAME TO credentials");
    until("it works again", || app.log().contains("upkeep works again"));
    assert_eq!(warned(), 1, "{}", app.log());
}

/// CONTRACT 27: an expired ticket ends when it is used, and no other credential ends with it. A ticket with a wrong
/// secret ends nothing.
#[test]
fn an_expired_credential_that_is_shown_ends_alone() {
    let app = Setup::new().with("RECORDS__SWEEP_SECONDS", "100000").start();
    let [ticket, other] = [(); 2].map(|()| app.ticket("tje0"));
    add_credentials(&app, 1000, "ticket", "5", "NULL");
    app.sql("UPDATE credentials SET expires = 5");
    let shown = |ticket: &str| {
        let client = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
        client.who(&[]).expect(401);
        credentials(&app, "expires = 5")
    };
    assert_eq!(shown(&with_another_secret(&ticket)), 1002);
    assert_eq!(shown(&ticket), 1001);
    assert_eq!(shown(&ticket), 1001);
    assert_eq!(shown(&other), 1000);
}

/// A ticket with the same id and another secret.
fn with_another_secret(ticket: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut bytes = STANDARD.decode(ticket.trim_start_matches("7T:")).expect("base64");
    // UTF-16LE: a digit after the first of the number, which may be the only one that is not 0.
    let digit = &mut bytes[2 * 34];
    *digit = if *digit == b'1' { b'2' } else { b'1' };
    format!("7T:{}", STANDARD.encode(bytes))
}

/// CONTRACT O8, 28: with every scheme, a caller that requests a token before each call gets one that works. This does
/// not add a row for each call, and does not end other credentials of the caller.
#[test]
fn asking_for_tokens_in_a_loop_adds_no_row_a_call() {
    let issuer = Issuer::new("1");
    let app = issuer::trusting(Setup::new(), &[&issuer])
        .with("AUTH__CREDENTIALS_PER_USER", "10")
        .with("AUTH__SCHEMES__BASIC", "true")
        .start();
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let session = app.client().sign_in("tje0", "Tje0");
    let jwt = format!("Bearer {}", issuer.token(&json!({"sub": "tje0"})));
    let by_jwt = app.client().with_authorization(Some(&jwt));
    let by_ticket = app.client().with_authorization(Some(&ticket));
    let visitor = app.client().with_authorization(None);
    let in_session = session.headers();
    let no_headers = <&[(&str, &str)]>::default();
    for (scheme, client, headers, periods) in [
        ("Basic", &app.client(), no_headers, 1),
        ("SoTicket", &by_ticket, no_headers, 1),
        ("Session", &visitor, &in_session, 1),
        ("JWT", &by_jwt, no_headers, 0),
    ] {
        let before = credentials(&app, "kind = 'access_token'");
        let mut tokens = HashSet::new();
        for _ in 0..30 {
            let token = client.request("GET", CURRENT_TOKEN, headers, b"").expect(200).key();
            let bearer = app.client().with_authorization(Some(&format!("Bearer {token}")));
            bearer.who(&[]).expect(200);
            assert_eq!(bearer.request("GET", CURRENT_TOKEN, &[], b"").expect(200).key(), token);
            tokens.insert(token);
        }
        let made = credentials(&app, "kind = 'access_token'") - before;
        // A period may have ended meanwhile.
        assert!((periods..=2 * periods).contains(&made), "{scheme}: {made} rows");
        for token in &tokens {
            let bearer = app.client().with_authorization(Some(&format!("Bearer {token}")));
            bearer.who(&[]).expect(200);
        }
        client.who(headers).expect(200);
    }
    assert_eq!(credentials(&app, "kind <> 'access_token'"), 2, "the ticket and the session live");
}

/// CONTRACT 27, 28: a user has a limited number of credentials of a kind. A new one replaces the one that was used
/// longest ago. Credentials of another kind or user stay.
#[test]
fn a_user_has_a_limited_number_of_credentials_of_a_kind() {
    let app = Setup::new().with("AUTH__CREDENTIALS_PER_USER", "10").start();
    app.add_user("ann");
    let (ticket, of_ann) = (app.ticket("tje0"), app.client().sign_in("ann", "CANARY-password"));
    let visitor = app.client().with_authorization(None);
    let sessions: Vec<_> = (0..10).map(|_| app.client().sign_in("tje0", "Tje0")).collect();
    // As if the first one had been used last.
    let minute = 60_000_000;
    let first = &sessions[0].cookie;
    let (_, value) = first.split_once('=').expect("a cookie");
    let used = format!(
        "UPDATE credentials SET expires = expires + {minute} WHERE id = '{}'",
        &value[..32]
    );
    assert_eq!(app.sql(&used), 1);
    for session in &sessions {
        visitor.who(&session.headers()).expect(200);
    }
    let newer = [(); 2].map(|()| app.client().sign_in("tje0", "Tje0"));
    let works =
        |session: &crate::support::client::Session| visitor.who(&session.headers()).status == 200;
    let found: Vec<bool> = sessions.iter().map(works).collect();
    assert_eq!(found.iter().filter(|works| **works).count(), 8, "{found:?}");
    assert!(found[0] && newer.iter().all(works) && works(&of_ann));
    assert_eq!(credentials(&app, "kind = 'session' AND login = 'tje0'"), 10);
    let by_ticket = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
    by_ticket.who(&[]).expect(200);
}

/// CONTRACT 28: when a ticket is revoked, all its tokens are removed, at any number.
#[test]
fn a_ticket_is_revoked_with_all_that_was_made_from_it() {
    let app = Setup::new().with("RECORDS__SWEEP_SECONDS", "100000").start();
    app.ticket("tje0");
    let ticket = app.setup.database().text("SELECT id FROM credentials");
    add_credentials(&app, 700, "access_token", "9000000000000000", &format!("'{ticket}'"));
    app.ticket("tje0");
    app.admin(&["ticket", "revoke", &ticket]);
    assert_eq!(credentials(&app, "kind = 'access_token'"), 0);
    assert_eq!(credentials(&app, "kind = 'ticket'"), 1);
    assert!(app.setup.run(&["ticket", "revoke", &ticket], "").is_err());
}

/// CONTRACT 35: a user has a limited number of records. Past the limit a save is a 403 that names the setting. Once
/// some records are removed, the user can save again.
#[test]
fn a_user_has_a_limited_number_of_records() {
    let setup = Setup::new().with("RECORDS__PER_USER", "5").with("RECORDS__SWEEP_SECONDS", "1");
    let app = setup.with("RECORDS__REMOVE_AFTER_DAYS", "0").start();
    app.add_user("ann");
    let client = app.client();
    let mut keys = Vec::new();
    let save = || client.post("SaveExternalTokens", &to_save("fugit"));
    until("a save is refused", || match save() {
        saved if saved.status == 200 => {
            keys.push(saved.key());
            false
        }
        refused => {
            refused.expect_error(403, "SoLimitException", "(records.per_user)");
            true
        }
    });
    let saved = app.saved_rows();
    assert_eq!(saved, keys.len());
    save().expect(403);
    assert_eq!(app.saved_rows(), saved);
    assert_eq!(client.access_token(&keys[0]).as_deref(), Some("fugit"), "they can be got");
    let ann = app.client().with_password("ann", "CANARY-password");
    ann.post("SaveExternalTokens", &to_save("fugit")).expect(200);
    for key in &keys {
        assert!(client.revoke(&json!({ "Key": key })));
    }
    until("a save is served again", || save().status == 200);
}

/// CONTRACT 35, 42: a user may send a limited number of idempotency keys. A repeat of an earlier key is still answered.
#[test]
fn a_user_has_a_limited_number_of_idempotency_keys() {
    let app = Setup::new().with("LIMITS__IDEMPOTENCY_KEYS_PER_USER", "3").start();
    let client = app.client();
    let save = |number: u32| {
        let key = format!("CANARY-0123456789-{number}");
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key.as_str())];
        let path = "/api/v1/Agents/User/SaveExternalTokens";
        client.request("POST", path, &headers, to_save("fugit").to_string().as_bytes())
    };
    let keys: Vec<String> = (0..3).map(|number| save(number).expect(200).key()).collect();
    let refused = save(3).expect(403);
    refused.expect_error(403, "SoLimitException", "(limits.idempotency_keys_per_user)");
    for (number, key) in (0..3).zip(&keys) {
        assert_eq!(save(number).expect(200).key(), *key);
    }
    client.post("SaveExternalTokens", &to_save("fugit")).expect(200);
    assert_eq!(app.number("SELECT count(*) FROM idempotency_keys"), 3);
}

/// CONTRACT 38: unreadable rows do not hide others. Each is logged once, and `verify` names it.
#[test]
fn unreadable_rows_are_reported_and_hide_no_others() {
    const COUNT: usize = 450;
    let app = TestApp::new();
    let client = app.client();
    let keys: HashSet<String> = (0..3)
        .map(|_| client.save(&json!({"Provider": "et", "AccessToken": "fugit"})))
        .map(|key| key[3..14].to_owned())
        .collect();
    // Sorted before those of `tje0`, by owner.
    let copies = format!(
        "INSERT INTO external_tokens (id, tenant, owner, provider, generation, key_digest, kek_id, wrapped_dek, \
         sealed, created, updated, ended) {} i, 'default', 'a:b', 'et', 1, {2}, '', {3}, {3}, 5, 5, \
         {1} FROM n",
        numbers(COUNT),
        Database::NOW,
        Database::zeros("32"),
        Database::zeros("0"),
    );
    assert_eq!(app.sql(&copies), COUNT);
    let user = "INSERT INTO users SELECT tenant, 'c:d', password_hash, is_administrator, is_disabled, created, \
                updated, version, NULL FROM users";
    assert_eq!(app.sql(user), 1);
    add_credentials(&app, 1, "other", "9000000000000000", "NULL");
    let application = format!(
        "INSERT INTO applications (name, token_digest, tenants, is_disabled, created, updated) \
         VALUES ('sync', {}, 'a b', FALSE, 5, 5)",
        Database::zeros("32")
    );
    assert_eq!(app.sql(&application), 1);

    for _ in 0..2 {
        let (mut found, mut cursor) = (HashSet::new(), Value::Null);
        for _ in 0..1000 {
            let ask = json!({ "Cursor": cursor, "Limit": 1 });
            let page = client.post_records("List", &ask).expect(200).json();
            let items = page["Items"].as_array().expect("a list");
            found.extend(items.iter().filter_map(|item| item["Id"].as_str().map(str::to_owned)));
            cursor = page["Cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert!(cursor.is_null(), "the list has no end");
        assert_eq!(found, keys);
    }
    let told = app.log().matches("cannot be read and is left out").count();
    assert_eq!(told, COUNT, "each once");

    let mut command = app.setup.clone().arguments(&["verify", "--output", "json"]).command();
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let unreadable = report["unreadable"].as_array().expect("a list");
    assert_eq!(unreadable.len(), COUNT + 3, "{report}");
    for row in [json!(["user", "default/c:d"]), json!(["application", "sync"])] {
        assert!(unreadable.contains(&row), "{report}");
    }
    assert!(unreadable.iter().any(|row| row[0] == "credential"), "{report}");
    let refusal = app.setup.run(&["verify"], "").expect_err("it is refused");
    assert!(refusal.contains("453 rows cannot be read"), "{refusal}");
}
