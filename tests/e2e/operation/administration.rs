//! The commands that manage callers, with and without a running server.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::{
    Database,
    support::app::{Setup, TestApp},
};

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// CONTRACT 26: a changed password and a disabled user count at once, although another process made the change and the
/// login was cached.
#[test]
fn a_change_by_another_process_counts_at_once() {
    let app = TestApp::new();
    app.add_user("ann");
    let old = app.client().with_password("ann", "CANARY-password");
    let new = app.client().with_password("ann", "CANARY-another");
    for _ in 0..2 {
        old.who(&[]).expect(200);
    }
    let change = ["user", "password", "ann", "--password-stdin"];
    app.setup.run(&change, "CANARY-another\n").expect("changed");
    old.who(&[]).expect(401);
    new.who(&[]).expect(200);
    assert_eq!(app.admin(&["user", "disable", "ann"]), "disabled ann");
    new.who(&[]).expect(401);
    assert_eq!(app.admin(&["user", "enable", "ann"]), "enabled ann");
    new.who(&[]).expect(200);
}

/// CONTRACT 6, 26: users with their roles, listed for people and for programs.
#[test]
fn users_are_added_and_listed() {
    let app = TestApp::new();
    app.add_user("ann");
    let told = app.admin(&[
        "user",
        "add",
        "Åse Ødegård",
        "--administrator",
        "--password-stdin",
        "--output",
        "json",
    ]);
    let added = json!({
        "tenant": "default", "login": "Åse Ødegård", "administrator": true, "disabled": false
    });
    assert_eq!(json_of(&told), added);
    let listed = json_of(&app.admin(&["user", "list", "--output", "json"]));
    let logins: Vec<&Value> =
        listed.as_array().expect("array").iter().map(|user| &user["login"]).collect();
    assert_eq!(logins, ["ann", "tje0", "Åse Ødegård"]);
    let table = app.admin(&["user", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "TENANT   LOGIN        ROLE           STATE");
    assert_eq!(lines[1], "default  ann          user           enabled");
    let who = app.client().with_password("Åse Ødegård", "CANARY-password").who(&[]).expect(200);
    assert_eq!(who.json()["IsAdministrator"], true);
}

/// Invalid input is reported, and nothing is changed.
#[test]
fn mistakes_are_reported() {
    let app = TestApp::new();
    let refused = |arguments: &[&str], input: &str, said: &str| {
        let told = app.setup.run(arguments, input).expect_err("it is refused");
        assert!(told.starts_with("latchkey: ") && told.contains(said), "{arguments:?}: {told}");
        assert!(!told.contains("CANARY"), "{told}");
    };
    let add = ["user", "add", "ann", "--password-stdin"];
    refused(&add, "short\n", "a password has 8 to 1024 characters");
    refused(&add, "", "a password has 8 to 1024 characters");
    refused(&add, "CANARY\u{7}password\n", "none of them a control character");
    refused(&add, &" ".repeat(8), "spaces before and after it do not count");
    for common in ["password", "12345678", " PassWord1 ", "Latchkey"] {
        refused(&add, common, "this password is too common");
        refused(&["user", "password", "tje0", "--password-stdin"], common, "too common");
    }
    refused(
        &["user", "add", "ann.smith", "--password-stdin"],
        "Ann.Smith\n",
        "must not be the login",
    );
    refused(&["user", "add", "ann"], "CANARY-password\n", "--password-file or --password-stdin");
    let file = ["user", "add", "ann", "--password-file", "missing"];
    refused(&file, "", "cannot read --password-file = \"missing\"");
    refused(
        &["user", "add", "a:b", "--password-stdin"],
        "CANARY-password\n",
        "is not a valid login",
    );
    let tenant = ["user", "add", "ann", "--tenant", "x", "--password-stdin"];
    refused(&tenant, "CANARY-password\n", "unless tenants = \"path\" is set");
    let reserved = ["user", "add", "ann", "--tenant", "API", "--password-stdin"];
    refused(&reserved, "CANARY-password\n", "no path of the server");
    let taken = ["user", "add", "tje0", "--password-stdin"];
    refused(&taken, "CANARY-password\n", "user tje0 of tenant default already exists");
    refused(&["user", "disable", "nobody"], "", "there is no user nobody of tenant default");
    let nobody = ["user", "password", "nobody", "--password-stdin"];
    refused(&nobody, "CANARY-password\n", "there is no user nobody of tenant default");
    refused(&["ticket", "issue", "nobody"], "", "there is no enabled user nobody");
    refused(&["ticket", "revoke", "x"], "", "`latchkey ticket list` shows the ids");
    refused(&["ticket", "revoke", &"0".repeat(32)], "", "there is no ticket");
    refused(&["app", "add", "a b"], "", "an application's name has 1 to 64");
    refused(&["app", "disable", "none"], "", "there is no application none");
    app.admin(&["app", "add", "sync"]);
    refused(&["app", "add", "SYNC"], "", "application SYNC already exists");
    assert_eq!(app.admin(&["user", "list"]).lines().count(), 2, "a head and tje0");
    // No option takes a password as an argument.
    let told = app.setup.run(&["user", "add", "ann", "--password", "CANARY"], "");
    assert!(told.expect_err("mistyped").contains("unexpected argument"));
}

/// Users can be added before the first start. Then the server makes no other user.
#[test]
fn users_can_be_made_before_the_first_start() {
    let setup = Setup::new();
    setup.run(&["migrate"], "").expect("migrated");
    fs::write(setup.folder().join("password"), "CANARY-password\r\nmore").expect("file");
    let add = ["user", "add", "ann", "--administrator", "--password-file", "password"];
    assert_eq!(setup.run(&add, "").expect("added"), "added ann of tenant default\n");
    let app = setup.with("PROFILE", "production").start();
    assert!(!app.greeting.contains("First user"), "{}", app.greeting);
    app.client().with_password("ann", "CANARY-password").who(&[]).expect(200);
    app.client().who(&[]).expect(401);
}

/// CONTRACT 26: a password that was hashed with other parameters is hashed again at sign-in, and stays valid.
#[test]
fn an_outdated_hash_is_replaced() {
    let app = TestApp::new();
    // Argon2id of `Tje0` with 4 MiB, made by the reference implementation.
    let outdated = "$argon2id$v=19$m=4096,t=2,p=1$bGF0Y2hrZXktdGVzdA$QDgrw9yPtxq5b99lISbysR4AzHilbNCxaQ1T1XuxBec";
    app.sql(&format!("UPDATE users SET password_hash = '{outdated}'"));
    app.client().who(&[]).expect(200);
    let remade =
        "UPDATE users SET login = login WHERE password_hash LIKE '$argon2id$v=19$m=19456,%'";
    assert_eq!(app.sql(remade), 1);
    app.client().who(&[]).expect(200);
    let unchanged = "UPDATE users SET login = login WHERE version = 1";
    assert_eq!(app.sql(unchanged), 1, "tickets and sessions live on");
}

/// CONTRACT 6: the configuration decides which users of a tenant retrieve tokens.
#[test]
fn who_retrieves_tokens_is_configured() {
    for (retrieval, mask, token) in
        [("key", "Select", json!("fugit")), ("owner", "None", json!(null))]
    {
        let app = Setup::new().with("AUTH__RETRIEVAL", retrieval).start();
        for login in ["ann", "bob"] {
            app.add_user(login);
        }
        let of = |login| app.client().with_password(login, "CANARY-password");
        let key = of("ann").save(&json!({"Provider": "et", "AccessToken": "fugit"}));
        for owner in [of("ann"), app.client()] {
            let got = owner.get(&key);
            assert_eq!(
                (&got["AccessToken"], &got["TableRight"]["Mask"]),
                (&json!("fugit"), &json!("FULL"))
            );
        }
        let got = of("bob").get(&key);
        assert_eq!(got["TableRight"]["Mask"], mask, "{retrieval}");
        assert_eq!(got["AccessToken"], token, "{retrieval}");
        let is_hidden = retrieval == "owner";
        assert_eq!(got["Provider"].is_null(), is_hidden);
        let right = &got["FieldProperties"]["AccessToken"]["FieldRight"];
        assert_eq!(right["Mask"] == "None", is_hidden, "{right}");
        assert!(right["Reason"].as_str().is_some_and(|reason| reason.starts_with("[SR_")));
        assert_eq!(got.to_string().contains("fugit"), !is_hidden);
    }
    let refusal = Setup::new().with("AUTH__RETRIEVAL", "anybody").refusal();
    assert!(refusal.contains("expected `key` or `owner`"), "{refusal}");
}

/// The server's writer and a command take turns, also on a busy server.
#[test]
fn commands_work_under_load() {
    let app = TestApp::new();
    let is_over = AtomicBool::new(false);
    let saves = thread::scope(|scope| {
        let savers: Vec<_> = (0..8)
            .map(|_| {
                let (client, is_over) = (app.client(), &is_over);
                scope.spawn(move || {
                    let saves = std::iter::from_fn(|| {
                        let carrier = json!({"Provider": "et", "AccessToken": "fugit"});
                        (!is_over.load(Ordering::Relaxed)).then(|| client.save(&carrier))
                    });
                    saves.count()
                })
            })
            .collect();
        for number in 0..10 {
            app.add_user(&format!("user{number}"));
            app.ticket(&format!("user{number}"));
        }
        is_over.store(true, Ordering::Relaxed);
        savers.into_iter().map(|saver| saver.join().expect("saves")).sum::<usize>()
    });
    assert!(saves > 100, "{saves} saves meanwhile");
    assert_eq!(app.admin(&["ticket", "list"]).lines().count(), 11, "a head and ten tickets");
}

/// A database of a newer version is not changed.
#[test]
fn a_database_of_another_version_is_left_alone() {
    let setup = TestApp::new().stop();
    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')";
    assert_eq!(setup.database().sql(newer), 1);
    let refusal = setup.run(&["user", "list"], "").expect_err("refused");
    assert!(refusal.contains("migrated by a newer version"), "{refusal}");
}

/// A command never migrates, because its user may still need the older version of the server. The server migrates, and
/// its users are still there.
#[test]
fn a_database_that_is_behind_is_left_to_the_server() {
    let setup = TestApp::new().stop();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let newest = migrations.join(Database::MIGRATIONS).join("2026-11-23-200000_add_credentials");
    setup.database().sql(&fs::read_to_string(newest.join("down.sql")).expect("script"));
    let forget = "DELETE FROM __diesel_schema_migrations WHERE version = '20261123200000'";
    assert_eq!(setup.database().sql(forget), 1);
    let refusal = setup.run(&["user", "list"], "").expect_err("refused");
    assert!(refusal.contains("the database lacks the migration"), "{refusal}");
    let app = setup.start();
    app.client().who(&[]).expect(200);
    assert_eq!(app.admin(&["user", "list"]).lines().count(), 2, "a head and tje0");
}

/// CONTRACT 36: the log has the caller and the scheme.
#[test]
fn the_log_says_who_called() {
    let app = TestApp::new();
    app.client().who(&[]).expect(200);
    let answered = app.logged(&["answered"]);
    for field in ["tenant.id=\"default\"", "user.login=\"tje0\"", "auth.scheme=\"Basic\""] {
        assert_eq!(answered.matches(field).count(), 1, "{answered}");
    }
}
