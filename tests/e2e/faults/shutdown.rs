//! Shutdown: requests under way are finished, and new ones are not accepted.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::json;

use crate::support::{
    app::{Setup, TIMEOUT, TestApp, signal, until},
    client::Client,
};

/// Opens a connection and sends the head of a save; returns once the server has taken the request.
pub(crate) fn begin_a_save(app: &TestApp, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.authority()).expect("connect");
    stream.set_read_timeout(Some(TIMEOUT)).expect("timeout");
    let head = format!(
        "POST /api/v1/Agents/User/SaveExternalTokens HTTP/1.1\r\nHost: {}\r\n\
         Authorization: Basic dGplMDpUamUw\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        app.authority(),
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("send the head");
    let mut go_on = *b"HTTP/1.1 100 Continue\r\n\r\n";
    stream.read_exact(&mut go_on).expect("the request is taken");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// SIGTERM and SIGINT: a request under way is finished, and a new connection is not accepted.
#[rstest]
fn a_shutdown_finishes_what_is_under_way_and_takes_nothing_new(
    #[values("TERM", "INT")] name: &str,
) {
    let mut app = TestApp::new();
    let body = r#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#;
    let mut under_way = begin_a_save(&app, body);

    app.signal(name);
    until("new connections are refused", || TcpStream::connect(app.authority()).is_err());
    under_way.write_all(body.as_bytes()).expect("send the body");
    let mut answer = String::new();
    under_way.read_to_string(&mut answer).expect("receive");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    let key: String = serde_json::from_str(body).expect("a key");
    assert!(app.wait().success());

    let app = app.setup.start();
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
}

/// After a second signal the server does not wait for the slowest client.
#[test]
fn a_second_signal_stops_at_once() {
    let mut app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let _never_finished = begin_a_save(&app, "{}");
    app.signal("TERM");
    until("the signal is noticed", || app.log().contains("finishing the requests under way"));
    app.signal("TERM");
    assert!(app.wait().success());
    app.logged(&["stopping at once"]);
    assert_eq!(app.setup.start().client().access_token(&key).as_deref(), Some("fugit"));
}

/// A drain is limited (`server.drain_seconds`): a client that sends its body a byte at a time is cut off. Acknowledged
/// saves are kept, and the server exits successfully.
#[test]
fn a_client_that_dribbles_does_not_hold_up_the_end() {
    let setup =
        Setup::new().with("SERVER__DRAIN_SECONDS", "1").with("LIMITS__BODY_SECONDS", "3600");
    let mut app = setup.start();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let mut under_way = begin_a_save(&app, &" ".repeat(100_000));
    let dribble = thread::spawn(move || {
        while under_way.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let begun = Instant::now();
    app.signal("TERM");
    assert!(app.wait().success(), "{}", app.log());
    // The limit before the setting existed.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    dribble.join().expect("it is cut off");
    assert_eq!(app.setup.start().client().access_token(&key).as_deref(), Some("fugit"));
}

/// If the log collector is gone, requests and the shutdown still work.
#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let setup = Setup::new();
    let mut command = setup.command();
    let mut process =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    drop(process.stderr.take());
    let mut line = String::new();
    let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
    stdout.read_line(&mut line).expect("the greeting");
    let url = line.trim().strip_prefix("Latchkey is running on ").expect("the URL");
    let key = Client::new(url).save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    signal(&process, "TERM");
    assert!(process.wait().expect("wait").success());
    assert_eq!(setup.start().client().access_token(&key).as_deref(), Some("fugit"));
}
