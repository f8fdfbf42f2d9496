//! Nothing acknowledged is ever lost: not by a restart, a `kill -9` or another program's visit.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    app::{Setup, TestApp},
    parts::{has, leave_out},
};

const CONNECTIONS: usize = 64;
const SAVES: usize = 10_000;

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
