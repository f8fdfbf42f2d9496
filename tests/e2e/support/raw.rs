//! Requests on raw connections, for cases that a well-behaved client never produces.
//!
//! Invariant: an answer is taken from a connection's bytes completely or not at all.

use std::{net::TcpStream, time::Duration};

use socket2::SockRef;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use crate::support::client::{Answer, to_save};

/// The bytes of a request that saves a carrier with this access token.
pub(crate) fn save_request(authority: &str, access_token: &str) -> Vec<u8> {
    let body = to_save(access_token).to_string();
    let head = format!(
        "POST /api/v1/Agents/User/SaveExternalTokens HTTP/1.1\r\nHost: {authority}\r\n\
         Authorization: Basic dGplMDpUamUw\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// A request for the caller's identity, as it is sent.
pub(crate) fn who_request(authority: &str, authorization: &str) -> String {
    format!(
        "GET /api/v1/User/currentPrincipal HTTP/1.1\r\nHost: {authority}\r\n\
         Authorization: {authorization}\r\n\r\n"
    )
}

/// Resets a connection, so that the server sees at once that its client has left.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
    drop(stream);
}

/// Takes the first answer from the received bytes, if it is complete.
pub(crate) fn take_answer(received: &mut Vec<u8>) -> Option<Answer> {
    let head_end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = str::from_utf8(&received[..head_end]).expect("a head is text");
    let mut lines = head.lines();
    let status =
        lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: HeaderName = name.parse().expect("a header's name");
        headers.append(name, HeaderValue::from_str(value).expect("a header's value"));
    }
    let length = headers.get("Content-Length").expect("answers have a length");
    let length: usize = length.to_str().expect("text").parse().expect("a number");
    let body = received.get(head_end..head_end + length)?;
    let body = str::from_utf8(body).expect("a body is text").to_owned();
    received.drain(..head_end + length);
    Some(Answer { status: status.expect("a status"), headers, body })
}
