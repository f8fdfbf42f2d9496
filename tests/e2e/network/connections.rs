//! A client without a login cannot disturb others by connections alone.
//!
//! Invariant: none of these clients has a login, and each test ends with a save by a client that has one.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    process::Command,
    time::Duration,
};

use serde_json::json;

use crate::{
    faults::shutdown::begin_a_save,
    support::app::{Setup, TIMEOUT, TestApp, until},
};

/// The number of requests that a client sends on each connection. Each answer is ten times the size of its request.
const PIPELINED: usize = 20_000;
const ATTACKERS: usize = 6;
/// A tolerance: all the answers would take a hundred times as much memory.
const SOME_MEGABYTES: usize = 64;

fn connect(app: &TestApp) -> TcpStream {
    let stream = TcpStream::connect(app.authority()).expect("connect");
    stream.set_read_timeout(Some(TIMEOUT)).expect("timeout");
    stream
}

/// Whether the server has closed a connection.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(10))).expect("timeout");
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

fn assert_saves(app: &TestApp) {
    app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
}

/// Sends pipelined requests until the server takes no more, and reads no answer.
fn flood(mut stream: &TcpStream) {
    let requests = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(PIPELINED);
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("timeout");
    let mut unsent = &requests[..];
    while let Ok(count) = stream.write(unsent)
        && count < unsent.len()
    {
        unsent = &unsent[count..];
    }
}

/// Unread answers take little memory, and their connections are closed after some time.
#[test]
fn answers_that_are_not_read_stop_the_requests_of_their_connection() {
    let setup = Setup::new().with("LIMITS__ANSWER_SECONDS", "3").with("LOG__FILTER", "warn");
    let app = setup.start();
    assert_saves(&app);
    let before = app.resident_megabytes();
    let mut attackers: Vec<TcpStream> = (0..ATTACKERS).map(|_| connect(&app)).collect();
    for attacker in &attackers {
        flood(attacker);
    }
    assert_saves(&app);
    until("their connections are closed", || {
        let now = app.resident_megabytes();
        assert!(now < before + SOME_MEGABYTES, "{before} MB, then {now} MB");
        attackers.retain(|attacker| !has_ended(attacker));
        attackers.is_empty()
    });
    assert_saves(&app);
}

/// Whether the server has given up a connection, even if some of its answers are not read yet.
fn has_ended(mut stream: &TcpStream) -> bool {
    stream.write(b"\r\n").is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
}

/// A connection whose answers are read stays open: a slow reader gets all answers, in order.
#[test]
fn a_client_that_reads_late_gets_every_answer() {
    let app = TestApp::new();
    let mut stream = connect(&app);
    let mut sender = stream.try_clone().expect("clone");
    let requests = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(PIPELINED);
    let sending = std::thread::spawn(move || {
        sender.write_all(&requests).expect("send");
        sender.shutdown(std::net::Shutdown::Write).expect("shut down");
    });
    std::thread::sleep(Duration::from_millis(500));
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).expect("receive");
    sending.join().expect("sent");
    let count = memchr::memmem::find_iter(&answers, b"HTTP/1.1 200 OK").count();
    assert_eq!(count, PIPELINED);
}

/// With few descriptors and 1,100 idle connections from one host, the server still serves others at once.
#[test]
fn idle_connections_make_room_for_others() {
    let setup = Setup::new();
    let mut command = Command::new("sh");
    let server = setup.command();
    command.current_dir(setup.folder()).env_clear();
    command.envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.arg("-c").arg("ulimit -n 1024; exec \"$0\"").arg(server.get_program());
    command.process_group(0);
    let app = TestApp::start(setup, command).expect("starts");
    let mut idle: Vec<TcpStream> = (0..1100).map(|_| connect(&app)).collect();
    for _ in 0..10 {
        assert_saves(&app);
    }
    // The server closed some of them, and not all.
    let closed = idle.iter_mut().map(is_closed).filter(|is_closed| *is_closed).count();
    assert!((1..1100).contains(&closed), "{closed} of 1100 are closed");
}

/// The oldest idle connection is closed to make room; a connection within a request is not.
#[test]
fn a_connection_in_a_request_is_not_closed_for_another() {
    let app = Setup::new().with("SERVER__CONNECTIONS_PER_ADDRESS", "4").start();
    let body = r#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#;
    let mut busy = begin_a_save(&app, body);
    let mut oldest = connect(&app);
    let mut newer: Vec<TcpStream> = (0..6).map(|_| connect(&app)).collect();
    until("the oldest idle connection is closed", || is_closed(&mut oldest));
    until("others are closed", || {
        newer.iter_mut().map(is_closed).filter(|is_closed| *is_closed).count() >= 3
    });
    busy.write_all(body.as_bytes()).expect("send");
    let mut answer = vec![0; 4096];
    let length = busy.read(&mut answer).expect("receive");
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    until("it is logged", || app.log().contains("connections_per_address"));
}

/// A request head without an end is given up, also on a connection that had a request before.
#[test]
fn a_head_that_does_not_arrive_is_given_up() {
    let setup = ["HEAD", "BODY", "IDLE"]
        .iter()
        .fold(Setup::new(), |setup, what| setup.with(&format!("LIMITS__{what}_SECONDS"), "1"));
    let app = setup.start();
    let mut stream = connect(&app);
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HT")
        .expect("send");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("receive");
    assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{answers}");
    assert_saves(&app);
}

/// With TLS: a client that offers only HTTP/1.0, and one that is silent for a long time.
#[test]
fn a_tls_client_of_http_1_0_is_served() {
    if !crate::support::parts::has("curl") || !crate::support::parts::has("openssl") {
        return crate::support::parts::leave_out("HTTP/1.0 over TLS", "curl and openssl");
    }
    let setup = Setup::new();
    let folder = setup.folder().to_owned();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "30", "-keyout", "server.key", "-out", "server.crt", "-subj"])
        .args(["/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .current_dir(&folder)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let app = setup
        .with("SERVER__TLS__CERTIFICATE", "server.crt")
        .with("SERVER__TLS__KEY", "server.key")
        .with("SERVER__CONNECTIONS_PER_ADDRESS", "3")
        .start();
    // Handshakes that never begin do not keep their places for long: the oldest one is closed to make room.
    let silent: Vec<TcpStream> = (0..3).map(|_| connect(&app)).collect();
    let port = app.authority().rsplit(':').next().expect("a port");
    for version in ["--http1.0", "--http1.1"] {
        let output = Command::new("curl")
            .args(["-sS", "-i", version, "--cacert", "server.crt"])
            .arg(format!("https://localhost:{port}/healthz"))
            .current_dir(&folder)
            .output()
            .expect("curl runs");
        let answer = String::from_utf8_lossy(&output.stdout);
        assert!(answer.contains(" 200 OK"), "{version}: {answer}{output:?}");
    }
    drop(silent);
}
