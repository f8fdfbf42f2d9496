//! `Accept`, `$select`, and the headers that every answer has (CONTRACT 14, 15, 17).
//!
//! Invariant: a call whose answer cannot have the requested type does nothing.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    client::Answer,
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const GET: &str = "/api/v1/Agents/User/GetExternalTokens";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn save(app: &TestApp, headers: &[(&str, &str)]) -> Answer {
    let body = br#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#;
    app.client().request("POST", SAVE, &[&[JSON], headers].concat(), body)
}

/// CONTRACT 14: `Accept`, tested on the server. The unit tests of `negotiate` have the full table.
#[rstest]
#[case(&[], "application/json")]
#[case(&[("Accept", "")], "application/json")]
#[case(&[("Accept", "text/xml;q=0.5, text/*")], "text/json")]
#[case(&[("Accept", "application/xml"), ("Accept", "text/json;q=0.9")], "application/xml")]
#[case(&[("Accept", "*/*, application/json;q=0")], "text/json")]
fn the_answer_has_the_type_that_is_accepted(
    #[case] accept: &[(&str, &str)],
    #[case] expected: &str,
) {
    let app = TestApp::new();
    let answer = save(&app, accept).expect(200);
    assert_eq!(answer.header("Content-Type"), format!("{expected}; charset=utf-8"));
}

/// CONTRACT 14: without an acceptable type the answer is a 406 in JSON, and nothing is saved.
#[test]
fn what_cannot_be_answered_is_not_done() {
    let app = TestApp::new();
    for accept in ["image/png", "*/*;q=0", "image/*", "application/x-www-form-urlencoded"] {
        let answer = save(&app, &[("Accept", accept)]);
        let answer = answer.expect_error(406, "NotSupportedException", "ask for application/json");
        assert_eq!(answer.header("Content-Type"), "application/json; charset=utf-8");
    }
    assert_eq!(app.sql("UPDATE external_tokens SET id = id"), 0, "rows were saved");
}

/// CONTRACT 18, 22, 23: headers that cannot affect the answer stop no call.
#[test]
fn a_save_is_not_stopped_by_what_does_not_matter_to_it() {
    let app = TestApp::new();
    for value in ["CANARY", "2", "BR", "*", "-", "en-us; en-gb", "NO, DK", ""] {
        for header in ["SO-TimeZone", "SO-Culture", "SO-Language", "Accept-Language"] {
            let headers = [(header, value), ("SO-Browser-TZ-Offset", value)];
            let key = save(&app, &headers).expect(200).key();
            assert!(app.client().revoke(&json!({ "Key": key })));
            app.client().who(&headers).expect(200);
            app.client().request("GET", "/api/v1", &headers, b"").expect(200);
        }
    }
    let unused = save(&app, &[("SO-TimeZone", "CANARY")]).expect(200);
    assert_eq!(unused.header("SO-TimeZone"), "");
}

/// CONTRACT 14: a page for people is HTML, JSON, or the requested type. It is never rejected for its type.
#[test]
fn pages_for_people_are_never_not_acceptable() {
    let app = TestApp::new();
    let visitor = app.client().with_authorization(None);
    for path in ["/api", "/api/v1", SAVE, GET] {
        for (accept, expected) in [
            ("application/html", "text/html; charset=utf-8"),
            ("Text/HTML2", "text/html; charset=utf-8"),
            ("image/png", "application/json; charset=utf-8"),
            ("*/*;q=0", "application/json; charset=utf-8"),
            ("application/x-www-form-urlencoded", "application/json; charset=utf-8"),
            ("text/html;q=0.1, text/xml", "text/xml; charset=utf-8"),
        ] {
            let answer = visitor.request("GET", path, &[("Accept", accept)], b"").expect(200);
            assert_eq!(answer.header("Content-Type"), expected, "{path} {accept}");
        }
    }
    for path in ["/", "/api/docs", "/api/docs/", "/sign-in", "/api/openapi.json", "/healthz"] {
        let answer = visitor.request("GET", path, &[("Accept", "application/html")], b"");
        assert!(answer.status < 400, "{path}: {answer:?}");
    }
}

/// CONTRACT 14: long and malformed headers are read or ignored, and cause no failure.
#[test]
fn hostile_headers_are_survived() {
    let app = TestApp::new();
    let long = |element: &str| element.repeat(100_000 / element.len());
    for (name, value) in [
        ("Accept", long("text/html, ") + "text/xml"),
        ("Accept", long("a")),
        ("Accept-Language", long("xx-yy;q=0.5,") + "nb"),
        ("Accept-Language", long("-")),
        ("SO-Language", long(";")),
        ("Accept-Language", long("en-99999-99998-")),
    ] {
        let answer = save(&app, &[(name, &value)]).expect(200);
        assert!(answer.body.contains("lk_"), "{name}");
    }
    let host = app.authority();
    for header in ["Accept: \u{e5}\u{ff}", "Accept-Language: \u{e5}", "SO-Language: \u{e5}"] {
        let body = r#"{"Key":"lk_x"}"#;
        let answer = app.raw(&format!(
            "POST {GET} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic dGplMDpUamUw\r\n{header}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{header}: {answer}");
        assert!(answer.contains("Key is not a key"), "{header}: {answer}");
    }
}

/// CONTRACT 15: type, `Vary`, `no-store`, and no compression, on answers and errors.
#[test]
fn every_answer_says_how_it_was_chosen() {
    let app = TestApp::new();
    let compressible = json!({"Provider": "et", "AccessToken": "fugit".repeat(1000)});
    let key = app.client().save(&compressible);
    let headers = [JSON, ("Accept-Encoding", "gzip, deflate, br, zstd")];
    let get =
        |body: Value| app.client().request("POST", GET, &headers, body.to_string().as_bytes());
    for answer in [get(json!({ "Key": key })).expect(200), get(json!({})).expect(400)] {
        let vary = "Accept, Accept-Language, SO-Language, SO-Culture, SO-TimeZone";
        assert_eq!(answer.header("Vary"), vary);
        assert_eq!(answer.header("Cache-Control"), "no-store");
        assert_eq!(answer.header("Content-Encoding"), "");
        assert_eq!(answer.header("Content-Type"), "application/json; charset=utf-8");
    }
}

/// CONTRACT 17: properties that are not selected are null, at every level, and are left out in XML.
#[rstest]
#[case("accesstoken", json!(["/AccessToken"]))]
#[case("%24select=x", json!(null))]
#[case("Provider,TableRight/mask", json!(["/Provider", "/TableRight/Mask"]))]
#[case("FieldProperties/Provider/FieldLength , ACCESSTOKEN", json!(["/AccessToken", "/FieldProperties/Provider/FieldLength"]))]
#[case("FieldProperties/Claims", json!(["/FieldProperties/Claims/FieldLength", "/FieldProperties/Claims/FieldRight/Mask", "/FieldProperties/Claims/FieldRight/Reason", "/FieldProperties/Claims/FieldType"]))]
#[case("name,department,category/id", json!([]))]
fn only_what_is_selected_is_answered(#[case] select: &str, #[case] expected: Value) {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let body = json!({ "Key": key }).to_string();
    let path = format!("{GET}?$select={}", select.replace(' ', "%20"));
    let answer = app.client().request("POST", &path, &[JSON], body.as_bytes()).expect(200).json();
    let names: Vec<&String> = answer.as_object().expect("object").keys().collect();
    let all =
        ["Provider", "AccessToken", "RefreshToken", "Claims", "TableRight", "FieldProperties"];
    assert_eq!(names, all);
    let mut found = Vec::new();
    not_null("", &answer, &mut found);
    found.sort();
    let expected = expected.as_array().cloned().unwrap_or_default();
    assert_eq!(found, expected, "{select}");

    let headers = [JSON, ("Accept", "text/xml")];
    let xml = app.client().request("POST", &path, &headers, body.as_bytes()).expect(200).body;
    let is_named = |name: &str| found.iter().any(|path| path.split('/').any(|part| part == name));
    for name in all {
        assert_eq!(xml.contains(&format!("<{name}>")), is_named(name), "{name} in {xml}");
    }
}

fn not_null(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, member) in members {
                not_null(&format!("{path}/{name}"), member, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// CONTRACT 17: `$select` has no effect on a string, with no property or with many properties selected.
#[test]
fn select_does_not_touch_a_key() {
    let app = TestApp::new();
    let many: Vec<String> = (0..10_000).map(|name| format!("n{name}")).collect();
    let body = br#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#;
    for query in
        ["$select=", "$select=x", "$SELECT=Provider", &format!("$select={}", many.join(","))]
    {
        let path = format!("{SAVE}?{query}");
        let answer = app.client().request("POST", &path, &[JSON], body).expect(200);
        assert!(answer.json().as_str().is_some_and(|key| key.starts_with("lk_")), "{answer:?}");
    }
}

/// CONTRACT 24: further headers of the official client are ignored.
#[test]
fn the_browsers_offset_is_ignored() {
    let app = Setup::new().start();
    for offset in ["60", "-720", "", "CANARY"] {
        save(&app, &[("SO-Browser-TZ-Offset", offset)]).expect(200);
    }
}
