//! `latchkey grants list`, `show` and `retry`, `latchkey providers status` and `retry`: an operator inspects grants,
//! and makes the server try one again, while it runs.
//!
//! Invariant: no command prints a token or a key, or sends a request to a provider.

use std::thread;

use serde_json::{Value, json};

use crate::{
    grants::scene::{
        NAME, Scene, access_token, assert_state, end_access_in, get, knowing, settings,
    },
    support::{
        app::{Setup, TestApp, assert_no_secret},
        provider::{Gate, Reply, Rules},
    },
};

fn json_of(app: &TestApp, arguments: &[&str]) -> Value {
    let told = app.admin(&[arguments, &["--output", "json"]].concat());
    assert_no_secret(&told);
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

fn refused(setup: &Setup, arguments: &[&str], part: &str) {
    let told = setup.run(arguments, "").expect_err("it is refused");
    assert!(told.contains(part), "{arguments:?}: {told}");
    assert_no_secret(&told);
}

fn id(key: &str) -> &str {
    &key[3..14]
}

/// The ids and the states of a list.
fn listed(app: &TestApp, arguments: &[&str]) -> Vec<(String, String)> {
    let rows = json_of(app, &[&["grants", "list"], arguments].concat());
    let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| (text(row, "id"), text(row, "state"))).collect()
}

/// A record whose access token has expired, and whose refresh the provider rejects with this reply.
fn refused_by(scene: &Scene, reply: Reply, status: u16) -> String {
    let (_, key) = scene.save(0);
    scene.provider.always(Some(reply));
    get(&scene.app.client(), &key, 0).expect(status);
    scene.provider.always(None);
    key
}

fn dead(scene: &Scene) -> String {
    refused_by(scene, Reply::error(400, "invalid_grant"), 424)
}

fn failing(scene: &Scene) -> String {
    let busy = Reply::new(503, "text/plain", "").header("Retry-After", "3000");
    refused_by(scene, busy, 503)
}

/// CONTRACT 37, 48: each grant with its state and the cause, by page, state and provider.
#[test]
fn grants_are_listed_and_shown() {
    let scene = Scene::new(Rules::default(), json!({}));
    let app = &scene.app;
    let (_, live) = scene.save(0);
    get(&app.client(), &live, 0).expect(200);
    let (dead, failing) = (dead(&scene), failing(&scene));
    let (_, untried) = scene.save(3600);
    let other = app.client().save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
    let (_, ended) = scene.save(0);
    get(&app.client(), &ended, 0).expect(200);
    assert!(app.client().revoke(&json!({ "Key": ended })));

    let row = |key: &str, state: &str| (id(key).to_owned(), state.to_owned());
    let tried = [row(&live, "live"), row(&dead, "dead"), row(&failing, "failing")];
    assert_eq!(listed(app, &[]), tried);
    assert_eq!(listed(app, &["--state", "dead"]), tried[1..2]);
    assert_eq!(listed(app, &["--state", "none"]), [row(&untried, "none"), row(&other, "none")]);
    assert_eq!(listed(app, &["--state", "none", "--provider", NAME]), [row(&untried, "none")]);
    assert_eq!(listed(app, &["--provider", "nobody"]), []);
    assert_eq!(listed(app, &["--limit", "2"]), tried[..2]);
    assert_eq!(listed(app, &["--limit", "2", "--after", id(&dead)]), tried[2..]);
    assert_eq!(listed(app, &["--limit", "3"]), tried);

    let arguments = ["grants", "list", "--limit", "1"];
    let output = app.setup.clone().arguments(&arguments).command().output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains(&format!("continue with --after {}", id(&live))), "{told}");
    // A command that lacks the server's settings knows no provider, and says so.
    let setup = app.setup.clone().with("GRANTS__PROVIDERS", "[]").arguments(&["grants", "list"]);
    let output = setup.command().output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("left out: 5 records of providers that this configuration lacks"),
        "{told}"
    );
    let table = app.admin(&["grants", "list"]);
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ID", "PROVIDER", "OWNER", "STATE", "CAUSE", "SINCE", "RETRY", "AT"]);
    assert_eq!(lines[1][..5], [id(&live), NAME, "tje0", "live", "-"]);
    assert_eq!(lines[2][..5], [id(&dead), NAME, "tje0", "dead", "invalid_grant"]);
    assert_eq!(lines[3][..5], [id(&failing), NAME, "tje0", "failing", "http_5xx"]);
    assert!(lines[3][6].ends_with('Z'), "{table}");

    let shown = json_of(app, &["grants", "show", id(&dead)]);
    let described = app.client().describe(&json!({ "Key": dead }));
    for (name, expected) in [
        ("id", json!(id(&dead))),
        ("state", json!("dead")),
        ("cause", described["Cause"].clone()),
        ("generation", described["Generation"].clone()),
        ("tenant", json!("default")),
        ("configured", json!(true)),
        ("attempts", json!(1)),
        ("failures", json!(1)),
        ("refreshed", Value::Null),
        ("ended", Value::Null),
    ] {
        assert_eq!(shown[name], expected, "{name}: {shown}");
    }
    for (name, time) in [("since", "Since"), ("retry_at", "RetryAt"), ("created", "Created")] {
        let (shown, described) = (&shown[name], described[time].as_str().expect("a time"));
        let shown = shown.as_str().expect("a time").trim_end_matches('Z');
        // A time without `Z` is in the time zone of the server's settings.
        assert_eq!(shown.len(), described.len(), "{shown} {described}");
        assert_eq!(shown[14..], described[14..], "{name}");
    }
    let text = app.admin(&["grants", "show", id(&live)]);
    assert_no_secret(&text);
    for line in ["state                 live", "generation            2", "attempts              1"]
    {
        assert!(text.lines().any(|shown| shown == line), "no {line:?} in {text}");
    }
    assert!(!text.contains("cause"), "{text}");
    let over = json_of(app, &["grants", "show", id(&ended)]);
    assert!(over["ended"].is_string() && over["state"] == "none", "{over}");

    for command in ["show", "retry"] {
        refused(
            &app.setup,
            &["grants", command, "00000000000"],
            "there is no record 00000000000 of tenant",
        );
        refused(&app.setup, &["grants", command, &dead], "that is not the id of a record");
    }
    refused(&app.setup, &["grants", "list", "--after", "00000000000"], "there is no record");
    refused(&app.setup, &["grants", "list", "--tenant", "others"], "there is only one tenant");
}

/// CONTRACT 47, 48: a grant that is dead or waits is tried by the next get after the command, and without the command
/// it is not.
#[test]
fn a_grant_is_tried_again_at_once() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (app, client) = (&scene.app, scene.app.client());
    for (key, state, status) in [(dead(&scene), "dead", 424), (failing(&scene), "failing", 503)] {
        let before = scene.refreshes();
        get(&client, &key, 0).expect(status);
        assert_eq!(scene.refreshes(), before, "it waits");
        let retried = json_of(app, &["grants", "retry", id(&key)]);
        assert_eq!((&retried["waited"], &retried["state"]), (&json!(true), &json!(state)));
        assert_eq!((&retried["obstacles"], &retried["retry_at"]), (&json!([]), &Value::Null));
        assert_eq!(scene.refreshes(), before, "the command sends nothing");
        let token = access_token(get(&client, &key, 0));
        assert!(scene.provider.is_newest(&token));
        assert_state(app, &key, "Live", None);
        scene.assert_lives(&key);
    }
    // A grant that dies again waits again.
    let key = dead(&scene);
    app.admin(&["grants", "retry", id(&key)]);
    scene.provider.always(Some(Reply::error(400, "invalid_grant")));
    get(&client, &key, 0).expect(424);
    scene.provider.always(None);
    get(&client, &key, 0).expect(424);
    assert_eq!(json_of(app, &["grants", "show", id(&key)])["attempts"], 2);
    let told = app.admin(&["grants", "retry", id(&key)]);
    let asks = format!(
        "{} no longer waits: the next call that has its key and needs fresh tokens asks {NAME} at once",
        id(&key)
    );
    assert_eq!(told, asks);
    let told = app.admin(&["grants", "retry", id(&key)]);
    assert!(told.starts_with(&format!("{} did not wait: the next call", id(&key))), "{told}");
    app.admin(&["grants", "pause"]);
    let paused = json_of(app, &["grants", "retry", id(&key)]);
    assert_eq!(
        paused["obstacles"],
        json!(["grants are paused: `latchkey grants resume` ends that"])
    );
    app.admin(&["grants", "resume"]);

    // During a refresh, whose outcome counts.
    let hold = scene.provider.hold(Gate::AfterReading, 1);
    thread::scope(|scope| {
        let reader = scope.spawn(|| access_token(get(&client, &key, 0)));
        hold.wait_for(1);
        let beside = json_of(app, &["grants", "retry", id(&key)]);
        assert_eq!(beside["state"], "refreshing", "{beside}");
        let obstacle = json!(["a refresh is under way: wait for its outcome"]);
        assert_eq!(beside["obstacles"], obstacle);
        hold.open();
        assert!(scene.provider.is_newest(&reader.join().expect("no panic")));
    });
    assert_state(app, &key, "Live", None);
    scene.assert_lives(&key);
}

/// CONTRACT 39, 44, 48: the command names the cause if the grant does not wait.
#[test]
fn what_cannot_be_tried_again_is_named() {
    let scene = Scene::new(Rules::default(), json!({}));
    let other = scene.app.client().save(&json!({ "Provider": "et", "RefreshToken": "odit" }));
    let (_, ended) = scene.save(3600);
    assert!(scene.app.client().revoke(&json!({ "Key": ended })));
    let key = dead(&scene);
    let Scene { provider, app } = scene;
    let retry = |key: &'_ str| ["grants", "retry", id(key)].map(str::to_owned);
    let refused = |setup: &Setup, key: &str, part: &str| {
        let arguments = retry(key);
        refused(setup, &arguments.each_ref().map(String::as_str), part);
    };
    refused(&app.setup, &other, "grants.providers has no provider et for tenant default");
    refused(&app.setup, &ended, "has ended");
    let another =
        knowing(app.setup.clone(), &[settings(&provider, &json!({ "client_id": "another" }))]);
    refused(&another, &key, "was given to another client of mock");
    refused(&app.setup.clone().with("GRANTS__ENABLED", "false"), &key, "grants.enabled is false");
    assert_state(&app, &key, "Dead", Some("invalid_grant"));
    assert!(!app.client().describe(&json!({ "Key": key }))["RetryAt"].is_null());
}

/// CONTRACT 48: the blocked providers with the cause, the states of their grants, and an early retry of a blocked
/// provider.
#[test]
fn providers_are_shown_and_asked_again() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (app, client) = (&scene.app, scene.app.client());
    let status = || json_of(app, &["providers", "status"])[0].clone();
    let counts =
        |live, failing, dead| json!({ "dead": dead, "failing": failing, "live": live, "none": 0 });
    let open = status();
    let row = json!({
        "name": NAME, "tenants": ["*"], "state": "open", "cause": null, "since": null,
        "retry_at": null, "records": counts(0, 0, 0),
    });
    assert_eq!(open, row);
    let (_, key) = scene.save(0);
    get(&client, &key, 0).expect(200);
    dead(&scene);
    failing(&scene);
    let (_, ended) = scene.save(0);
    get(&client, &ended, 0).expect(200);
    assert!(client.revoke(&json!({ "Key": ended })));
    assert_eq!(status()["records"], counts(1, 1, 1));
    assert_eq!(app.admin(&["providers", "retry", NAME]), "requests to mock were not paused");

    end_access_in(&app.setup, &key, -1);
    scene.provider.always(Some(Reply::error(401, "invalid_client")));
    get(&client, &key, 0).expect(502);
    let blocked = status();
    assert_eq!(
        (&blocked["state"], &blocked["cause"]),
        (&json!("blocked"), &json!("invalid_client"))
    );
    assert!(blocked["since"].is_string() && blocked["retry_at"].is_string(), "{blocked}");
    assert_eq!(listed(app, &["--state", "blocked"]).len(), 3);
    let retried = json_of(app, &["grants", "retry", id(&key)]);
    let obstacle = retried["obstacles"][0].as_str().expect("an obstacle");
    assert!(obstacle.contains("(invalid_client): `latchkey providers retry`"), "{obstacle}");
    let before = scene.refreshes();
    get(&client, &key, 0).expect(502);
    assert_eq!(scene.refreshes(), before, "nothing is sent");
    scene.provider.always(None);
    let told = app.admin(&["providers", "retry", NAME]);
    assert!(told.starts_with("the next request to mock is sent"), "{told}");
    assert_eq!(status()["state"], "probing");
    get(&client, &key, 0).expect(200);
    assert_eq!(status()["state"], "open");
    refused(
        &app.setup,
        &["providers", "retry", "nobody"],
        "no provider of grants.providers has the name nobody",
    );

    app.admin(&["grants", "pause"]);
    assert_eq!((&status()["state"], &status()["cause"]), (&json!("paused"), &json!("command")));
    let table = app.admin(&["providers", "status"]);
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], [NAME, "*", "paused", "command", "-", "-", "1", "1", "1"], "{table}");
}
