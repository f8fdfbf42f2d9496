//! `latchkey grants`: an operator pauses the use of refresh tokens, and ends a pause, while a server runs.

use serde_json::{Value, json};

use crate::support::app::{Setup, TestApp};

const PROVIDER: &str = r#"[{"name": "et", "token_endpoint": "https://provider.example/token", "client_id": "latchkey",
                            "client_auth": "none"}]"#;

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn grants_are_paused_and_resumed() {
    let app = TestApp::new();
    assert_eq!(app.admin(&["grants", "resume"]), "the grants were not paused");
    for _ in 0..2 {
        let told = app.admin(&["grants", "pause"]);
        assert_eq!(told, "paused: no server refreshes a token before `latchkey grants resume`");
    }
    assert_eq!(app.number("SELECT count(*) FROM grants_paused"), 1);
    let told = app.admin(&["grants", "resume"]);
    assert_eq!(told, "resumed; the grants were paused because\n  an operator paused them");
    assert_eq!(app.number("SELECT count(*) FROM grants_paused"), 0);

    app.sql("INSERT INTO grants_paused VALUES ('restore', 1), ('copy', 2)");
    let report = json_of(&app.admin(&["grants", "pause", "--output", "json"]));
    assert_eq!(report, json!({"paused": true, "reasons": ["restore", "copy", "command"]}));
    let told = app.admin(&["grants", "resume"]);
    for line in [
        "  the database was restored from a backup",
        "  the database was copied from another one",
        "  an operator paused them",
        "The database that this one was made from must not be used any more: a provider ends a grant whose refresh \
         token comes from two servers.",
    ] {
        assert!(told.lines().any(|said| said == line), "no {line:?} in {told}");
    }
    let report = json_of(&app.admin(&["grants", "resume", "--output", "json"]));
    assert_eq!(report, json!({"paused": false, "reasons": []}));
}

/// A start warns of a pause only if a provider is configured, because otherwise nothing is refreshed anyway.
#[test]
fn a_start_warns_of_a_pause() {
    let setup = Setup::new().start().stop();
    setup.run(&["grants", "pause"], "").expect("paused");
    let app = setup.start();
    app.logged(&["serving"]);
    assert!(!app.log().contains("the grants are paused"), "{}", app.log());
    let app = app.stop().with("GRANTS__PROVIDERS", PROVIDER).start();
    app.logged(&["WARN", "the grants are paused", "command", "`latchkey grants resume`"]);
}

/// Without a database, the command does not make one.
#[test]
fn without_a_database_nothing_is_paused() {
    let setup = Setup::new();
    for command in ["pause", "resume"] {
        let refusal = setup.run(&["grants", command], "").expect_err("it is refused");
        let told = ["there is no database at", "the database lacks the migration"];
        assert!(told.iter().any(|told| refusal.contains(told)), "{refusal}");
    }
    assert!(!setup.data().exists());
}
