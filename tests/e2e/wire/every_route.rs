//! Rules for every route and every outcome: headers, addresses, one line in the log, and the content that no error may
//! have (CONTRACT 15, 34–36).
//!
//! Invariant: the routes are read from the OpenAPI document, so a new one is included automatically.
//!
//! There is no `If-Match`, because a second writer cannot overwrite anything. No call changes a record, and a save
//! makes a new record each time. A repeated save is recognized by its `Idempotency-Key`. Therefore no answer has an
//! `ETag`.

use std::{collections::BTreeSet, net::TcpListener};

use serde_json::json;

use crate::{
    Database,
    grants::token_endpoint::with_endpoint,
    records::idempotency::save_once,
    support::{
        app::{Setup, until},
        client::{Answer, Client, to_save},
        issuer::{AUDIENCE, ISSUER, Issuer},
    },
};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "TRACE"];
const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

type Headers<'a> = Vec<(&'a str, &'a str)>;

/// The paths in the server's document, and some that it does not serve.
fn routes(client: &Client) -> Vec<String> {
    let document = client.request("GET", "/api/openapi.json", &[], b"").expect(200).json();
    let paths = document["paths"].as_object().expect("paths").keys();
    let mut paths: Vec<_> = paths.map(|path| path.replace("{file}", "index.css")).collect();
    paths.extend(["/", "/nowhere", "/api/docs", "/api/docs/none"].map(str::to_owned));
    paths
}

/// The addresses in an answer.
fn addresses(answer: &Answer) -> Vec<&str> {
    let mut addresses = vec![answer.header("Location"), answer.header("Refresh")];
    for name in ["href=\"", "action=\"", "src=\"", "content=\""] {
        let found = answer.body.split(name).skip(1).filter_map(|rest| rest.split('"').next());
        addresses.extend(found);
    }
    addresses
}

/// Asserts the headers that every answer has.
fn assert_headers(answer: &Answer, call: &str) {
    let stored: Vec<_> = answer.headers.get_all("Cache-Control").iter().collect();
    assert_eq!(stored, ["no-store"], "{call}");
    assert_eq!(answer.header("X-Content-Type-Options"), "nosniff", "{call}");
    for absent in ["Expires", "Server", "X-Powered-By"] {
        assert_eq!(answer.header(absent), "", "{call}: {absent}");
    }
    if !call.contains("/api/docs") {
        assert_eq!(answer.header("ETag"), "", "{call}");
    }
}

/// CONTRACT 15, 35, 36: for every route, caller and method, the answer may not be stored, contains no address with a
/// secret, and has one line in the log.
#[test]
fn every_answer_has_its_headers_and_one_line_in_the_log() {
    let setup = with_endpoint(Setup::new()).with("LOG__FILTER", "info,server=debug");
    let app = setup.start();
    let visitor = app.client().with_authorization(None);
    let ticket = app.ticket("tje0");
    let by_ticket = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
    let refused = app.client().with_authorization(Some("SoTicket 7T:CANARY"));
    let session = app.client().sign_in("tje0", "Tje0");
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    let cookie = session.cookie.split([';', '=']).nth(1).expect("a value");
    let secrets = [cookie, &session.xsrf_token, &ticket, &key, "CANARY", "Tje0"];
    let of_session = session.headers();
    let get_form = format!("Key={key}");
    let callers: [(&str, &Client, Headers<'_>); 4] = [
        ("nobody", &visitor, vec![]),
        ("a refused ticket", &refused, vec![]),
        ("a ticket", &by_ticket, vec![FORM]),
        ("a session", &visitor, [&of_session[..], &[("Accept", "text/html"), FORM]].concat()),
    ];
    let mut calls = Vec::new();
    for path in routes(&visitor) {
        for method in METHODS {
            for (caller, client, headers) in &callers {
                // A session can be ended only once, so that is left for the end.
                if *caller == "a session" && path == "/sign-out" {
                    continue;
                }
                let body = if method == "POST" { get_form.as_bytes() } else { b"" };
                let answer = client.request(method, &path, headers, body);
                let call = format!("{method} {path} by {caller}: {}", answer.status);
                assert_headers(&answer, &call);
                for address in addresses(&answer) {
                    let found = secrets.iter().find(|secret| address.contains(**secret));
                    assert_eq!(found, None, "{call}: {address}");
                }
                let sends_by_address = answer.body.contains("method=\"get\"");
                assert!(!sends_by_address, "{call}: a form that sends what it has as an address");
                calls.push((answer.header("X-Request-Id").to_owned(), call));
            }
        }
    }
    let ids: BTreeSet<&str> = calls.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids.len(), calls.len(), "each answer has an id of its own");
    let is_logged = |log: &str, id: &str| {
        log.lines().filter(|line| line.contains(id) && line.contains("http.status")).count()
    };
    let (last, _) = calls.last().expect("calls");
    until("the last answer is in the log", || is_logged(&app.log(), last) > 0);
    let log = app.log();
    for (id, call) in &calls {
        assert_eq!(is_logged(&log, id), 1, "{call}");
    }
}

/// Texts that no answer may contain: paths of the server's files and sources, and names of its components.
const INTERNALS: [&str; 14] = [
    "CANARY",
    "/tmp",
    ".rs:",
    "diesel",
    "sqlite",
    "postgres",
    "select ",
    "insert ",
    "panicked",
    "actix",
    "serde",
    "tokio",
    "kek-",
    "external_tokens",
];

/// CONTRACT 34, 36: each error of a call, in each type and in several languages, with secrets in every place that a
/// client fills. The answer contains none of them, and nothing internal to the server.
#[test]
fn no_error_says_what_was_sent_or_what_is_inside() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("bind");
    let jwks = format!("http://{}/jwks", nobody.local_addr().expect("address"));
    drop(nobody);
    let app = Setup::new()
        .with("TENANTS", "path")
        .with("LIMITS__BODY_BYTES", "2000")
        .with("LIMITS__TOKEN_BYTES", "1000")
        .with("AUTH__THROTTLE__PER_USER", "1")
        .with("AUTH__BEARER__JWKS", &jwks)
        .with("AUTH__BEARER__ISSUER", ISSUER)
        .with("AUTH__BEARER__AUDIENCE", AUDIENCE)
        .start();
    app.admin(&["user", "add", "ann", "--tenant", "default", "--password-stdin"]);
    let save = "/api/v1/Agents/User/SaveExternalTokens";
    let get = "/api/v1/Agents/User/GetExternalTokens";
    let client = app.client();
    let repeated = "CANARY-0123456789abcdef";
    save_once(&client, repeated, &to_save("CANARY-first")).expect(200);
    let damaged = client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    let id = crate::support::master_keys::record(&damaged);
    let zeros = Database::zeros("length(sealed)");
    app.sql(&format!("UPDATE external_tokens SET sealed = {zeros} WHERE id = {id}"));
    let by = |authorization: &str| client.with_authorization(Some(authorization));
    let unknown_key = format!("Bearer {}", Issuer::new("CANARY").token(&json!({})));
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let (visitor, by_ticket) = (client.with_authorization(None), by(&ticket));
    let guesser = client.with_password("ann", "CANARY");
    guesser.who(&[]).expect(401);

    let big = "CANARY".repeat(400);
    let wrong_key = json!({ "Key": "lk_CANARY" }).to_string();
    let of_damaged = json!({ "Key": damaged }).to_string();
    let canary = to_save("CANARY").to_string();
    let json_body = |text: &'static str| (vec![JSON], text.to_owned());
    let other = app.url.replace("/default", "/Cust1");
    let of_other_tenant = Client::new(&other).with_authorization(Some(&ticket));
    type Call<'a> = (u16, &'a Client, &'a str, &'a str, (Headers<'a>, String));
    let calls: Vec<Call<'_>> = vec![
        // First, because the rate limit ends after a minute.
        (429, &guesser, "POST", save, (vec![JSON], canary.clone())),
        (400, &by_ticket, "POST", save, json_body("{\"CANARY\"")),
        (400, &by_ticket, "POST", save, json_body(r#"{"TokenManagementInfo":"CANARY"}"#)),
        (400, &by_ticket, "POST", save, (vec![("Content-Type", "text/xml")], "<CANARY>".into())),
        (400, &by_ticket, "POST", save, (vec![FORM], "CANARY=%".into())),
        (400, &by_ticket, "POST", get, (vec![JSON], wrong_key)),
        (400, &by_ticket, "POST", get, (vec![JSON, ("SO-TimeZone", "CANARY")], "{}".into())),
        (400, &by_ticket, "POST", get, (vec![JSON, ("Authorization", "CANARY")], "{}".into())),
        (401, &visitor, "POST", save, (vec![JSON, ("Cookie", "CANARY=CANARY")], canary.clone())),
        (401, &visitor, "POST", save, (vec![JSON, ("X-XSRF-TOKEN", "CANARY")], canary.clone())),
        (403, &of_other_tenant, "POST", save, (vec![JSON], canary.clone())),
        (404, &by_ticket, "POST", "/CANARY", (vec![JSON], canary.clone())),
        (405, &by_ticket, "DELETE", save, (vec![JSON], canary.clone())),
        (413, &by_ticket, "POST", save, (vec![JSON], big)),
        (415, &by_ticket, "POST", save, (vec![("Content-Type", "CANARY/CANARY")], canary.clone())),
        (422, &client, "POST", save, (vec![JSON, ("Idempotency-Key", repeated)], canary.clone())),
        (500, &client, "POST", get, (vec![JSON], of_damaged)),
    ];
    let mut seen = BTreeSet::new();
    let mut look = |status: u16, call: &str, answer: &Answer| {
        assert_eq!(answer.status, status, "{call}: {answer:?}");
        assert_headers(answer, call);
        let answered = format!("{:?} {}", answer.headers, answer.body).to_lowercase();
        for inside in INTERNALS {
            assert!(!answered.contains(&inside.to_lowercase()), "{call}, {inside}: {answer:?}");
        }
        seen.insert(answer.status);
    };
    for (status, client, method, path, (headers, body)) in &calls {
        for accept in ["application/json", "text/json", "application/xml", "text/xml", "text/html"]
        {
            for language in ["en", "nb", "*"] {
                let asked = [("Accept", accept), ("Accept-Language", language)];
                // The agents do not answer HTML alone.
                let accept_too = [("Accept", "application/json;q=0.1")];
                let headers = [&headers[..], &asked, &accept_too].concat();
                let path = format!("{path}?CANARY=CANARY&$select=CANARY");
                let answer = client.request(method, &path, &headers, body.as_bytes());
                look(*status, &format!("{method} {path} as {accept}: {status}"), &answer);
            }
        }
    }
    let unacceptable = [JSON, ("Accept", "image/CANARY")];
    look(406, "406", &by_ticket.request("POST", save, &unacceptable, canary.as_bytes()));
    look(503, "503", &by(&unknown_key).request("POST", save, &[JSON], canary.as_bytes()));
    let every = [400, 401, 403, 404, 405, 406, 413, 415, 422, 429, 500, 503];
    assert_eq!(seen, BTreeSet::from(every));
    assert_eq!(app.saved_rows(), 2);
}
