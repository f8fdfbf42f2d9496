//! The id of a request and its trace: from a trusted proxy they are kept, from any other client they are ignored.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::app::{Setup, TestApp};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn trusting(networks: &str) -> TestApp {
    Setup::new().with("SERVER__TRUSTED_PROXIES", networks).with("LOG__FORMAT", "json").start()
}

/// The line of the log about the request with this id.
fn line(app: &TestApp, id: &str) -> Value {
    let line = app.logged(&["\"message\":\"answered\"", &format!("\"request.id\":\"{id}\"")]);
    serde_json::from_str(&line).expect("JSON")
}

/// Asserts that the server made this id.
fn assert_made(id: &str) {
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
}

/// CONTRACT 36: the id is in the answer, in the error's details and in the log.
#[test]
fn a_trusted_proxy_names_the_request_and_its_trace() {
    let app = trusting("127.0.0.1");
    let client = app.client();
    let headers = [("X-Request-Id", "edge:7/Root=1-67+a@b_c.d"), ("traceparent", TRACEPARENT)];
    let answer = client.who(&headers).expect(200);
    assert_eq!(answer.header("X-Request-Id"), headers[0].1);
    let span = &line(&app, headers[0].1)["span"];
    assert_eq!((&span["trace.id"], &span["user.login"]), (&json!(TRACE), &json!("tje0")));

    let refused = client.with_authorization(None).who(&[("X-Request-Id", "edge-8")]).expect(401);
    let detail = refused.json()["MessageDetail"].to_string();
    assert!(detail.contains("Request id: edge-8"), "{detail}");
    assert!(line(&app, "edge-8")["span"].get("trace.id").is_none());

    let answer = client.who(&[("traceparent", TRACEPARENT)]).expect(200);
    assert_made(answer.header("X-Request-Id"));
    assert_eq!(line(&app, answer.header("X-Request-Id"))["span"]["trace.id"], TRACE);
    let of_path = [("X-Request-Id", "edge-9")];
    let missing = client.request("GET", "/no-such-path", &of_path, b"").expect(404);
    assert_eq!(missing.header("X-Request-Id"), "edge-9");
}

#[rstest]
#[case::no_proxy("")]
#[case::another_proxy("10.0.0.0/8")]
fn other_clients_name_nothing(#[case] networks: &str) {
    let app = trusting(networks);
    let headers = [("X-Request-Id", "CANARY-id"), ("traceparent", TRACEPARENT)];
    let answer = app.client().who(&headers).expect(200);
    let id = answer.header("X-Request-Id");
    assert_made(id);
    assert!(line(&app, id)["span"].get("trace.id").is_none());
}

/// An id that is not safe is replaced, and the rest of its request is served.
#[rstest]
#[case::empty("X-Request-Id: \r\n")]
#[case::space("X-Request-Id: CANARY id\r\n")]
#[case::quote("X-Request-Id: CANARY\"id\r\n")]
#[case::markup("X-Request-Id: <CANARY>\r\n")]
#[case::not_ascii("X-Request-Id: CANARY-\u{f8}\r\n")]
#[case::escaped_line_break("X-Request-Id: CANARY%0d%0aX: y\r\n")]
#[case::twice("X-Request-Id: CANARY-a\r\nX-Request-Id: CANARY-b\r\n")]
#[case::too_long(&format!("X-Request-Id: {}\r\n", "CANARY-".repeat(19)))]
#[case::trace_in_capitals(
    "traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\r\n"
)]
#[case::trace_of_zeros("traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n")]
#[case::trace_of_another_form("traceparent: CANARY\r\n")]
fn a_bad_name_is_replaced(#[case] lines: &str) {
    let app = trusting("127.0.0.1");
    let answer = app.raw(&format!(
        "GET /api/v1 HTTP/1.1\r\nHost: {}\r\n{lines}Connection: close\r\n\r\n",
        app.authority()
    ));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let id = answer.to_lowercase();
    let (_, id) = id.split_once("x-request-id: ").expect("an id");
    let id = id.lines().next().expect("a line");
    assert_made(id);
    assert!(line(&app, id)["span"].get("trace.id").is_none());
}

/// A control character is refused with its request, or its id is replaced. It reaches neither the answer nor the log.
#[rstest]
#[case::escape("CANARY\u{1b}[31m")]
#[case::carriage_return("CANARY\rX-Injected: y")]
#[case::nul("CANARY\0")]
fn a_control_character_goes_nowhere(#[case] id: &str) {
    let app = trusting("127.0.0.1");
    let answer = app.raw(&format!(
        "GET /api/v1 HTTP/1.1\r\nHost: {}\r\nX-Request-Id: {id}\r\nConnection: close\r\n\r\n",
        app.authority()
    ));
    assert!(
        !answer.contains("CANARY") && !answer.to_lowercase().contains("x-injected"),
        "{answer}"
    );
    app.client().who(&[]).expect(200);
    app.logged(&["answered"]);
    assert!(!app.log().contains('\u{1b}') && !app.log().contains("CANARY"), "{}", app.log());
}
