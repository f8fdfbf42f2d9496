//! Request smuggling and split headers, over raw connections (RFC 9112 §6.3, §11).
//!
//! Invariant: bytes that two programs could read as two different requests never cause a second call.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use crate::support::{
    app::{TIMEOUT, TestApp},
    raw::save_request,
};

const GET: &str = "POST /api/v1/Agents/User/GetExternalTokens HTTP/1.1\r\n";
const LOGIN: &str = "Authorization: Basic dGplMDpUamUw\r\nContent-Type: application/json\r\n";

/// Sends bytes and closes the sending side; returns all bytes that come back.
fn exchange(app: &TestApp, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.authority()).expect("connect");
    stream.set_read_timeout(Some(TIMEOUT)).expect("timeout");
    // A server that has read enough closes the connection, or resets it.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The number of answers.
fn answers(received: &str) -> usize {
    received.matches("HTTP/1.1 ").count() + received.matches("HTTP/1.0 ").count()
}

/// Request heads whose body length is ambiguous, each before a body that contains another request.
fn ambiguous(smuggled: &str) -> Vec<String> {
    let length = smuggled.len();
    let chunked = format!("0\r\n\r\n{smuggled}");
    let chunk = format!("{length:x}\r\n{smuggled}\r\n0\r\n\r\n");
    let lengths = [
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        format!("Content-Length: 0, {length}\r\n"),
        "Content-Length: +0\r\n".to_owned(),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 0x0\r\n".to_owned(),
        "Content-Length: 0 0\r\n".to_owned(),
        "Content-Length: 0;\r\n".to_owned(),
        "Content-Length: ٠\r\n".to_owned(),
        "Content-Length: 18446744073709551616\r\n".to_owned(),
        "Content-Length: \r\n".to_owned(),
        "Content-Length : 0\r\n".to_owned(),
        "Content-Length\t: 0\r\n".to_owned(),
        " Content-Length: 0\r\n".to_owned(),
        "X: y\r\n Content-Length: 0\r\n".to_owned(),
        "Content-Length\0: 0\r\n".to_owned(),
        "X: y\rContent-Length: 0\r\n".to_owned(),
        "Content-Length:\r\n 0\r\n".to_owned(),
    ];
    let codings = [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer_Encoding: chunked\r\n",
    ];
    let mut heads: Vec<String> =
        lengths.iter().map(|head| format!("{GET}{LOGIN}{head}\r\n{smuggled}")).collect();
    for coding in codings {
        // By the length all of it is one body. By the coding the body is empty, and the second request follows it.
        let both = format!("{coding}Content-Length: {}\r\n", chunked.len());
        heads.push(format!("{GET}{LOGIN}{both}\r\n{chunked}"));
    }
    for (coding, length) in [("Transfer-Encoding: chunked\r\n", chunked.len()), ("", 4)] {
        let one = format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n{coding}");
        heads.push(format!("{GET}{LOGIN}{one}\r\n{chunked}"));
        heads.push(format!("{GET}{LOGIN}{one}\r\n{chunk}"));
    }
    for frame in [
        format!("0x0\r\n\r\n{smuggled}"),
        format!("-1\r\n\r\n{smuggled}"),
        format!("+0\r\n\r\n{smuggled}"),
        format!(" 0\r\n\r\n{smuggled}"),
        format!("0\n\n{smuggled}"),
        format!("0;\n\r\n{smuggled}"),
        format!("0;a\rb\r\n\r\n{smuggled}"),
        format!("\r\n0\r\n\r\n{smuggled}"),
        format!("1\r\nxx\r\n0\r\n\r\n{smuggled}"),
        format!("FFFFFFFFFFFFFFFFF\r\n{smuggled}"),
        format!("1\r\nx0\r\n\r\n{smuggled}"),
    ] {
        heads.push(format!("{GET}{LOGIN}Transfer-Encoding: chunked\r\n\r\n{frame}"));
    }
    for line in [
        "POST /api/v1 HTTP/1.1\rX: y\r\n",
        "POST /api/v1 HTTP/1.1 HTTP/1.1\r\n",
        "POST /api/v1\r\n",
        "POST /api/v1 HTTP/9.9\r\n",
        "POST /api/v1 http/1.1\r\n",
        "POST /api/\0v1 HTTP/1.1\r\n",
        "PO ST /api/v1 HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n",
    ] {
        heads.push(format!("{line}{LOGIN}Content-Length: 0, {length}\r\n\r\n{smuggled}"));
    }
    // HTTP/1.0 has no transfer coding (RFC 9112 §6.1).
    let old = GET.replace("1.1", "1.0");
    heads.push(format!("{old}{LOGIN}Transfer-Encoding: chunked\r\n\r\n{chunked}"));
    heads
}

/// CONTRACT 34, 35: on each such connection at most the first request is answered. The second, which would save a
/// record, never runs.
#[test]
fn no_second_request_is_smuggled() {
    let app = TestApp::new();
    let smuggled = save_request(app.authority(), "CANARY");
    let smuggled = String::from_utf8(smuggled).expect("text");
    let host = format!("Host: {}\r\n", app.authority());
    for request in ambiguous(&smuggled) {
        let request = request.replacen("Authorization", &format!("{host}Authorization"), 1);
        let answered = exchange(&app, request.as_bytes());
        let is_refused = answered.is_empty() || answered.starts_with("HTTP/1.1 4");
        let is_refused = is_refused || answered.starts_with("HTTP/1.0 4");
        assert!(is_refused && answers(&answered) <= 1, "{request:?}: {answered}");
        assert!(!answered.contains("CANARY"), "{answered}");
        assert_eq!(app.saved_rows(), 0, "{request:?}");
    }
    let twice = format!("{smuggled}{smuggled}");
    assert_eq!(answers(&exchange(&app, twice.as_bytes())), 2, "two whole requests are two");
    assert_eq!(app.saved_rows(), 2);
}

/// CONTRACT 1, 23, 34: text of a request never becomes a separate header of the answer, and never leads to another
/// host.
#[test]
fn no_header_of_an_answer_is_split() {
    let app = TestApp::new();
    let host = app.authority();
    for path in [
        "/%0d%0aX-Injected:%20y",
        "/api/docs/%0d%0aX-Injected:%20y",
        "/api/v1?%0d%0aX-Injected:%20y",
        "//evil.example/%2f..",
        "//evil.example",
        "/\\evil.example",
        "/.//evil.example/",
        "http://evil.example/",
        "/sign-in?next=//evil.example",
        "/account?next=%0d%0aX-Injected:%20y",
    ] {
        for more in [
            "",
            "X-Forwarded-Host: evil.example\r\n",
            "X-Request-Id: a%0d%0aX-Injected: y\r\n",
            "SO-TimeZone: NO%0d%0aX-Injected: y\r\n",
            "Origin: http://evil.example\r\n",
            "Accept: text/html%0d%0aX-Injected: y\r\n",
        ] {
            let answer = app.raw(&format!(
                "GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n"
            ));
            let head = answer.split("\r\n\r\n").next().expect("a head").to_ascii_lowercase();
            assert!(answers(&answer) == 1, "{path:?} {more:?}: {answer}");
            let names = head.lines().filter_map(|line| line.split_once(':'));
            assert!(names.clone().all(|(name, _)| name != "x-injected"), "{path:?}: {head}");
            let mut locations = names.filter(|(name, _)| *name == "location");
            assert!(locations.all(|(_, to)| !to.contains("evil")), "{path:?} {more:?}: {head}");
        }
    }
}
