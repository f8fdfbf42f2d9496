//! Nothing acknowledged is ever lost: not by a restart, not by `kill -9`, not by a shutdown.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::json;

use crate::{
    app::{Setup, TIMEOUT, TestApp},
    client::Client,
    parts::{has, leave_out},
};

const CONNECTIONS: usize = 64;
const SAVES: usize = 10_000;

/// After a shutdown in good order the whole database is in its one file.
#[test]
fn a_shutdown_settles_the_write_ahead_log() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let setup = app.stop();
    let log = setup.data().join("latchkey.db-wal");
    assert_eq!(fs::metadata(&log).map_or(0, |metadata| metadata.len()), 0);
    let _ = fs::remove_file(log);
    assert_eq!(setup.start().client().access_token(&key).as_deref(), Some("fugit"));
}

#[test]
fn a_restart_changes_nothing() {
    let app = TestApp::new();
    let carrier = json!({"Provider": "et", "AccessToken": "fugit", "RefreshToken": "odit"});
    let key = app.client().save(&carrier);
    let before = app.client().get(&key);
    let app = app.stop().start();
    assert_eq!(app.client().get(&key), before);
    let other = app.client().save(&carrier);
    assert!(key < other, "keys sort by their age");
}

/// 10,000 saves by 64 connections, `kill -9` in the middle, restart.
#[test]
fn every_acknowledged_save_survives_a_kill() {
    let mut app = TestApp::new();
    let started = AtomicUsize::new(0);
    let acknowledged = AtomicUsize::new(0);
    let kept: Vec<(String, String)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let client = app.client();
                let (started, acknowledged) = (&started, &acknowledged);
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    loop {
                        let number = started.fetch_add(1, Ordering::Relaxed);
                        if number >= SAVES {
                            return kept;
                        }
                        let token = format!("CANARY-{number}");
                        match client.try_save(&token) {
                            Some(key) => kept.push((key, token)),
                            None => return kept,
                        }
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        while acknowledged.load(Ordering::Relaxed) < SAVES / 2 {
            thread::sleep(Duration::from_millis(1));
            assert!(workers.iter().any(|worker| !worker.is_finished()), "{}", app.log());
        }
        app.kill();
        workers.into_iter().flat_map(|worker| worker.join().expect("worker")).collect()
    });
    assert!((SAVES / 2..SAVES).contains(&kept.len()), "killed in the middle: {}", kept.len());

    let app = app.setup.start();
    let client = app.client();
    let is_lost = |kept: &&(String, String)| client.access_token(&kept.0).as_ref() != Some(&kept.1);
    let lost = kept.iter().filter(is_lost).count();
    println!("acknowledged {}, kept {}, lost {lost}", kept.len(), kept.len() - lost);
    assert_eq!(lost, 0);
}

/// The program `sqlite3` on a server's database, as an operator would use it.
struct Visitor {
    process: Child,
    answers: BufReader<ChildStdout>,
}

impl Visitor {
    fn enter(setup: &Setup) -> Self {
        let mut command = Command::new("sqlite3");
        let command = command.arg(setup.data().join("latchkey.db"));
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sqlite3");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, answers }
    }

    /// Runs SQL and returns once it is done.
    fn run(&mut self, sql: &str) {
        let input = self.process.stdin.as_mut().expect("piped");
        writeln!(input, "{sql}\n.print done").expect("sqlite3 reads");
        let mut line = String::new();
        while line != "done\n" {
            line.clear();
            assert!(self.answers.read_line(&mut line).expect("UTF-8") > 0, "sqlite3 ended");
        }
    }

    fn leave(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().expect("wait").success());
    }
}

/// Another program that locks the database, looks into it and leaves does no harm: saves are refused
/// while it holds the lock, go on when it is gone, and what was acknowledged survives a kill.
#[test]
fn a_visitor_to_the_database_does_no_harm() {
    if !has("sqlite3") {
        return leave_out("a visitor to the database", "sqlite3");
    }
    let mut app = TestApp::new();
    let save = |app: &TestApp, token: &str| app.client().try_save(token);
    let before = save(&app, "CANARY-before").expect("saved");

    let mut visitor = Visitor::enter(&app.setup);
    visitor.run("BEGIN IMMEDIATE;");
    let carrier = json!({"TokenManagementInfo": {"Provider": "et", "AccessToken": "CANARY"}});
    let refused = app.client().post("SaveExternalTokens", &carrier);
    let refused = refused.expect_error(503, "SoUnavailableException", "nothing was saved");
    assert_eq!(refused.header("Retry-After"), "1");
    assert!(app.log().contains("the database is unavailable"), "{}", app.log());
    app.client().request("GET", "/readyz", &[], b"").expect(503);
    assert_eq!(app.client().access_token(&before).as_deref(), Some("CANARY-before"), "reads go on");
    visitor.run("ROLLBACK;");
    visitor.leave();
    app.client().request("GET", "/readyz", &[], b"").expect(200);

    let meanwhile = save(&app, "CANARY-meanwhile").expect("saved");
    let mut visitor = Visitor::enter(&app.setup);
    visitor.run("SELECT count(*) FROM external_tokens;");
    visitor.leave();
    let after = save(&app, "CANARY-after").expect("saved");
    app.kill();
    let app = app.setup.start();
    for (key, token) in [(before, "before"), (meanwhile, "meanwhile"), (after, "after")] {
        assert_eq!(app.client().access_token(&key), Some(format!("CANARY-{token}")));
    }
}

/// SIGTERM and SIGINT: a request under way is finished, a new connection is not taken.
#[rstest]
fn a_shutdown_finishes_what_is_under_way_and_takes_nothing_new(
    #[values("TERM", "INT")] signal: &str,
) {
    let mut app = TestApp::new();
    let body = r#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#;
    let mut under_way = begin_a_save(&app, body);

    app.signal(signal);
    let deadline = Instant::now() + TIMEOUT;
    while TcpStream::connect(app.authority()).is_ok() {
        assert!(Instant::now() < deadline, "new connections are taken");
        thread::yield_now();
    }
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

/// The head of a save whose body is yet to come.
fn head_of_a_save(app: &TestApp, body: &str) -> String {
    format!(
        "POST /api/v1/Agents/User/SaveExternalTokens HTTP/1.1\r\nHost: {}\r\n\
         Authorization: Basic dGplMDpUamUw\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        app.authority(),
        body.len()
    )
}

/// Opens a connection and sends the head of a save; returns once the server has taken the request.
fn begin_a_save(app: &TestApp, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.authority()).expect("connect");
    stream.set_read_timeout(Some(TIMEOUT)).expect("timeout");
    stream.write_all(head_of_a_save(app, body).as_bytes()).expect("send the head");
    let mut go_on = *b"HTTP/1.1 100 Continue\r\n\r\n";
    stream.read_exact(&mut go_on).expect("the request is taken");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

/// Whoever sends a second signal does not want to wait for the slowest client.
#[test]
fn a_second_signal_stops_at_once() {
    let mut app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let _never_finished = begin_a_save(&app, "{}");
    app.signal("TERM");
    let deadline = Instant::now() + TIMEOUT;
    while !app.log().contains("finishing the requests under way") {
        assert!(Instant::now() < deadline, "the signal is not noticed");
        thread::yield_now();
    }
    app.signal("TERM");
    assert!(app.wait().success());
    assert!(app.log().contains("stopping at once"), "{}", app.log());
    assert_eq!(app.setup.start().client().access_token(&key).as_deref(), Some("fugit"));
}

/// A log collector that went away takes neither the requests nor the shutdown with it.
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
    let kill = format!("kill -TERM {}", process.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    assert!(process.wait().expect("wait").success());
    assert_eq!(setup.start().client().access_token(&key).as_deref(), Some("fugit"));
}
