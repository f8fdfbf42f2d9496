//! `latchkey records`: list, revoke, export and erase, while the server runs.
//!
//! Invariant: no command prints a token or a key, and a command that is killed has done whole records.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::{
    Database,
    support::{
        app::{Setup, TestApp, assert_no_secret, until},
        client::Client,
        parts::rounds,
        webhook_receiver::WebhookReceiver,
    },
    webhooks::scene::{sending_to, wait_for},
};

fn id(key: &str) -> &str {
    &key[3..14]
}

fn json_of(app: &TestApp, arguments: &[&str]) -> Value {
    let told = app.admin(&[arguments, &["--output", "json"]].concat());
    assert_no_secret(&told);
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// The ids of a list.
fn listed(app: &TestApp, arguments: &[&str]) -> Vec<String> {
    let rows = json_of(app, &[&["records", "list"], arguments].concat());
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

fn refused(setup: &Setup, arguments: &[&str], part: &str) {
    let told = setup.run(arguments, "").expect_err("it is refused");
    assert!(told.contains(part), "{arguments:?}: {told}");
    assert_no_secret(&told);
}

fn client_of(app: &TestApp, login: &str) -> Client {
    app.add_user(login);
    app.client().with_password(login, "CANARY-password")
}

fn save(client: &Client, provider: &str) -> String {
    client.save(&json!({"Provider": provider, "AccessToken": "fugit", "Claims": "CANARY"}))
}

/// Makes a record seem to have been used this number of days ago.
fn used_days_ago(app: &TestApp, key: &str, column: &str, days: i64) {
    let record = model::RetrievalKey::parse(key).expect("a key").record().as_i64();
    let time = format!("{} - {}", Database::NOW, days * 86_400_000_000);
    let age = format!("UPDATE external_tokens SET {column} = {time} WHERE id = {record}");
    assert_eq!(app.sql(&age), 1);
}

/// Adds copies of the newest record of an owner.
fn add_copies(app: &TestApp, owner: &str, count: usize) {
    let copied = app.sql(&format!(
        "INSERT INTO external_tokens (id, tenant, owner, provider, generation, key_digest, kek_id, \
         wrapped_dek, sealed, created, updated) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT \
         i + 1 FROM n WHERE i < {count}) SELECT id + i, tenant, owner, provider, 1, key_digest, \
         kek_id, wrapped_dek, sealed, created, updated FROM external_tokens, n WHERE id = (SELECT \
         max(id) FROM external_tokens WHERE owner = '{owner}')"
    ));
    assert_eq!(copied, count);
}

fn living(app: &TestApp, filter: &str) -> i64 {
    app.number(&format!("SELECT count(*) FROM external_tokens WHERE ended IS NULL AND {filter}"))
}

/// CONTRACT 37, 38: living records by owner, provider and last use, page by page.
#[test]
fn records_are_listed_by_owner_provider_and_use() {
    let app = TestApp::new();
    let (ann, bob) = (client_of(&app, "ann"), client_of(&app, "bob"));
    let [first, second] = [save(&ann, "et"), save(&ann, "other")];
    let (third, ended) = (save(&bob, "et"), save(&bob, "et"));
    assert!(bob.revoke(&json!({ "Key": ended })));
    assert_eq!(listed(&app, &[]), [id(&first), id(&second), id(&third)]);
    assert_eq!(listed(&app, &["--owner", "ann"]), [id(&first), id(&second)]);
    assert_eq!(listed(&app, &["--owner", "ann", "--provider", "other"]), [id(&second)]);
    assert_eq!(listed(&app, &["--provider", "ET"]), [""; 0], "exactly");
    assert_eq!(listed(&app, &["--limit", "2"]), [id(&first), id(&second)]);
    assert_eq!(listed(&app, &["--limit", "2", "--after", id(&second)]), [id(&third)]);
    assert_eq!(listed(&app, &["--limit", "3"]).len(), 3);

    // A record that was never used counts from its save.
    for key in [&first, &second, &third] {
        used_days_ago(&app, key, "created", 100);
    }
    used_days_ago(&app, &first, "last_used", 29);
    used_days_ago(&app, &second, "last_used", 31);
    assert_eq!(listed(&app, &["--unused", "30"]), [id(&second), id(&third)]);
    assert_eq!(listed(&app, &["--unused", "99"]), [id(&third)]);

    let table = app.admin(&["records", "list", "--owner", "ann"]);
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "PROVIDER", "OWNER", "CREATED", "LAST", "USED", "EXPIRES"]);
    assert_eq!(lines[1][..3], [id(&first), "et", "ann"]);
    assert_eq!((lines[1][4].ends_with('Z'), lines[1][5]), (true, "-"));
    let limited = app.setup.clone().arguments(&["records", "list", "--limit", "1"]);
    let told = limited.command().output().expect("it runs").stderr;
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(told.contains(&format!("continue with --after {}", id(&first))), "{told}");

    refused(&app.setup, &["records", "list", "--after", "00000000000"], "there is no record");
    refused(&app.setup, &["records", "list", "--after", &first], "not the id of a record");
    refused(&app.setup, &["records", "list", "--tenant", "x"], "there is only one tenant");
}

/// CONTRACT 39: a revocation erases the tokens at once, and only of the records that are meant. It is reported to the
/// receivers of webhooks.
#[test]
fn records_are_revoked_by_owner_provider_and_use() {
    let receiver = WebhookReceiver::start();
    let kinds = json!({ "events": ["grant.revoked"] });
    let app = sending_to(Setup::new(), &[receiver.settings(&kinds)]).start();
    let (ann, bob) = (client_of(&app, "ann"), client_of(&app, "bob"));
    let [one, other, third] = ["et", "et", "other"].map(|provider| save(&ann, provider));
    let of_bob = save(&bob, "et");
    let revoked = |arguments: &[&str]| {
        let told = json_of(&app, &[&["records", "revoke", "--yes"], arguments].concat());
        assert_eq!(told["tenant"], "default");
        told["revoked"].as_u64().expect("a count")
    };
    // A get would count as a use.
    let lives = |key: &str| app.client().describe(&json!({ "Key": key }))["Ended"].is_null();
    refused(&app.setup, &["records", "revoke", "--yes"], "--owner");
    refused(&app.setup, &["records", "revoke", "--owner", "ann"], "add --yes");
    let question = "This revokes 2 records of tenant default.";
    refused(&app.setup, &["records", "revoke", "--owner", "ann", "--provider", "et"], question);
    assert_eq!(living(&app, "true"), 4, "nothing is revoked without consent");

    assert_eq!(revoked(&["--id", id(&one)]), 1);
    assert_eq!(revoked(&["--id", id(&one)]), 0, "it has ended");
    assert_eq!(ann.access_token(&one), None);
    assert!(lives(&other));
    for key in [&other, &third, &of_bob] {
        used_days_ago(&app, key, "created", 100);
        used_days_ago(&app, key, "last_used", 1);
    }
    used_days_ago(&app, &other, "last_used", 50);
    assert_eq!(revoked(&["--owner", "ann", "--unused", "30"]), 1);
    assert_eq!(ann.access_token(&other), None);
    assert!(lives(&third));
    assert_eq!(revoked(&["--provider", "other"]), 1);
    assert_eq!(revoked(&["--owner", "nobody"]), 0);
    assert!(lives(&of_bob));
    assert_eq!(
        app.admin(&["records", "revoke", "--tenant", "default", "--yes"]),
        "revoked 1 record of tenant default"
    );
    assert_eq!(bob.access_token(&of_bob), None);
    let erased = "length(sealed) = 0 AND length(wrapped_dek) = 0 AND kek_id = ''";
    let rows = format!("SELECT count(*) FROM external_tokens WHERE ended > 0 AND {erased}");
    assert_eq!(app.number(&rows), 4);
    wait_for(&receiver, 4);
    let missing = ["records", "revoke", "--id", "00000000000", "--yes"];
    refused(&app.setup, &missing, "there is no record 00000000000 of tenant default");
}

/// A command that is killed again and again revokes all records in the end, and no other ones. A record is revoked or
/// whole, and no transaction has more than a batch.
#[test]
fn a_killed_revocation_can_be_run_again_for_the_rest() {
    let app = TestApp::new();
    let (ann, bob) = (client_of(&app, "ann"), client_of(&app, "bob"));
    let (key, kept) = (save(&ann, "et"), save(&bob, "et"));
    let count = rounds(100_000);
    add_copies(&app, "ann", count);
    let revoke = ["records", "revoke", "--owner", "ann", "--yes"];
    let mut left = living(&app, "owner = 'ann'");
    for _ in 0..3 {
        let mut command = app.setup.clone().arguments(&revoke).command();
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().expect("it starts");
        until("some records are revoked", || living(&app, "owner = 'ann'") < left);
        process.kill().expect("killed");
        process.wait().expect("it has ended");
        left = living(&app, "owner = 'ann'");
        let halves = "ended IS NOT NULL AND length(sealed) > 0";
        assert_eq!(app.number(&format!("SELECT count(*) FROM external_tokens WHERE {halves}")), 0);
    }
    assert!(left > 0, "no kill hit a revocation");
    let told = json_of(&app, &revoke);
    assert_eq!(told["revoked"].as_i64(), Some(left), "it says how many were left");
    assert_eq!(living(&app, "owner = 'ann'"), 0);
    // Each batch is a transaction, and has a time of its own.
    let largest = "SELECT max(n) FROM (SELECT count(*) AS n FROM external_tokens WHERE ended IS NOT NULL \
                   GROUP BY ended) AS batches";
    assert!(app.number(largest) <= 256);
    assert_eq!(ann.access_token(&key), None);
    assert_eq!(bob.access_token(&kept).as_deref(), Some("fugit"));
}

/// The lines of an export.
fn exported(app: &TestApp, owner: &str) -> Vec<Value> {
    let told = app.admin(&["records", "export", "--owner", owner]);
    assert_no_secret(&told);
    told.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["kind"].as_str().expect("a kind")).collect()
}

/// An export has the user, its credentials, its records and the events about them, and nothing of another user. After
/// `records erase` only the user and its credentials are left.
#[test]
fn all_that_is_kept_about_a_user_is_exported_and_erased() {
    let receiver = WebhookReceiver::start();
    receiver.set_down(true);
    let kinds_of_events = json!({ "events": ["grant.revoked"] });
    let app = sending_to(Setup::new(), &[receiver.settings(&kinds_of_events)]).start();
    let (ann, bob) = (client_of(&app, "ann"), client_of(&app, "bob"));
    let (one, ended) = (save(&ann, "et"), save(&ann, "other"));
    let of_bob = save(&bob, "et");
    assert!(bob.revoke(&json!({ "Key": save(&bob, "et") })));
    assert!(ann.revoke(&json!({ "Key": ended })));
    let ticket = app.ticket("ann");
    app.ticket("bob");
    let told = app.admin(&["records", "export", "--owner", "ann"]);
    for secret in ["argon2", "fugit", &one[14..], &ticket[3..]] {
        assert!(!told.contains(secret), "{told}");
    }
    let lines: Vec<Value> =
        told.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(kinds(&lines), ["user", "ticket", "record", "record", "event"]);
    let [user, _ticket, record, over, event] = &lines[..] else { panic!("five lines") };
    assert_eq!((&user["login"], &user["administrator"]), (&json!("ann"), &json!(false)));
    assert_eq!((&record["id"], &record["provider"]), (&json!(id(&one)), &json!("et")));
    assert_eq!((&record["ended"], &record["grant"]["state"]), (&Value::Null, &json!("none")));
    assert!(over["ended"].is_string() && over["id"] == id(&ended), "{over}");
    assert_eq!((&event["event"], &event["record"]), (&json!("grant.revoked"), &json!(id(&ended))));

    refused(&app.setup, &["records", "erase", "--owner", "ann"], "add --yes");
    add_copies(&app, "ann", 1000);
    assert_eq!(exported(&app, "ann").len(), 1005);
    let told = json_of(&app, &["records", "erase", "--owner", "ann", "--yes"]);
    let expected = json!({"tenant": "default", "owner": "ann", "records": 1002, "events": 1});
    assert_eq!(told, expected);
    assert_eq!(kinds(&exported(&app, "ann")), ["user", "ticket"]);
    assert_eq!(ann.access_token(&one), None);
    assert_eq!(app.number("SELECT count(*) FROM external_tokens WHERE owner = 'ann'"), 0);
    let orphans =
        "SELECT count(*) FROM grants WHERE record NOT IN (SELECT id FROM external_tokens)";
    assert_eq!(app.number(orphans), 0);
    assert_eq!(bob.access_token(&of_bob).as_deref(), Some("fugit"));
    assert_eq!(kinds(&exported(&app, "bob")), ["user", "ticket", "record", "record", "event"]);
    let again = app.admin(&["records", "erase", "--owner", "ann", "--yes"]);
    assert_eq!(again, "erased 0 records of ann of tenant default, and 0 waiting events");
    let nobody = app.setup.clone().arguments(&["records", "export", "--owner", "nobody"]);
    let output = nobody.command().output().expect("it runs");
    assert!(output.status.success() && output.stdout.is_empty());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("nothing is kept about nobody of tenant default"), "{told}");
}
