//! The log: it delays no call, and it records the caller, the operation and the record.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp, assert_no_secret, signal, until},
    client::Client,
};

const CALLS: usize = 1000;

/// Starts a server whose standard error is not read; returns its process and its URL.
fn start_unread(setup: &Setup) -> (Child, String) {
    let mut command = setup.command();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("starts");
    let mut line = String::new();
    let stdout = process.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("the greeting");
    let url = line.trim().strip_prefix("Latchkey is running on ").expect("the URL");
    (process, url.to_owned())
}

/// Standard error is a pipe whose reader sleeps: calls go on, and probes and SIGTERM work. Once the reader is awake
/// again, the log gives the number of lost lines.
#[rstest]
fn an_unread_log_holds_up_nothing(#[values(false, true)] wakes_up: bool) {
    let setup = Setup::new().with("LOG__BUFFER_BYTES", "65536");
    let (mut process, url) = start_unread(&setup);
    let client = Client::new(&url);
    for _ in 0..CALLS {
        client.who(&[]).expect(200);
    }
    client.request("GET", "/healthz", &[], b"").expect(200);
    let mut stderr = process.stderr.take().expect("piped");
    if wakes_up {
        let log = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&log);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut bytes) {
                read.lock().expect("lock").extend_from_slice(&bytes[..count]);
            }
        });
        let text = || String::from_utf8(log.lock().expect("lock").clone()).expect("UTF-8");
        let dropped = || {
            let text = text();
            let (_, rest) = text.split_once("lines.dropped=")?;
            rest.split_once('\n')?.0.parse::<usize>().ok()
        };
        until("the loss is told", || dropped().is_some());
        let written = text().matches("answered").count();
        let dropped = dropped().expect("told");
        assert!(dropped > 0 && written + dropped >= CALLS, "{written} and {dropped}");
        client.who(&[]).expect(200);
        until("lines are written again", || text().matches("answered").count() > written);
        signal(&process, "TERM");
        assert!(process.wait().expect("wait").success());
        until("the last line is written", || text().contains("stopped"));
    } else {
        signal(&process, "TERM");
        assert!(process.wait().expect("wait").success());
    }
}

/// CONTRACT 36: the log has each call on a record, with the caller and the record's id, and without the key.
#[test]
fn the_log_says_who_did_what_to_which_record() {
    let app = TestApp::new();
    app.add_user("ann");
    let (client, ann) = (app.client(), app.client().with_password("ann", "CANARY-password"));
    let key = client.save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let id = &key[3..14];
    let record = format!("record.id=\"{id}\"");
    let (owner, other) = ("user.login=\"tje0\"", "user.login=\"ann\"");
    let said = |operation: &str, parts: &[&str]| {
        let all = [&[operation, "tenant.id=\"default\"", "auth.scheme=\"Basic\""], parts].concat();
        app.logged(&all);
    };
    said("SaveExternalTokens", &[&record, owner, "http.status=200"]);
    ann.get(&key);
    said("User/GetExternalTokens", &[&record, other, "record.found=true"]);
    client.describe(&json!({ "Id": id }));
    said("Describe", &[&record, owner, "record.found=true"]);
    ann.describe(&json!({ "Id": id }));
    said("Describe", &[&record, other, "record.found=false"]);
    client.post_records("List", &json!({})).expect(200);
    said("List", &[owner, "records=1"]);
    ann.post_records("Revoke", &json!({ "Key": key })).expect(403);
    said("Revoke", &[&record, other, "http.status=403"]);
    client.revoke(&json!({ "Key": key }));
    said("Revoke", &[&record, owner, "record.revoked=true"]);
    ann.get(&key);
    said("User/GetExternalTokens", &[&record, other, "record.found=false"]);
}

/// CONTRACT 36: the log has each call that is rejected because it is for another tenant, with both tenants.
#[test]
fn the_log_says_who_was_refused_in_another_tenant() {
    let app = Setup::new().with("TENANTS", "path").start();
    app.admin(&["user", "add", "ann", "--tenant", "cust1", "--password-stdin"]);
    let ticket = app.admin(&["ticket", "issue", "ann", "--tenant", "cust1"]);
    let ticket = format!("SoTicket {ticket}");
    let (_, origin) = app.url.split_once("://").expect("a URL");
    let origin = format!("http://{}", origin.split('/').next().expect("an authority"));
    let client = Client::new(&origin).with_authorization(Some(&ticket));
    client.request("GET", "/cust2/api/v1/User/currentPrincipal", &[], b"").expect(403);
    app.logged(&[
        "http.status=403",
        "tenant.id=\"cust1\"",
        "tenant.of_path=\"cust2\"",
        "user.login=\"ann\"",
        "auth.scheme=\"SoTicket\"",
    ]);
}

/// The format is that of the profile, unless the configuration names another.
#[rstest]
#[case("development", None, false)]
#[case("development", Some("json"), true)]
#[case("production", None, true)]
#[case("production", Some("text"), false)]
fn the_format_of_the_log_can_be_chosen(
    #[case] profile: &str,
    #[case] format: Option<&str>,
    #[case] is_json: bool,
) {
    let setup = Setup::new().with("PROFILE", profile);
    let app = format.into_iter().fold(setup, |setup, name| setup.with("LOG__FORMAT", name)).start();
    let line = app.logged(&["serving"]);
    assert_eq!(serde_json::from_str::<Value>(&line).is_ok(), is_json, "{line}");
}

fn command(setup: &Setup, arguments: &[&str]) -> Output {
    let mut command: Command = setup.clone().arguments(arguments).command();
    let output = command.output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Like the server, commands log their changes to standard error. They print only the results to standard output.
#[test]
fn commands_are_in_the_log() {
    let setup = Setup::new().with("PROFILE", "production");
    std::fs::write(setup.folder().join("password"), "CANARY-password\n").expect("write");
    let json = ["--output", "json"];
    let add = ["user", "add", "ann", "--password-file", "password"];
    let said = |arguments: &[&str], message: &str| {
        let output = command(&setup, &[arguments, &json].concat());
        let made: Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
        let log = String::from_utf8(output.stderr).expect("UTF-8");
        assert_no_secret(&log);
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.into_iter().find(|line| line["message"] == message);
        let line = line.unwrap_or_else(|| panic!("{message} is not in: {log}"));
        assert!(line["span"]["os.uid"].is_number(), "{line}");
        (made, line)
    };
    let (_, line) = said(&add, "added the user");
    assert_eq!((&line["tenant.id"], &line["user.login"]), (&json!("default"), &json!("ann")));
    let (ticket, line) = said(&["ticket", "issue", "ann"], "issued a ticket");
    assert_eq!((&line["ticket.id"], &line["user.login"]), (&ticket["id"], &json!("ann")));
    let id = ticket["id"].as_str().expect("an id");
    said(&["ticket", "revoke", id], "revoked the ticket");
    said(&["app", "add", "crm-sync"], "registered the application");
    said(&["app", "disable", "crm-sync"], "disabled the application");
    let (rotated, line) = said(&["keys", "rotate"], "rotated to this master key");
    assert_eq!(line["kek.id"], rotated["id"]);
    said(&["user", "disable", "ann"], "disabled the user");
    let text = command(&setup, &["user", "enable", "ann"]);
    assert_eq!(String::from_utf8_lossy(&text.stdout), "enabled ann\n");
}
