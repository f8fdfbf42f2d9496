//! The total size of the bodies in flight (CONTRACT 35).

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use flate2::{Compression, write::GzEncoder};

use crate::support::{
    app::{Setup, TestApp, until},
    client::{Answer, to_save},
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
/// A length of which two do not fit into the budget.
const LENGTH: usize = 190_000;

/// A save with a body of that length, which violates a rule of carriers.
fn large() -> Vec<u8> {
    let body = to_save("").to_string();
    to_save(&"CANARY-".repeat(LENGTH)[..LENGTH - body.len()]).to_string().into_bytes()
}

fn post_large(app: &TestApp) -> Answer {
    app.client().request("POST", SAVE, &[("Content-Type", "application/json")], &large())
}

/// Sends a large body except for its last byte.
fn begin(app: &TestApp) -> TcpStream {
    let mut stream = TcpStream::connect(app.authority()).expect("connect");
    let head = format!(
        "POST {SAVE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic dGplMDpUamUw\r\n\
         Content-Type: application/json\r\nContent-Length: {LENGTH}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("send");
    stream.write_all(&large()[..LENGTH - 1]).expect("send");
    stream
}

/// CONTRACT 35: past the budget the answer is a 503, and small bodies are still read. The server returns a body's share
/// of the budget after the answer, and when the client leaves.
#[test]
fn bodies_in_flight_have_a_budget() {
    let setup = Setup::new().with("LIMITS__BODY_BYTES", "200000");
    let app = setup.with("LIMITS__BODIES_BYTES", "300000").start();
    post_large(&app).expect_error(400, "ArgumentException", "AccessToken is longer than");

    let mut held = begin(&app);
    until("the budget is used up", || post_large(&app).status == 503);
    let refused = post_large(&app).expect_error(503, "SoUnavailableException", "overloaded");
    assert_eq!(refused.header("Retry-After"), "1");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&large()).expect("gzip");
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let compressed = gzip.finish().expect("gzip");
    assert!(compressed.len() < 16_000, "{}", compressed.len());
    app.client().request("POST", SAVE, &headers, &compressed).expect(503);
    app.client().post("SaveExternalTokens", &to_save("CANARY-small")).expect(200);

    held.write_all(&large()[LENGTH - 1..]).expect("send");
    let mut answer = String::new();
    held.read_to_string(&mut answer).expect("receive");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    until("it is given back", || post_large(&app).status == 400);

    let held = begin(&app);
    until("the budget is used up again", || post_large(&app).status == 503);
    drop(held);
    until("it is given back again", || post_large(&app).status == 400);
}
