//! Errors: one shape, the right status and headers, and no leaks (CONTRACT 34–36).

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    client::Answer,
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
/// The value of `Accept-Post` (CONTRACT 13).
const READ: &str = "application/json, text/json, application/xml, text/xml, \
                    application/x-www-form-urlencoded, application/json-patch+json, \
                    application/merge-patch+json";

fn small_limits() -> Setup {
    Setup::new().with("LIMITS__BODY_BYTES", "1000").with("LIMITS__TOKEN_BYTES", "100")
}

/// Asserts the shape of CONTRACT 34, and the headers of every answer.
fn expect_shape(answer: &Answer) {
    let body = answer.json();
    let names: Vec<&str> = body.as_object().expect("object").keys().map(String::as_str).collect();
    let expected =
        ["Error", "ErrorType", "ErrorMessage", "ErrorSource", "Message", "MessageDetail"];
    assert_eq!(names, expected);
    assert_eq!(body["Error"], true);
    assert_eq!(body["ErrorMessage"], body["Message"]);
    assert_eq!(body["ErrorSource"], "Latchkey");
    let id = answer.header("X-Request-Id");
    let detail = body["MessageDetail"].as_str().expect("text");
    assert!(detail.ends_with(&format!("Request id: {id}")), "{detail}");
    assert!(id.len() >= 32, "{id}");
    assert_eq!(answer.header("Content-Type"), "application/json; charset=utf-8");
    assert_eq!(answer.header("Cache-Control"), "no-store");
    assert_eq!(answer.header("X-Content-Type-Options"), "nosniff");
}

/// CONTRACT 34, 35.
#[test]
fn every_error_has_the_one_shape() {
    let app = small_limits().start();
    let client = app.client();
    let json = [("Content-Type", "application/json")];
    let body = br#"{"TokenManagementInfo":{"Provider":"CANARY","AccessToken":"CANARY"}}"#;
    let long = format!(r#"{{"CANARY":"{}"}}"#, "x".repeat(1000));

    let answer = client.request("POST", SAVE, &json, b"{\"CANARY\"");
    expect_shape(&answer.expect_error(400, "ArgumentException", "The body is not valid JSON"));

    let answer = client.with_authorization(None).request("POST", SAVE, &json, body);
    expect_shape(&answer.expect_error(401, "SoSessionException", "This call needs a login"));

    for path in
        ["/nowhere", "/CANARY", "/api/v1/Agents/User", "/api/v1/Agents/User/Other", "/..%2f"]
    {
        let answer = client.request("POST", path, &json, body);
        expect_shape(&answer.expect_error(404, "SoNotFoundException", "Nothing is served"));
    }

    for method in ["PUT", "DELETE", "PATCH", "TRACE"] {
        let answer = client.request(method, SAVE, &[], b"");
        let answer = answer.expect_error(405, "NotSupportedException", "serves only POST, GET");
        assert_eq!(answer.header("Allow"), "POST, GET, HEAD, OPTIONS");
        expect_shape(&answer);
    }
    let answer = client.request("POST", "/healthz", &json, body).expect(405);
    assert_eq!(answer.header("Allow"), "GET, HEAD, OPTIONS");

    let answer = client.request("POST", SAVE, &json, long.as_bytes());
    expect_shape(&answer.expect_error(413, "SoLimitException", "longer than 1000 bytes"));

    for (content_type, message) in [
        ("text/plain", "send application/json, text/json"),
        ("CANARY", "send application/json, text/json"),
        ("", "send application/json, text/json"),
        ("application/json; charset=utf-7", "send utf-8, utf-16 or iso-8859-1"),
    ] {
        let answer = client.request("POST", SAVE, &[("Content-Type", content_type)], body);
        let answer = answer.expect_error(415, "NotSupportedException", message);
        assert_eq!(answer.header("Accept-Post"), READ);
        expect_shape(&answer);
    }
    let answer = client.request("POST", SAVE, &[], body);
    expect_shape(&answer.expect_error(415, "NotSupportedException", "no Content-Type"));
    let answer = client.request("POST", SAVE, &[], b"");
    expect_shape(&answer.expect_error(400, "ArgumentException", "TokenManagementInfo is required"));
    let answer = client.request("POST", SAVE, &[json[0], json[0]], body);
    expect_shape(&answer.expect_error(400, "ArgumentException", "more than one Content-Type"));
    for coding in ["compress", "gzip, br", "CANARY"] {
        let compressed = [json[0], ("Content-Encoding", coding)];
        let answer = client.request("POST", SAVE, &compressed, body);
        let answer = answer.expect_error(415, "NotSupportedException", "one of gzip, deflate, br");
        assert_eq!(answer.header("Accept-Encoding"), "gzip, deflate, br, zstd");
        expect_shape(&answer);
    }
    let accept = [json[0], ("Accept", "image/png")];
    let answer = client.request("POST", SAVE, &accept, body);
    expect_shape(&answer.expect_error(406, "NotSupportedException", "ask for application/json"));
}

/// CONTRACT 34, 36: `MessageDetail` has further information if there is any, and contains no secret value.
#[test]
fn a_detail_says_what_the_message_does_not() {
    let app = small_limits().start();
    let json = "application/json";
    let provider = format!(r#"{{"TokenManagementInfo":{{"Provider":"{}"}}}}"#, "CANARY".repeat(50));
    let token = json!({"TokenManagementInfo": {
        "Provider": "CANARY", "AccessToken": "CANARY".repeat(20)
    }});
    let list = "/api/v1/Agents/ExternalTokens/List";
    for (path, content_type, body, detail) in [
        (SAVE, json, provider.into_bytes(), "Its length is 300; the limit is 255. "),
        (SAVE, json, token.to_string().into_bytes(), "Its length is 120; the limit is 100. "),
        (SAVE, json, b"{}".to_vec(), "TokenManagementInfo is missing, null or empty in the body"),
        (
            SAVE,
            json,
            b"{\"CANARY\":\"\xe5\"}".to_vec(),
            "Byte 12 of the body is the first invalid one",
        ),
        (SAVE, json, b"\xe5".to_vec(), "name it in Content-Type, such as charset=iso-8859-1. "),
        (list, json, b"{\"Limit\":5000}".to_vec(), "It is 5000. "),
        (list, json, b"{\"CANARY\"".to_vec(), "Request id: "),
    ] {
        let headers = [("Content-Type", content_type)];
        let answer = app.client().request("POST", path, &headers, &body).expect(400);
        expect_shape(&answer);
        let told = answer.json()["MessageDetail"].as_str().expect("text").to_owned();
        assert!(told.contains(detail), "{told:?} does not say {detail:?}");
        assert!(!answer.body.contains("CANARY"), "{}", answer.body);
    }
}

/// CONTRACT 11: if a client sends JSON as a form, the error names the right header.
#[test]
fn json_that_is_sent_as_a_form_is_reported() {
    let app = TestApp::new();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for (body, sent) in [
        (r#"{"Key":"CANARY"}"#, "The body is JSON, though Content-Type says that it is a form"),
        ("[]", "send Content-Type: application/json."),
        ("%7B%22Key%22:%22CANARY%22%7D", "send Content-Type: application/json."),
        ("<x><Key>CANARY</Key></x>", "send Content-Type: application/xml."),
    ] {
        for path in [SAVE, "/api/v1/Agents/User/GetExternalTokens"] {
            let answer = app.client().request("POST", path, &form, body.as_bytes());
            expect_shape(&answer.expect_error(400, "ArgumentException", sent));
        }
    }
}

/// CONTRACT 36: the worst mistake of a client is to put secrets everywhere. `TestApp` searches the log for them, and
/// this test searches every part of the answer.
#[test]
fn no_error_repeats_what_was_sent() {
    let app = TestApp::new();
    let client = app.client().with_authorization(Some("Basic CANARY"));
    let json = [("Content-Type", "application/json")];
    let headers = [json[0], ("Cookie", "CANARY=CANARY"), ("X-Request-Id", "CANARY")];
    let paths = [format!("{SAVE}?key=CANARY&$select=CANARY"), "/CANARY/lk_CANARY".to_owned()];
    for client in [client, app.client()] {
        for path in &paths {
            for method in ["POST", "PATCH", "PUT"] {
                for body in [&br#"{"CANARY":"#[..], br#"{"TokenManagementInfo":"CANARY"}"#] {
                    let answer = client.request(method, path, &headers, body);
                    let answered = format!("{answer:?}");
                    assert!(answer.status >= 400 && !answered.contains("CANARY"), "{answered}");
                }
            }
        }
    }
}

/// CONTRACT 13, 35: the head of a request is checked before the server waits for its body.
#[rstest]
#[case("text/plain", 100, "415")]
#[case("application/json", 99_999_999, "413")]
fn a_body_that_will_be_refused_is_not_waited_for(
    #[case] content_type: &str,
    #[case] length: usize,
    #[case] status: &str,
) {
    let app = TestApp::new();
    let host = app.authority();
    let answer = app.raw(&format!(
        "POST {SAVE} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic dGplMDpUamUw\r\n\
         Content-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    ));
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
}

/// CONTRACT 35: the server does not wait for a body that does not arrive.
#[test]
fn a_slow_body_times_out() {
    let app = Setup::new().with("LIMITS__BODY_SECONDS", "1").start();
    let host = app.authority();
    let answer = app.raw(&format!(
        "POST {SAVE} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Basic dGplMDpUamUw\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{{"
    ));
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("The body did not arrive within 1 s."), "{answer}");
}

/// CONTRACT 35, 36: an unknown method is rejected and not logged.
#[test]
fn an_unknown_method_is_not_allowed() {
    let app = TestApp::new();
    let host = app.authority();
    let request = format!("CANARY {SAVE} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = app.raw(&request);
    assert!(answer.starts_with("HTTP/1.1 405 ") && !answer.contains("CANARY"), "{answer}");
}

/// The body is not read or checked before the caller is known.
#[test]
fn an_unknown_caller_learns_nothing_about_its_body() {
    let app = small_limits().start();
    let client = app.client().with_authorization(None);
    for body in ["{", "", &"x".repeat(1000)] {
        client.post_text("SaveExternalTokens", body).expect(401);
    }
}

#[test]
fn health_needs_no_login_and_tells_little() {
    let app = TestApp::new();
    let client = app.client().with_authorization(None);
    let alive = client.request("GET", "/healthz", &[], b"").expect(200);
    assert_eq!(alive.json(), json!({"Status": "alive"}));
    let ready = client.request("GET", "/readyz", &[], b"").expect(200);
    assert_eq!(ready.json(), json!({"Status": "ready"}));
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client.request("HEAD", path, &[], b"").expect(200).body, "");
    }
}

/// The log has the reason of a rejection, with the same text as the answer.
#[test]
fn the_log_says_why_a_request_was_refused() {
    let app = TestApp::new();
    app.client().post("SaveExternalTokens", &json!({})).expect(400);
    app.logged(&["TokenManagementInfo is required."]);
}

/// Outside development, each line of the log is a JSON object that contains the request's id.
#[test]
fn logs_are_json_outside_development() {
    let app = Setup::new().with("PROFILE", "production").with("LOG__FILTER", "debug").start();
    let answer = app.client().request("GET", "/healthz", &[], b"").expect(200);
    app.logged(&["answered"]);
    let log = app.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let answered: Vec<Value> = lines.filter(|line| line["message"] == "answered").collect();
    assert_eq!(answered.len(), 1, "{log}");
    assert_eq!(answered[0]["http.status"], 200);
    assert_eq!(answered[0]["span"]["request.id"], answer.header("X-Request-Id"));
    assert_eq!(answered[0]["span"]["http.route"], "/healthz");
    assert_eq!(answered[0]["span"]["client.address"], "127.0.0.1");
    for field in ["timestamp", "level", "request.id", "http.route", "http.status", "span"] {
        let count = |line: &str| line.matches(&format!("\"{field}\":")).count();
        assert!(log.lines().all(|line| count(line) <= 1), "{field}: {log}");
    }
}

/// CONTRACT 36: even the most verbose log, with every library, contains no secret. `TestApp` searches it.
#[test]
fn the_most_detailed_log_holds_no_secret() {
    let filter = "trace,actix_http=trace,actix_server=trace,mio=trace";
    let app = Setup::new().with("LOG__FILTER", filter).start();
    let carrier = json!({"Provider": "et", "AccessToken": "CANARY", "RefreshToken": "CANARY"});
    let key = app.client().save(&carrier);
    assert_eq!(app.client().access_token(&key).as_deref(), Some("CANARY"));
    app.client().post_text("SaveExternalTokens", r#"{"CANARY":"#).expect(400);
    app.client().with_authorization(Some("Basic CANARY")).post("GetExternalTokens", &carrier);
    app.logged(&["TRACE"]);
}
