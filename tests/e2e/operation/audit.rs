//! The events of the audit log: of calls, of the server, of commands.

mod files;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    grants::scene::{access_token, get, knowing, save, settings},
    support::{
        app::{Setup, TestApp, until},
        client::to_save,
        load::{Random, Record, tell},
        master_keys::rotate,
        parts::rounds,
        provider::{MockProvider, Rules},
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

/// A command that changes something is recorded before and after, and does nothing without a log.
#[test]
fn commands_are_recorded() {
    let app = audited().start();
    app.add_user("ann");
    app.ticket("ann");
    app.admin(&["user", "list"]);
    app.setup.run(&["user", "disable", "nobody-here"], "").expect_err("refused");
    // A key or a ticket in the place of an id is a secret.
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "CANARY"}));
    app.setup.run(&["records", "revoke", "--id", &key, "--yes"], "").expect_err("refused");
    app.setup.run(&["grants", "retry", &key], "").expect_err("refused");
    let ticket = app.ticket("ann");
    app.setup.run(&["ticket", "revoke", &ticket], "").expect_err("refused");
    app.setup.run(&["session", "revoke", &ticket], "").expect_err("refused");
    let setup = app.stop();
    let path = setup.folder().join("audit/audit-commands.jsonl");
    let text = fs::read_to_string(&path).expect("the audit log");
    assert!(!text.contains(&key[14..]) && !text.contains(&ticket), "{text}");
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
        ("record.revoke", "begun", ""),
        ("record.revoke", "failed", ""),
        ("grants.retry", "begun", ""),
        ("grants.retry", "failed", ""),
        ("ticket.issue", "begun", "ann"),
        ("ticket.issue", "success", "ann"),
        ("ticket.revoke", "begun", ""),
        ("ticket.revoke", "failed", ""),
        ("session.revoke", "begun", ""),
        ("session.revoke", "failed", ""),
    ];
    assert_eq!(
        found,
        expected.map(|(action, outcome, subject)| {
            let subject = if subject.is_empty() { Value::Null } else { json!(subject) };
            (json!(action), json!(outcome), subject)
        })
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
