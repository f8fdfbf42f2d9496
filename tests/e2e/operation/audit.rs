//! The audit log: its events, its chain, and what happens when it cannot be written.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::scene::{access_token, get, knowing, save, settings},
    support::{
        app::{Setup, TestApp, until},
        client::to_save,
        load::{Random, Record, tell},
        master_keys::rotate,
        parts::{leave_out, rounds},
        provider::{MockProvider, Rules},
        scrape::{Scrape, scraped},
    },
};

/// A server that keeps an audit log.
fn audited() -> Setup {
    Setup::new().with("AUDIT__FILE", "audit/audit.jsonl")
}

fn file(setup: &Setup) -> PathBuf {
    setup.folder().join("audit/audit.jsonl")
}

/// The events of a file, without those about the chain itself.
fn events_of(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("the audit log");
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    lines
        .filter(|event: &Value| !event["action"].as_str().expect("action").starts_with("audit."))
        .collect()
}

fn events(setup: &Setup) -> Vec<Value> {
    events_of(&file(setup))
}

fn verify(setup: &Setup) -> Result<Value, String> {
    let told = setup.run(&["audit", "verify", "--output", "json"], "")?;
    Ok(serde_json::from_str(&told).expect("JSON"))
}

/// Asserts that the command finds something, which it names.
fn assert_found(setup: &Setup, part: &str) {
    let refusal = verify(setup).expect_err("something is found");
    assert!(refusal.contains(part), "{refusal}");
}

/// Every outcome of every kind of call has exactly one event, which says who and what.
#[test]
fn each_call_has_one_event() {
    let app = audited().with("AUTH__RETRIEVAL", "owner").start();
    app.add_user("ann");
    let client = app.client();
    let ann = client.with_password("ann", "CANARY-password");
    let key = client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    let id = &key[3..14];
    let ok = json!({"action": "tokens.save", "outcome": "success", "status": 200, "login": "tje0",
                    "tenant": "default", "scheme": "Basic", "record": id, "provider": "et",
                    "address": "127.0.0.1"});
    let mut expected = vec![ok];
    let mut expect = |action: &str, outcome: &str, status: u16, more: Value| {
        let mut event = json!({"action": action, "outcome": outcome, "status": status});
        event
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().cloned().unwrap_or_default());
        expected.push(event);
    };
    client.get(&key);
    expect(
        "tokens.get",
        "success",
        200,
        json!({"record": id, "found": true, "provider": "et", "login": "tje0"}),
    );
    // Another user gets an answer without the tokens.
    ann.get(&key);
    expect(
        "tokens.get",
        "denied",
        200,
        json!({"record": id, "found": true, "provider": "et", "login": "ann"}),
    );
    client.post("GetExternalTokens", &json!({"Key": "lk_x"})).expect(400);
    expect("tokens.get", "refused", 400, json!({"reason": "SR_KEY_SHAPE", "login": "tje0"}));
    client
        .with_password("tje0", "wrong")
        .post("GetExternalTokens", &json!({"Key": key}))
        .expect(401);
    expect("tokens.get", "denied", 401, json!({"reason": "SR_LOGIN_REFUSED", "login": "tje0"}));
    client.with_authorization(None).post("SaveExternalTokens", &to_save("CANARY")).expect(401);
    expect("tokens.save", "denied", 401, json!({"reason": "SR_LOGIN_REQUIRED", "login": null}));
    client.with_password("CANARY-typed-into-the-login", "x").who(&[]).expect(401);
    expect("principal.get", "denied", 401, json!({"login": null}));
    client
        .post("SaveExternalTokens", &json!({"TokenManagementInfo": {"Provider": "et"}}))
        .expect(400);
    expect("tokens.save", "refused", 400, json!({"provider": "et"}));
    client.describe(&json!({"Key": key}));
    expect("record.describe", "success", 200, json!({"record": id, "provider": "et"}));
    client.post_records("List", &json!({})).expect(200);
    expect("record.list", "success", 200, json!({"records": 1}));
    ann.post_records("Revoke", &json!({"Key": key})).expect(403);
    expect(
        "record.revoke",
        "denied",
        403,
        json!({"login": "ann", "record": id, "reason": "SR_ONLY_OWNER_REVOKES"}),
    );
    client.revoke(&json!({"Key": key}));
    expect("record.revoke", "success", 200, json!({"revoked": true, "record": id}));
    client.request("GET", "/api/v1/User/currentToken", &[], b"").expect(200);
    expect("access_token.issue", "success", 200, json!({"login": "tje0"}));
    client.sign_in("ann", "CANARY-password");
    expect("session.begin", "success", 303, json!({"login": "ann"}));
    client
        .with_authorization(None)
        .request(
            "POST",
            "/sign-in",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            b"login=ann&password=wrong",
        )
        .expect(401);
    expect("session.begin", "denied", 401, json!({"login": "ann", "reason": "SR_LOGIN_REFUSED"}));
    for path in ["/healthz", "/readyz", "/api", "/api/v1/Agents/User/GetExternalTokens", "/nowhere"]
    {
        client.request("GET", path, &[], b"");
    }
    let setup = app.stop();
    let events = events(&setup);
    let events: Vec<&Value> = events
        .iter()
        .filter(|event| !event["action"].as_str().expect("action").starts_with("server."))
        .collect();
    let shown =
        |events: &[&Value]| events.iter().map(|event| format!("{event}\n")).collect::<String>();
    assert_eq!(events.len(), expected.len(), "{}", shown(&events));
    for (event, expected) in events.iter().zip(&expected) {
        for (name, value) in expected.as_object().expect("an object") {
            assert_eq!(event[name], *value, "{name} of {event}");
        }
        assert!(event["request"].as_str().is_some_and(|id| id.len() == 36), "{event}");
        assert!(event["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{event}");
    }
    let text = fs::read_to_string(file(&setup)).expect("the audit log");
    for secret in ["CANARY", "Tje0", "wrong", &key[14..]] {
        assert!(!text.contains(secret), "{secret}");
    }
    let verified = verify(&setup).expect("intact");
    assert!(
        verified.as_array().expect("chains").len() >= 2,
        "the server's and that of commands: {verified}"
    );
}

/// SECURITY: no value of a caller ends a line or controls a terminal.
#[test]
fn no_value_of_a_caller_can_forge_a_line() {
    let app = audited().start();
    let client = app.client();
    for provider in
        ["et\r\n{\"audit\":1}", "\u{1b}[2Jet", "e\u{9b}31mt", "e\u{2028}\u{202e}t", "\"},{\"x\":\""]
    {
        client.save(&json!({"Provider": provider, "AccessToken": "CANARY"}));
    }
    let setup = app.stop();
    let text = fs::read_to_string(file(&setup)).expect("the audit log");
    let is_control =
        |c: char| c != '\n' && (c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c));
    assert!(!text.contains(is_control), "{text}");
    assert_eq!(events(&setup).iter().filter(|event| event["action"] == "tokens.save").count(), 5);
    verify(&setup).expect("intact");
    let shown = setup.run(&["audit", "show", "--action", "tokens.save"], "").expect("shown");
    assert!(!shown.contains(is_control), "{shown}");
    assert_eq!(shown.lines().count(), 5, "{shown}");
}

/// Every acknowledged call has its event, and the log stays intact.
#[test]
fn a_kill_loses_no_event_of_an_answered_call() {
    let setup = audited();
    let record = Record::default();
    let mut random = Random::new();
    for _ in 0..rounds(10) {
        let mut app = setup.start();
        let enough = record.acknowledged() + 20 + random.below(200);
        let url = app.url.clone();
        record.load(&url, 8, &mut random, || {
            until("some saves", || record.acknowledged() > enough);
            app.kill();
        });
    }
    drop(setup.start().stop());
    let mut saves = HashMap::new();
    let mut gets = 0;
    for event in events(&setup) {
        if event["outcome"] != "success" {
            continue;
        }
        match event["action"].as_str() {
            Some("tokens.save") => {
                *saves
                    .entry(event["record"].as_str().expect("a record").to_owned())
                    .or_insert(0) += 1;
            }
            Some("tokens.get") => gets += 1,
            _ => {}
        }
    }
    let saved = record.saved();
    let lost = saved.iter().filter(|saved| saves.get(&saved.key[3..14]) != Some(&1)).count();
    tell(&format!(
        "acknowledged {} saves and {} gets; {lost} events lost",
        saved.len(),
        record.got()
    ));
    assert_eq!(lost, 0);
    assert!(gets >= record.got(), "{gets} of {}", record.got());
    verify(&setup).expect("intact");
}

#[test]
fn every_kind_of_tampering_is_found() {
    let app = audited().start();
    let client = app.client();
    let keys: Vec<String> =
        (0..5).map(|_| client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}))).collect();
    let setup = app.stop();
    let path = file(&setup);
    let text = fs::read_to_string(&path).expect("the audit log");
    let lines: Vec<&str> = text.lines().collect();
    let intact = verify(&setup).expect("intact");
    assert_eq!(intact[0]["lines"], lines.len(), "{intact}");
    let tampered = |change: &dyn Fn(&mut Vec<String>), found: &str| {
        let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        change(&mut lines);
        fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>())
            .expect("written");
        assert_found(&setup, found);
    };
    let (first, second) = (&keys[0][3..14], &keys[1][3..14]);
    tampered(
        &|lines| lines[2] = lines[2].replace(first, second),
        "line 3: it, or the line before it, was changed",
    );
    tampered(&|lines| drop(lines.remove(3)), "line 4: lines 4 to 4 are missing before it");
    tampered(
        &|lines| lines.insert(3, lines[2].clone()),
        "line 4: line 3 is in the place of line 4",
    );
    tampered(&|lines| lines.swap(2, 3), "line 3: lines 3 to 3 are missing before it");
    tampered(&|lines| lines.truncate(5), "line 8 was written, and the last line here is 5");
    tampered(&|lines| drop(lines.remove(0)), "not the first line of a file");
    // An incomplete line counts as missing.
    fs::write(&path, &text[..text.len() - 1]).expect("written");
    assert_found(&setup, "the end was cut off");
    // A server that starts on a file that was cut sets it aside, says so, and begins another chain.
    fs::write(&path, lines[..4].iter().map(|line| format!("{line}\n")).collect::<String>())
        .expect("written");
    let app = setup.start();
    app.logged(&["the end of the audit log was cut off"]);
    app.client().save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    let setup = app.stop();
    assert_found(&setup, "the end was cut off");
    let aside = doubtful(&path);
    assert_eq!(aside.len(), 1, "{aside:?}");
    fs::remove_file(&aside[0]).expect("removed");
    verify(&setup).expect("the new chain is intact");
    // The anchor in the database is signed, too. Without one, nothing is continued.
    setup.database().sql("UPDATE audit_anchors SET sequence = sequence - 1");
    assert_found(&setup, "the anchor of this chain in the database was changed");
    setup.database().sql("DELETE FROM audit_anchors");
    let app = setup.start();
    app.logged(&["the database has no anchor of the audit log"]);
    assert_eq!(doubtful(&path).len(), 1);
}

/// The files that a server set aside.
fn doubtful(path: &Path) -> Vec<PathBuf> {
    let folder = fs::read_dir(path.parent().expect("folder")).expect("folder");
    let files = folder.map(|entry| entry.expect("entry").path());
    files.filter(|file| file.to_string_lossy().ends_with(".doubtful")).collect()
}

/// Another program that cuts the file in place makes a gap that is found, and stops nothing.
#[test]
fn a_file_that_is_cut_in_place_is_replaced() {
    let app = audited().start();
    let client = app.client();
    let path = file(&app.setup);
    let save_one = || client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    save_one();
    fs::File::options().write(true).open(&path).expect("open").set_len(0).expect("cut");
    until("a file that begins again", || {
        save_one();
        fs::read_to_string(&path).expect("log").starts_with("{\"audit\":1,")
    });
    let setup = app.stop();
    let verified = verify(&setup).expect("the file is intact from its first line on");
    assert!(verified[0]["first"].as_i64() > Some(1), "{verified}");
}

/// A line that was not written to its end, and so was never confirmed, is removed at the next start.
#[test]
fn an_incomplete_line_is_removed() {
    let app = audited().start();
    let setup = app.stop();
    let path = file(&setup);
    let text = fs::read_to_string(&path).expect("log");
    fs::write(&path, format!("{text}{{\"audit\":1,\"ti")).expect("written");
    drop(setup.start().stop());
    assert!(doubtful(&path).is_empty());
    verify(&setup).expect("intact");
    // Zeros, as a power cut may leave them, are no line.
    let text = fs::read_to_string(&path).expect("log");
    fs::write(&path, [text.as_bytes(), &[0; 300_000]].concat()).expect("written");
    drop(setup.start().stop());
    let aside = doubtful(&path);
    assert_eq!(fs::metadata(&aside[0]).expect("kept").len(), text.len() as u64 + 300_000);
}

/// A link at the path would let its maker choose a file that root writes to.
#[test]
fn a_link_is_not_followed() {
    let setup = audited();
    let path = file(&setup);
    fs::create_dir(path.parent().expect("folder")).expect("folder");
    let elsewhere = setup.folder().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, &path).expect("link");
    let refusal = setup.refusal();
    assert!(refusal.contains("cannot use the audit log audit/audit.jsonl"), "{refusal}");
    assert!(!elsewhere.exists());
}

#[test]
fn two_servers_cannot_write_to_one_file() {
    let app = audited().start();
    let path = file(&app.setup).display().to_string();
    let refusal = Setup::new().with("AUDIT__FILE", &path).refusal();
    assert!(refusal.contains("each server needs a file of its own"), "{refusal}");
    let garbage = app.setup.folder().join("no.jsonl");
    fs::write(&garbage, "something else\n").expect("written");
    let refusal = Setup::new().with("AUDIT__FILE", &garbage.display().to_string()).refusal();
    assert!(refusal.contains("is not an audit log; take another path"), "{refusal}");
    assert_eq!(fs::read_to_string(&garbage).expect("unchanged"), "something else\n");
    let refusal = Setup::new().with("AUDIT__FILE", "/proc/x/audit.jsonl").refusal();
    assert!(refusal.contains("cannot use the audit log /proc/x/audit.jsonl"), "{refusal}");
}

/// The chain goes on over files: rotated by size, renamed by another program, or removed.
#[test]
fn files_are_rotated() {
    let setup = audited().with("AUDIT__ROTATE_BYTES", "65536").with("AUDIT__KEEP_FILES", "3");
    let app = setup.start();
    let client = app.client();
    let path = file(&app.setup);
    let save_one = || client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    save_one();
    let renamed = path.with_file_name("audit.jsonl.1");
    fs::rename(&path, &renamed).expect("renamed");
    app.signal("HUP");
    until("a new file", || path.exists());
    save_one();
    let moved = path.with_file_name("moved");
    fs::rename(&path, &moved).expect("renamed");
    until("a new file, without a signal", || {
        save_one();
        path.exists()
    });
    let setup = app.stop();
    let files = [&renamed, &moved, &path].map(|path| path.display().to_string());
    let arguments = ["audit", "verify", &files[2], &files[0], &files[1], "--output", "json"];
    let told = setup.run(&arguments, "").expect("intact");
    let verified: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((verified.as_array().map(Vec::len), &verified[0]["first"]), (Some(1), &json!(1)));
    let refusal = setup.run(&["audit", "verify", &files[0], &files[2]], "").expect_err("found");
    assert!(refusal.contains("are missing before it"), "{refusal}");
    let app = setup.start();
    let client = app.client();
    for _ in 0..1200 {
        client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    }
    let setup = app.stop();
    let names = fs::read_dir(path.parent().expect("folder")).expect("folder");
    let names: Vec<String> = names
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    let rotated = names.iter().filter(|name| name.starts_with("audit.jsonl.2")).count();
    assert_eq!(rotated, 3, "{names:?}");
    let verified = verify(&setup).expect("intact");
    assert!(verified[0]["first"].as_i64() > Some(1), "the oldest files are gone: {verified}");
}

/// A disk that is full is an outage of everything that must be recorded, or a gap.
#[rstest]
fn a_full_disk_refuses_calls_or_leaves_a_gap(#[values("refuse", "go_on")] on_failure: &str) {
    let folder = tempfile::tempdir().expect("folder");
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("folder");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk);
    if !mount.status().is_ok_and(|status| status.success()) {
        return leave_out("a_full_disk_refuses_calls_or_leaves_a_gap", "the right to mount tmpfs");
    }
    let path = disk.join("audit.jsonl");
    let setup = Setup::new()
        .with("AUDIT__FILE", &path.display().to_string())
        .with("AUDIT__ON_FAILURE", on_failure);
    let app = scraped(setup).start();
    let is_failing = || Scrape::of(&app).value("latchkey_audit_failing", &[]) == 1.0;
    assert!(!is_failing());
    let client = app.client();
    let key = client.save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    let filler = disk.join("filler");
    fs::write(&filler, vec![0; 40_000]).expect("written");
    let get = || client.post("GetExternalTokens", &json!({"Key": key})).status;
    if on_failure == "refuse" {
        until("a full disk", || get() == 503);
        let told = client.post("SaveExternalTokens", &to_save("CANARY"));
        told.expect_error(503, "SoUnavailableException", "cannot write its audit log");
        client.request("GET", "/healthz", &[], b"").expect(200);
        let refused = [("cause", "audit")];
        assert!(Scrape::of(&app).value("latchkey_http_unavailable_total", &refused) >= 2.0);
        assert!(is_failing());
        fs::remove_file(&filler).expect("removed");
        until("room", || get() == 200);
    } else {
        for _ in 0..200 {
            assert_eq!(get(), 200);
        }
        assert!(is_failing());
        fs::remove_file(&filler).expect("removed");
        until("room", || fs::read_to_string(&path).expect("log").contains("audit.gap"));
    }
    app.logged(&["the audit log cannot be written"]);
    app.logged(&["the audit log is written again"]);
    assert!(!is_failing());
    let setup = app.stop();
    let text = fs::read_to_string(&path).expect("the audit log");
    assert!(text.contains("\"action\":\"audit.gap\""), "{text}");
    let verified = setup.run(&["audit", "verify", &path.display().to_string()], "");
    verified.expect("the chain has no gap");
    let mut umount = Command::new("umount");
    assert!(umount.arg("-l").arg(&disk).status().expect("umount").success());
}

/// A command that changes something is recorded before and after, and does nothing without a log.
#[test]
fn commands_are_recorded() {
    let app = audited().start();
    app.add_user("ann");
    app.ticket("ann");
    app.admin(&["user", "list"]);
    app.setup.run(&["user", "disable", "nobody-here"], "").expect_err("refused");
    let setup = app.stop();
    let path = setup.folder().join("audit/audit-commands.jsonl");
    let found: Vec<(Value, Value, Value)> = events_of(&path)
        .into_iter()
        .map(|event| (event["action"].clone(), event["outcome"].clone(), event["subject"].clone()))
        .collect();
    let expected = [
        ("user.add", "begun", "ann"),
        ("user.add", "success", "ann"),
        ("ticket.issue", "begun", "ann"),
        ("ticket.issue", "success", "ann"),
        ("user.disable", "begun", "nobody-here"),
        ("user.disable", "failed", "nobody-here"),
    ];
    assert_eq!(
        found,
        expected.map(|(action, outcome, subject)| (json!(action), json!(outcome), json!(subject)))
    );
    let user = events_of(&path)[0]["os_user"].as_u64();
    assert!(user.is_some());
    verify(&setup).expect("intact");
    // In the place of the folder there is a file.
    let blocked = setup.clone().with("AUDIT__FILE", &format!("{}/x.jsonl", path.display()));
    let refusal = blocked.run(&["user", "add", "bob"], "CANARY-password\n").expect_err("refused");
    assert!(
        refusal.contains("nothing was done, because the audit log cannot be written"),
        "{refusal}"
    );
    let users = setup.run(&["user", "list"], "").expect("listed");
    assert!(!users.contains("bob"), "{users}");
}

/// Old lines can be verified after their master key was rotated and retired.
#[test]
fn lines_outlive_their_master_key() {
    let app = audited().start();
    let save_one =
        |app: &TestApp| app.client().save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    let mut retired = Vec::new();
    for _ in 0..2 {
        save_one(&app);
        let old = crate::support::master_keys::ids(&app.setup).remove(0);
        rotate(&app.setup);
        until("the new key", || {
            fs::read_to_string(file(&app.setup)).expect("log").contains("audit.key")
        });
        save_one(&app);
        app.admin(&["keys", "retire", &old]);
        retired.push(old);
    }
    let setup = app.stop();
    let verified = verify(&setup).expect("intact");
    tell(&verified.to_string());
    let text = fs::read_to_string(file(&setup)).expect("log");
    for key in &retired {
        assert!(text.contains(&format!("\"key\":\"{key}\"")), "{text}");
    }
}

/// A refresh by the server and a revocation at the provider have events of their own.
#[test]
fn refreshes_are_recorded() {
    let provider = MockProvider::start(Rules::default());
    let app = knowing(audited(), &[settings(&provider, &json!({}))]).start();
    let client = app.client();
    let key = save(&client, &provider.grant(), 1);
    // The access token does not live long enough.
    access_token(get(&client, &key, 60));
    let id = &key[3..14];
    let setup = app.stop();
    let events = events(&setup);
    let refreshes: Vec<&Value> =
        events.iter().filter(|event| event["action"] == "provider.refresh").collect();
    assert_eq!(refreshes.len(), 1, "{events:?}");
    assert_eq!(
        (&refreshes[0]["record"], &refreshes[0]["outcome"]),
        (&json!(id), &json!("success"))
    );
}

/// The log can go to standard error, among the lines of the other log.
#[test]
fn the_log_can_go_to_standard_error() {
    let app = Setup::new().with("AUDIT__FILE", "stderr").with("PROFILE", "development").start();
    app.client().save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    let line = app.logged(&["\"action\":\"tokens.save\""]);
    assert!(line.starts_with("{\"audit\":1,"), "{line}");
    let log = app.log();
    let setup = app.stop();
    let lines: String = log
        .lines()
        .filter(|line| line.starts_with("{\"audit\":"))
        .map(|line| format!("{line}\n"))
        .collect();
    let path = setup.folder().join("picked.jsonl");
    fs::write(&path, lines).expect("written");
    // The last lines are those of the stop, which came later.
    let refusal = setup.run(&["audit", "verify", "picked.jsonl"], "").expect_err("found");
    assert!(refusal.contains("the end was cut off"), "{refusal}");
    let log = fs::read_to_string(setup.folder().join("log")).expect("log");
    let lines: String = log
        .lines()
        .filter(|line| line.starts_with("{\"audit\":"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&path, lines).expect("written");
    setup.run(&["audit", "verify", "picked.jsonl"], "").expect("intact");
}
