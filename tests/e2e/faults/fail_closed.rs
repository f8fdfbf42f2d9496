//! While a decision cannot be made because its data is unavailable, every call is rejected and nothing is saved
//! (CONTRACT 35).
//!
//! Invariant: each call succeeded before and succeeds again afterwards, so that the unavailable part is the only cause.
//!
//! Elsewhere: the keys of an issuer in `callers::bearer`, a master key in `keys::master_key` and `keys::wraps`, a clock
//! that jumps in `records::clock`, an outage of PostgreSQL in `postgres::faults`, a full disk in `sqlite::faulty_disk`.

use crate::support::{
    app::{Setup, TestApp, until},
    client::{Answer, Client, to_save},
};

/// A caller: a name, a client, its headers, and the tables that decide about its save.
type Caller<'a> = (&'a str, &'a Client, &'a [(&'a str, &'a str)], &'a [&'a str]);

/// Renames a table, so that every statement about it fails.
fn rename(app: &TestApp, from: &str, to: &str) {
    app.sql(&format!("ALTER TABLE {from} RENAME TO {to}"));
}

fn assert_failed_closed(answer: &Answer, what: &str) {
    assert!([500, 503].contains(&answer.status), "{what}: {answer:?}");
    let body = answer.body.to_ascii_lowercase();
    for inside in ["users", "credentials", "keks", "table", "column", "sql", "relation", "diesel"] {
        assert!(!body.contains(inside), "{what}: {answer:?}");
    }
}

/// CONTRACT 25, 30, 35: while the table of users, credentials, applications or master keys is unavailable, every scheme
/// that needs it fails. This holds also for a password that was verified just before. Nothing is saved, and the answer
/// does not name the cause.
#[test]
fn without_what_a_decision_needs_nothing_is_saved() {
    let online = Setup::new()
        .with("INSTALLATION", "online")
        .with("AUTH__SCHEMES__BASIC", "true")
        .with("ONLINE__USER_AGENT", "*/*");
    let app = online.start();
    let made = app.admin(&["app", "add", "crm", "--output", "json"]);
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let application = made["token"].as_str().expect("a token").to_owned();
    let visitor = app.client().with_authorization(None);
    let session = app.client().sign_in("tje0", "Tje0");
    let session: Vec<(&str, &str)> = session.headers().to_vec();
    let ticket = app.client().with_authorization(Some(&format!("SoTicket {}", app.ticket("tje0"))));
    let for_application = [("SO-AppToken", application.as_str())];
    let body = to_save("CANARY").to_string();
    let save = |client: &Client, headers: &[(&str, &str)]| {
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        let path = "/api/v1/Agents/User/SaveExternalTokens";
        client.request("POST", path, &headers, body.as_bytes())
    };
    let password = app.client();
    let callers: [Caller<'_>; 4] = [
        ("password", &password, &[], &["users", "keks"]),
        ("session", &visitor, &session, &["users", "credentials", "keks"]),
        ("ticket", &ticket, &for_application, &["users", "credentials", "applications", "keks"]),
        ("application", &password, &for_application, &["users", "applications", "keks"]),
    ];
    for (_, client, headers, _) in callers {
        save(client, headers).expect(200);
    }
    let saved = app.saved_rows();
    for table in ["users", "credentials", "applications", "keks"] {
        rename(&app, table, "away");
        for (caller, client, headers, needed) in callers {
            if needed.contains(&table) {
                assert_failed_closed(&save(client, headers), &format!("{caller} without {table}"));
            }
        }
        assert_eq!(app.saved_rows(), saved, "without {table}");
        rename(&app, "away", table);
    }
    for (caller, client, headers, _) in callers {
        until(caller, || save(client, headers).status == 200);
    }
}
