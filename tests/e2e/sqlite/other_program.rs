//! Another program on SQLite's file while the server runs.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::json;

use crate::support::{
    app::{Setup, TestApp, until},
    parts::{has, leave_out},
};

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

/// Another program locks the database, reads it and ends without harm. Saves are rejected while it holds the lock, and
/// work after that. Acknowledged saves survive a kill.
#[test]
fn a_visitor_to_the_database_does_no_harm() {
    if !has("sqlite3") {
        return leave_out("a visitor to the database", "sqlite3");
    }
    let mut app = TestApp::new();
    let save = |app: &TestApp, token: &str| {
        app.client().save(&json!({"Provider": "et", "AccessToken": token}))
    };
    let before = save(&app, "CANARY-before");

    let mut visitor = Visitor::enter(&app.setup);
    visitor.run("BEGIN IMMEDIATE;");
    let carrier = json!({"TokenManagementInfo": {"Provider": "et", "AccessToken": "CANARY"}});
    let refused = app.client().post("SaveExternalTokens", &carrier);
    let refused = refused.expect_error(503, "SoUnavailableException", "confirmed nothing");
    assert_eq!(refused.header("Retry-After"), "1");
    app.logged(&["the database is unavailable"]);
    app.client().request("GET", "/readyz", &[], b"").expect(503);
    assert_eq!(app.client().access_token(&before).as_deref(), Some("CANARY-before"), "reads go on");
    visitor.run("ROLLBACK;");
    visitor.leave();
    until("it is ready again", || app.client().request("GET", "/readyz", &[], b"").status == 200);

    let meanwhile = save(&app, "CANARY-meanwhile");
    let mut visitor = Visitor::enter(&app.setup);
    visitor.run("SELECT count(*) FROM external_tokens;");
    visitor.leave();
    let after = save(&app, "CANARY-after");
    app.kill();
    let app = app.setup.start();
    for (key, token) in [(before, "before"), (meanwhile, "meanwhile"), (after, "after")] {
        assert_eq!(app.client().access_token(&key), Some(format!("CANARY-{token}")));
    }
}
