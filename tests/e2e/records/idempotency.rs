//! Repeated saves: `Idempotency-Key`.

use std::{collections::HashSet, io::Write as _, net::TcpStream, sync::Barrier, thread};

use aws_lc_rs::digest::{SHA256, digest};
use flate2::{Compression, write::GzEncoder};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    Database,
    support::{
        app::{Setup, TestApp, until},
        client::{Answer, Client, to_save},
    },
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const JSON: &str = "application/json";
const HEADER: &str = "CANARY-8e03978e-40d5-43e8-bc93-6894a57f9324";

/// Saves with this header.
pub(crate) fn save_once(client: &Client, header: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", JSON), ("Idempotency-Key", header)];
    client.request("POST", SAVE, &headers, body.to_string().as_bytes())
}

fn reservations(app: &TestApp) -> i64 {
    app.number("SELECT count(*) FROM idempotency_keys")
}

/// CONTRACT 42: a repeated save is done once, in every form of the header, and also after a restart. With another
/// header it is another save.
#[test]
fn a_save_that_is_sent_again_is_answered_with_the_same_key() {
    let app = TestApp::new();
    let body = to_save("CANARY-once");
    let key = save_once(&app.client(), HEADER, &body).expect(200).key();
    let quoted = format!("\"{HEADER}\"");
    for header in [HEADER, &quoted, HEADER] {
        assert_eq!(save_once(&app.client(), header, &body).expect(200).key(), key);
    }
    let app = app.stop().start();
    assert_eq!(save_once(&app.client(), HEADER, &body).expect(200).key(), key);
    assert_eq!((app.saved_rows(), reservations(&app)), (1, 1));
    assert_eq!(app.client().access_token(&key).as_deref(), Some("CANARY-once"));

    let other = save_once(&app.client(), &HEADER.to_lowercase(), &body).expect(200).key();
    assert_ne!(other, key, "the header has case");
    assert_ne!(app.client().post("SaveExternalTokens", &body).expect(200).key(), key);
    assert_eq!((app.saved_rows(), reservations(&app)), (3, 2));
}

/// CONTRACT 43: a repeat with any difference in the carrier is rejected, in the language of the request.
#[test]
fn another_carrier_under_the_same_header_is_refused() {
    let app = TestApp::new();
    let first = json!({"Provider": "et", "AccessToken": "fugit", "RefreshToken": "odit"});
    let key = save_once(&app.client(), HEADER, &json!({ "TokenManagementInfo": first }));
    let key = key.expect(200).key();
    for (property, value) in [
        ("Provider", json!("te")),
        ("AccessToken", json!("CANARY")),
        ("AccessToken", json!("")),
        ("RefreshToken", json!(null)),
        ("Claims", json!("")),
    ] {
        let mut other = first.clone();
        other[property] = value;
        let body = json!({ "TokenManagementInfo": other });
        let answer = save_once(&app.client(), HEADER, &body);
        answer.expect_error(422, "InvalidOperationException", "used within the last 24 hours");
        let headers =
            [("Content-Type", JSON), ("Idempotency-Key", HEADER), ("SO-Language", "nb-NO")];
        let answer = app.client().request("POST", SAVE, &headers, body.to_string().as_bytes());
        answer.expect_error(422, "InvalidOperationException", "de siste 24 timene");
    }
    let same = json!({ "TokenManagementInfo": first });
    assert_eq!(save_once(&app.client(), HEADER, &same).expect(200).key(), key);
    assert_eq!(app.saved_rows(), 1);
}

/// CONTRACT 42: the content of the carrier counts, not its notation.
#[test]
fn the_same_carrier_in_another_content_type_is_the_same_save() {
    let app = TestApp::new();
    let json = to_save("fugit").to_string();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(json.as_bytes()).expect("compressed");
    let gzip = gzip.finish().expect("compressed");
    let camel = r#"{"tokenManagementInfo":{"accessToken":"fugit","provider":"et","x":1}}"#;
    let xml = "<S><TokenManagementInfo><Provider>et</Provider><AccessToken>fugit</AccessToken>\
               </TokenManagementInfo></S>";
    let save = |content_type: &str, coding: &str, body: &[u8]| {
        let headers = [
            ("Content-Type", content_type),
            ("Content-Encoding", coding),
            ("Idempotency-Key", HEADER),
        ];
        app.client().request("POST", SAVE, &headers, body).expect(200).key()
    };
    let keys = HashSet::from([
        save(JSON, "", json.as_bytes()),
        save(JSON, "gzip", &gzip),
        save("application/merge-patch+json", "", camel.as_bytes()),
        save("text/xml", "", xml.as_bytes()),
        save("application/x-www-form-urlencoded", "", b"Provider=et&AccessToken=fugit"),
    ]);
    assert_eq!(keys.len(), 1);
    assert_eq!(app.saved_rows(), 1);
}

/// CONTRACT 42: a header of one user has no effect for another user, or for a user of the same name in another tenant.
#[test]
fn each_user_has_headers_of_its_own() {
    let app = Setup::new().with("TENANTS", "path").start();
    for (login, tenant) in [("ann", "Cust1"), ("bob", "Cust1"), ("ann", "Cust2")] {
        app.admin(&["user", "add", login, "--tenant", tenant, "--password-stdin"]);
    }
    let save = |login: &str, tenant: &str, token: &str| {
        let client = Client::new(&app.url.replace("/default", &format!("/{tenant}")));
        save_once(&client.with_password(login, "CANARY-password"), HEADER, &to_save(token))
    };
    let callers = [("ann", "Cust1"), ("bob", "Cust1"), ("ann", "Cust2")];
    let keys = callers.map(|(login, tenant)| save(login, tenant, "fugit").expect(200).key());
    assert_eq!(HashSet::from(keys.clone()).len(), 3);
    for ((login, tenant), key) in callers.into_iter().zip(keys) {
        assert_eq!(save(login, tenant, "fugit").expect(200).key(), key);
        save(login, tenant, "odit").expect(422);
    }
    assert_eq!(app.number("SELECT count(DISTINCT fingerprint) FROM idempotency_keys"), 3);
}

/// CONTRACT 42: after 24 hours the row of a header expires, and the header counts as new.
#[test]
fn a_header_is_forgotten_after_24_hours() {
    let app = TestApp::new();
    let key = save_once(&app.client(), HEADER, &to_save("CANARY-old")).expect(200).key();
    let left = format!("SELECT min(expires) - {} FROM idempotency_keys", Database::NOW);
    let seconds = app.number(&left) / 1_000_000;
    assert!((86_300..=86_401).contains(&seconds), "{seconds} s");
    let pass = |microseconds: i64| {
        let sql = format!("UPDATE idempotency_keys SET expires = expires - {microseconds}");
        assert_eq!(app.sql(&sql), 1);
    };
    pass(86_280_000_000);
    assert_eq!(save_once(&app.client(), HEADER, &to_save("CANARY-old")).expect(200).key(), key);
    pass(200_000_000);
    let new = save_once(&app.client(), HEADER, &to_save("CANARY-new")).expect(200).key();
    assert_eq!(save_once(&app.client(), HEADER, &to_save("CANARY-new")).expect(200).key(), new);
    assert_eq!(app.client().access_token(&new).as_deref(), Some("CANARY-new"));
    assert_eq!(app.client().access_token(&key).as_deref(), Some("CANARY-old"));
    assert_eq!(reservations(&app), 1);
}

#[test]
fn what_expired_is_removed() {
    let app = Setup::new().with("RECORDS__SWEEP_SECONDS", "1").start();
    for length in ["1", "2", "3"] {
        let zeros = Database::zeros(length);
        app.sql(&format!("INSERT INTO idempotency_keys VALUES ({zeros}, {zeros}, {zeros}, 1)"));
    }
    save_once(&app.client(), HEADER, &to_save("fugit")).expect(200);
    until("only what lives is left", || reservations(&app) == 1);
}

/// CONTRACT 42, 35: an invalid header is a 400 that names it, and nothing is saved. A caller without a valid login gets
/// a 401 instead.
#[rstest]
#[case("")]
#[case("CANARY-15-chars")]
#[case(&"x".repeat(256))]
#[case("CANARY with spaces in it")]
#[case("CANARY-with-\u{e5}-in-it-it-is")]
#[case("\"CANARY-without-an-end")]
#[case("\"CANARY-in-quotes\";a=b")]
fn what_is_no_idempotency_key_is_refused(#[case] value: &str) {
    let app = TestApp::new();
    let body = to_save("fugit").to_string();
    let request = |authorization: &str, header: &str| {
        let answer = app.raw(&format!(
            "POST {SAVE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {JSON}\r\n\
             {authorization}Idempotency-Key: {header}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert!(header.is_empty() || !answer.contains(header), "{answer}");
        answer
    };
    const BASIC: &str = "Authorization: Basic dGplMDpUamUw\r\n";
    let answer = request(BASIC, value);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"ArgumentException\""));
    assert!(answer.contains("Idempotency-Key must have 16 to 255 visible ASCII"), "{answer}");
    assert!(request("", value).starts_with("HTTP/1.1 401 "));
    let twice = request(BASIC, &format!("{HEADER}\r\nIdempotency-Key: {HEADER}"));
    assert!(twice.starts_with("HTTP/1.1 400 "), "{twice}");
    assert!(twice.contains("more than one Idempotency-Key header"), "{twice}");
    assert_eq!((app.saved_rows(), reservations(&app)), (0, 0));
    assert!(request(BASIC, HEADER).starts_with("HTTP/1.1 200 "), "that was all that was wrong");
}

/// CONTRACT 42: a kill of the server loses the answer, but not the key.
#[test]
fn after_a_kill_a_save_that_is_sent_again_is_answered_with_its_key() {
    let mut app = TestApp::new();
    let body = to_save("CANARY-lost").to_string();
    let mut stream = TcpStream::connect(app.authority()).expect("connect");
    let request = format!(
        "POST {SAVE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic dGplMDpUamUw\r\n\
         Content-Type: {JSON}\r\nIdempotency-Key: {HEADER}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("send");
    until("it is committed", || app.saved_rows() == 1);
    app.kill();
    drop(stream);
    let app = app.setup.start();
    let key = save_once(&app.client(), HEADER, &to_save("CANARY-lost")).expect(200).key();
    assert_eq!((app.saved_rows(), reservations(&app)), (1, 1));
    assert_eq!(app.client().access_token(&key).as_deref(), Some("CANARY-lost"));
}

/// CONTRACT 42: a failed save reserves nothing. It can be repeated, or another save can be sent with its header.
#[test]
fn a_save_that_fails_reserves_nothing() {
    let app = TestApp::new();
    app.sql("ALTER TABLE external_tokens RENAME TO elsewhere");
    save_once(&app.client(), HEADER, &to_save("fugit")).expect(503);
    assert_eq!(reservations(&app), 0);
    app.sql("ALTER TABLE elsewhere RENAME TO external_tokens");
    let key = save_once(&app.client(), HEADER, &to_save("odit")).expect(200).key();
    assert_eq!(app.client().access_token(&key).as_deref(), Some("odit"));
}

/// CONTRACT 42: a repeat after a revocation returns the old key, which retrieves nothing. It does not make a new
/// record.
#[test]
fn a_record_that_ended_keeps_its_header() {
    let app = TestApp::new();
    let key = save_once(&app.client(), HEADER, &to_save("fugit")).expect(200).key();
    let end = "UPDATE external_tokens SET ended = 1, kek_id = ''";
    assert_eq!(app.sql(end), 1);
    assert_eq!(save_once(&app.client(), HEADER, &to_save("fugit")).expect(200).key(), key);
    assert_eq!(app.client().get(&key), Value::Null);
    assert_eq!(app.saved_rows(), 1);
}

/// Many clients repeat a few saves at once, among other saves: one record for each header.
#[test]
fn saves_that_are_sent_again_at_once_are_one() {
    const CLIENTS: usize = 32;
    let app = TestApp::new();
    let barrier = Barrier::new(CLIENTS);
    let answers: Vec<(usize, String)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (client, barrier) = (app.client(), &barrier);
                scope.spawn(move || {
                    client.who(&[]).expect(200);
                    barrier.wait();
                    let group = number % 4;
                    let header = format!("{HEADER}-{group}");
                    let body = to_save(&format!("CANARY-{group}"));
                    client.post("SaveExternalTokens", &to_save("CANARY-other")).expect(200);
                    (group, save_once(&client, &header, &body).expect(200).key())
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).collect()
    });
    assert_eq!(answers.iter().collect::<HashSet<_>>().len(), 4);
    assert_eq!((app.saved_rows(), reservations(&app)), (CLIENTS + 4, 4));
    for (group, key) in answers {
        assert_eq!(app.client().access_token(&key), Some(format!("CANARY-{group}")));
    }
}

/// The database contains neither the header nor the key, nor a hash that allows guesses at a token.
#[test]
fn the_database_holds_nothing_of_a_save_that_can_be_sent_again() {
    let app = TestApp::new();
    let key = save_once(&app.client(), HEADER, &to_save("fugit")).expect(200).key();
    assert!(!app.files_with("tje0").is_empty(), "the search finds what is plain");
    for text in [HEADER, key.as_str(), &key[14..57], "fugit"] {
        assert!(app.files_with(text).is_empty(), "the text itself");
        let hash = digest(&SHA256, text.as_bytes());
        assert!(app.files_with(hash.as_ref()).is_empty(), "its hash");
    }
    // A plain hash in place of a MAC would be that of the carrier as the seal encodes it.
    let canonical = b"\0\0\0\x02et\x01\0\0\0\x05fugit\0\0";
    for plain in [&canonical[..], &canonical[6..]] {
        let hash = digest(&SHA256, plain);
        assert!(app.files_with(hash.as_ref()).is_empty(), "a hash of the carrier");
    }
    // A changed row is reported, unlike a missing one.
    assert_eq!(
        app.sql(&format!("UPDATE idempotency_keys SET sealed_key = {}", Database::zeros("91"))),
        1
    );
    let answer = save_once(&app.client(), HEADER, &to_save("fugit"));
    answer.expect_error(500, "SoServerException", "its log has the cause");
    app.logged(&["the row of an idempotency key is damaged"]);
}

/// CONTRACT 32: scripts of listed origins may send the header.
#[test]
fn scripts_of_other_sites_may_send_the_header() {
    let app = Setup::new().with("SERVER__CORS_ORIGINS", "https://app.example.com").start();
    let preflight = [
        ("Origin", "https://app.example.com"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization, content-type, idempotency-key"),
    ];
    let visitor = app.client().with_authorization(None);
    let answer = visitor.request("OPTIONS", SAVE, &preflight, b"").expect(200);
    let allowed = answer.header("Access-Control-Allow-Headers").to_ascii_lowercase();
    assert!(allowed.contains("idempotency-key"), "{allowed}");
}
