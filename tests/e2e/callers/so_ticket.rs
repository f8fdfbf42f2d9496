//! Tickets (CONTRACT 27) beyond the matrix: renewal, tenants, and the traces of a ticket in the database.

use crate::{
    Database,
    support::app::{Setup, TestApp},
};

const HOUR: i64 = 3_600_000_000;

/// The remaining lifetime of the only ticket, in microseconds.
fn left(app: &TestApp) -> i64 {
    app.number(&format!("SELECT expires - {} FROM credentials", Database::NOW))
}

/// CONTRACT 27: each use extends the ticket to the full six hours. The database is updated at most once a minute.
#[test]
fn a_ticket_in_use_is_renewed() {
    let app = TestApp::new();
    let ticket = app.ticket("tje0");
    let client = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
    assert!(left(&app) >= 6 * HOUR);
    app.sql("UPDATE credentials SET expires = expires - 10000000");
    let before = left(&app);
    client.who(&[]).expect(200);
    assert!(left(&app) <= before, "seconds after it was written nothing is written");

    app.sql("UPDATE credentials SET expires = expires - 18000000000");
    assert!(left(&app) < 2 * HOUR);
    client.who(&[]).expect(200);
    assert!(left(&app) >= 6 * HOUR, "{}", left(&app));

    app.sql("UPDATE credentials SET expires = 1");
    for _ in 0..2 {
        client.who(&[]).expect_error(401, "SoSessionException", "expired or revoked");
    }
    let alive = format!("SELECT count(*) FROM credentials WHERE expires > {}", Database::NOW);
    assert_eq!(app.number(&alive), 0, "an expired one never comes back");
}

/// CONTRACT 27: a user may have any number of tickets. All are listed, without their secrets, and each can be revoked
/// alone.
#[test]
fn tickets_are_listed_and_revoked() {
    let app = TestApp::new();
    let tickets: Vec<String> = (0..3).map(|_| app.ticket("tje0")).collect();
    let list = app.admin(&["ticket", "list", "--output", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list.as_array().expect("array").len(), 3);
    let works = |ticket: &String| {
        let client = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
        client.who(&[]).status == 200
    };
    assert!(tickets.iter().all(works));
    app.admin(&["ticket", "revoke", list[0]["id"].as_str().expect("id")]);
    assert_eq!(tickets.iter().filter(|ticket| works(ticket)).count(), 2);
    let table = app.admin(&["ticket", "list", "--login", "tje0"]);
    assert_eq!(table.lines().count(), 3, "a head and two rows: {table}");
    assert!(!tickets.iter().any(|ticket| table.contains(ticket)));
}

/// CONTRACT 27: a copy of the database does not give away a ticket: neither its text nor its number is in any file.
#[test]
fn the_database_cannot_produce_a_ticket() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let app = TestApp::new();
    let ticket = app.ticket("tje0");
    let bytes = STANDARD.decode(&ticket[3..]).expect("base64");
    let plain: String = bytes.iter().step_by(2).map(|byte| char::from(*byte)).collect();
    let (guid, number) = plain.split_once(';').expect("two parts");
    assert!(!app.files_with(guid).is_empty(), "the guid finds the stub");
    assert!(app.files_with(number).is_empty(), "the number is in the database");
    assert!(app.files_with(&ticket).is_empty());
    let binary = number.parse::<u128>().expect("a number").to_be_bytes();
    assert!(app.files_with(binary).is_empty());
}

/// CONTRACT 27, 1: if paths name tenants, a ticket belongs to one tenant and is rejected at the others.
#[test]
fn a_ticket_is_of_one_tenant() {
    let app = Setup::new().with("TENANTS", "path").start();
    for tenant in ["Cust1", "Cust2"] {
        app.admin(&["user", "add", "ann", "--tenant", tenant, "--password-stdin"]);
    }
    let ticket = app.admin(&["ticket", "issue", "ann", "--tenant", "CUST1"]);
    let root = app.url.strip_suffix("/default").expect("the tenant");
    let who = |tenant: &str| {
        let client = crate::support::client::Client::new(&format!("{root}/{tenant}"));
        client.with_authorization(Some(&format!("SoTicket {ticket}"))).who(&[])
    };
    let answer = who("cUST1").expect(200).json();
    assert_eq!(answer["DatabaseContextIdentifier"], "Cust1");
    for other in ["Cust2", "default", "nobody"] {
        who(other).expect_error(403, "SoSentryException", "belongs to another tenant");
    }
}
