//! Nothing acknowledged is ever lost: not by a restart, a `kill -9` or another program's visit.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    app::{Setup, TestApp, until},
    load::{Random, Record, lost},
    parts::{has, leave_out},
};

const KILLS: usize = 100;
/// At the latest this many microseconds after the first acknowledgment.
const LATEST_KILL: usize = 150_000;
/// How much is looked at after each kill: so many at random, and so many of the last ones.
const SAMPLE: usize = 20;

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

/// 64 connections, whose saves are committed many at a time, and `kill -9` in the middle.
#[test]
fn every_acknowledged_save_survives_a_kill() {
    let record = Record::default();
    let mut app = TestApp::new();
    record.load(&app.url.clone(), 64, &mut Random::new(), || {
        until("5,000 saves", || record.acknowledged() >= 5000);
        app.kill();
    });
    record.assert_kept(&app.setup.start());
}

/// `kill -9` at random moments under load, again and again on one database. A sample is looked at after
/// each, what was acknowledged last in any case, and all at the end.
#[test]
fn every_acknowledged_save_survives_a_hundred_kills() {
    let mut random = Random::new();
    let record = Record::default();
    let mut app = TestApp::new();
    for round in 0..KILLS {
        let before = record.acknowledged();
        record.load(&app.url.clone(), 8, &mut random.split(), || {
            until("a save", || record.acknowledged() > before);
            let moment = random.below(LATEST_KILL);
            thread::sleep(Duration::from_micros(moment as u64));
            app.kill();
        });
        app = app.setup.start();
        let saved = record.saved();
        let mut sample = record.sample(SAMPLE, &mut random);
        sample.extend_from_slice(&saved[saved.len() - SAMPLE.min(saved.len())..]);
        assert_eq!(lost(&app, &sample), 0, "in round {round}");
    }
    assert!(record.cut_off() > KILLS, "killed under load: {}", record.cut_off());
    assert_eq!(record.refused(), 0);
    record.assert_kept(&app);
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
