//! SQLite's file: its owner, the files that the start rejects, and its state at the end.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    thread,
};

use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::support::{
    app::{Setup, TestApp, until},
    load::{Random, Record},
};

fn carrier() -> serde_json::Value {
    json!({"Provider": "et", "AccessToken": "fugit"})
}

#[test]
fn the_first_start_makes_files_for_their_owner_alone() {
    let app = TestApp::new();
    for file in ["latchkey.db", "latchkey.db-wal", "latchkey.db.lock"] {
        let mode = fs::metadata(app.setup.data().join(file)).expect(file).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(app.greeting.contains("Database: data/latchkey.db, master key: data/keys\n"));
}

/// Neither a command that lists users nor a server that fails to start makes a database.
#[test]
fn a_database_is_made_for_a_reason() {
    let setup = Setup::new();
    let looked = setup.run(&["user", "list"], "").expect_err("there is nothing to look at");
    assert!(looked.contains("there is no database at data/latchkey.db"), "{looked}");
    assert!(!setup.data().exists(), "looking made something");
    let exposed = setup.clone().with("SERVER__LISTEN", "0.0.0.0:0");
    let refusal = exposed.with("SERVER__BEHIND_PROXY", "true").refusal();
    assert!(refusal.contains("the sample login tje0 would let everybody in"), "{refusal}");
    assert!(!setup.data().exists(), "a server that does not start made something");
    let add = ["user", "add", "ann", "--password-stdin"];
    setup.run(&add, "CANARY-password").expect("that makes the database");
    setup.start().client().with_password("ann", "CANARY-password").who(&[]).expect(200);
}

/// A command rejects a database that a server of another version uses.
#[test]
fn a_database_that_another_version_uses_is_left_alone() {
    let app = TestApp::new();
    app.sql("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')");
    let refusal = app.setup.run(&["user", "list"], "").expect_err("refused");
    assert!(refusal.contains("use the `latchkey` of the version that is running"), "{refusal}");
}

#[test]
fn a_second_server_on_the_same_database_is_refused() {
    let app = TestApp::new();
    let key = app.client().save(&carrier());
    let refusal = app.setup.refusal();
    assert!(refusal.contains("another server is using the database"), "{refusal}");
    let migrate = app.setup.clone().arguments(&["migrate"]).refusal();
    assert!(migrate.contains("another server is using the database"), "{migrate}");
    let link = app.setup.folder().join("link");
    std::os::unix::fs::symlink(app.setup.data().join("latchkey.db"), link).expect("link");
    let linked = app.setup.clone().with("DATABASE__URL", "sqlite:link").refusal();
    assert!(linked.contains("another server is using the database"), "{linked}");
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
}

/// The first server is not disturbed. When it is killed, another one can start at once.
#[test]
fn a_second_server_disturbs_the_first_one_in_nothing() {
    let record = Record::default();
    let mut app = TestApp::new();
    record.load(&app.url.clone(), 8, &mut Random::new(), || {
        for _ in 0..5 {
            let before = record.acknowledged();
            let refusal = app.setup.refusal();
            assert!(refusal.contains("another server is using the database"), "{refusal}");
            until("a save beside it", || record.acknowledged() > before + 10);
        }
        assert_eq!((record.cut_off(), record.refused()), (0, 0));
        app.kill();
    });
    let app = app.setup.start();
    record.assert_kept(&app);
    assert!(record.save(&app.client()));
}

/// A file that is no database, or belongs to another program, is rejected and left as it is. That includes its bytes,
/// its permissions, and a write-ahead log that its own program has not applied yet.
#[test]
fn a_foreign_file_in_the_databases_place_is_left_alone() {
    let setup = Setup::new();
    fs::create_dir(setup.data()).expect("folder");
    let file = |name: &str| setup.data().join(name);
    let is_left_alone = || {
        let state = |name: &str| {
            let mode = fs::metadata(file(name)).ok().map(|metadata| metadata.permissions().mode());
            (fs::read(file(name)).ok(), mode)
        };
        let before = (state("latchkey.db"), state("latchkey.db-wal"));
        let refusal = setup.refusal();
        assert!(refusal.contains("it is no database of this server"), "{refusal}");
        assert!(before == (state("latchkey.db"), state("latchkey.db-wal")), "it was changed");
    };
    let open_to_all = |name: &str| {
        fs::set_permissions(file(name), Permissions::from_mode(0o664)).expect("chmod");
    };

    fs::write(file("latchkey.db"), "no database at all, but somebody's own file").expect("file");
    open_to_all("latchkey.db");
    is_left_alone();

    fs::remove_file(file("latchkey.db")).expect("remove");
    let sql = "PRAGMA journal_mode = WAL; CREATE TABLE theirs (id INTEGER);";
    let mut theirs = setup.database().open();
    theirs.batch_execute(sql).expect("their database");
    for name in ["latchkey.db", "latchkey.db-wal"] {
        fs::copy(file(name), file(&format!("{name}.copy"))).expect("copy");
    }
    drop(theirs);
    for name in ["latchkey.db", "latchkey.db-wal"] {
        fs::rename(file(&format!("{name}.copy")), file(name)).expect("as after a crash");
        open_to_all(name);
    }
    is_left_alone();
}

/// The number of times that the log reports a replaced file.
fn reported(app: &TestApp) -> usize {
    let is_told = |line: &&str| line.contains("ERROR") && line.contains("is not the one that this");
    app.log().lines().filter(is_told).count()
}

/// CONTRACT 35: once the server's open file is moved or replaced, nothing is acknowledged. All acknowledged saves are
/// in the moved file, with or without its log.
#[test]
fn a_file_that_is_replaced_under_the_server_takes_no_saves() {
    let (mut app, record) = (TestApp::new(), Record::default());
    let [database, moved, log] =
        ["latchkey.db", "moved", "latchkey.db-wal"].map(|name| app.setup.data().join(name));
    let is_refused = |app: &TestApp, call: &str, body: &serde_json::Value| {
        let why = "moved or replaced while the server was running";
        let refused = app.client().post(call, body);
        let refused = refused.expect_error(503, "SoUnavailableException", why);
        assert_eq!(refused.header("Retry-After"), "1");
        let ready = app.client().request("GET", "/readyz", &[], b"");
        ready.expect_error(503, "SoUnavailableException", why);
    };
    let save = json!({ "TokenManagementInfo": carrier() });
    let key = app.client().save(&carrier());

    fs::rename(&database, &moved).expect("move");
    is_refused(&app, "SaveExternalTokens", &save);
    is_refused(&app, "GetExternalTokens", &json!({ "Key": key }));
    fs::copy(&moved, &database).expect("another file");
    is_refused(&app, "SaveExternalTokens", &save);
    is_refused(&app, "GetExternalTokens", &json!({ "Key": key }));
    assert_eq!(reported(&app), 1, "it is said once: {}", app.log());
    fs::rename(&moved, &database).expect("put it back");
    until("it is ready", || app.client().request("GET", "/readyz", &[], b"").status == 200);
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = app.client();
                while record.refused() < 100 {
                    record.save(&client);
                }
            });
        }
        until("saves", || record.acknowledged() >= 100);
        fs::rename(&database, &moved).expect("move");
        fs::write(&database, "").expect("another file");
    });
    until("nobody asks, and it is said", || reported(&app) == 2);
    until("the log is cut off", || fs::metadata(&log).is_ok_and(|log| log.len() == 0));
    app.kill();
    fs::rename(&moved, &database).expect("put it back");
    fs::remove_file(&log).expect("as if it were lost");
    record.assert_kept(&app.setup.start());
}

/// Without its log, a killed server would lose saves that it acknowledged after the last checkpoint.
#[test]
fn a_write_ahead_log_that_is_removed_under_the_server_takes_no_saves() {
    let (mut app, record) = (TestApp::new(), Record::default());
    let client = app.client();
    (0..100).for_each(|_| assert!(record.save(&client)));
    fs::remove_file(app.setup.data().join("latchkey.db-wal")).expect("remove");
    let save = json!({ "TokenManagementInfo": carrier() });
    for _ in 0..2 {
        let refused = client.post("SaveExternalTokens", &save);
        refused.expect_error(503, "SoUnavailableException", "moved or replaced");
    }
    assert_eq!(reported(&app), 1, "{}", app.log());
    assert!(app.log().contains("latchkey.db-wal is not the one"), "{}", app.log());
    app.kill();
    let app = app.setup.start();
    record.assert_kept(&app);
    assert!(record.save(&app.client()));
}

/// A second name of the file would have a second lock and a second write-ahead log.
#[test]
fn a_database_with_a_hard_link_is_refused() {
    let setup = TestApp::new().stop();
    let link = setup.folder().join("link.db");
    fs::hard_link(setup.data().join("latchkey.db"), &link).expect("link");
    for setup in [setup.clone(), setup.clone().with("DATABASE__URL", "sqlite:link.db")] {
        let refusal = setup.refusal();
        assert!(refusal.contains("it has 2 names (hard links)"), "{refusal}");
    }
    fs::remove_file(link).expect("remove");
    setup.start().client().save(&carrier());
}

/// A restored copy that others can read is used, and the server removes the others' access to all its files.
#[test]
fn a_database_that_others_can_read_is_closed_to_them() {
    let mut app = TestApp::new();
    let key = app.client().save(&carrier());
    app.kill();
    let files = ["latchkey.db", "latchkey.db-wal", "latchkey.db-shm"];
    for file in files {
        let path = app.setup.data().join(file);
        fs::set_permissions(path, Permissions::from_mode(0o644)).expect("chmod");
    }
    let app = app.setup.start();
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
    for file in files {
        let mode = fs::metadata(app.setup.data().join(file)).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// A lock is not reported as damage, because the operator would then restore a backup.
#[test]
fn a_locked_database_is_not_reported_as_damaged() {
    let setup = TestApp::new().stop();
    let mut visitor = setup.database().open();
    let lock =
        "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; UPDATE users SET updated = updated";
    visitor.batch_execute(lock).expect("lock");
    let refusal = setup.refusal();
    assert!(refusal.contains("another program has locked it: let that program end"), "{refusal}");
    drop(visitor);

    let database = setup.data().join("latchkey.db");
    let mut bytes = fs::read(&database).expect("database");
    bytes[100..4096].fill(0xff);
    fs::write(&database, bytes).expect("damage");
    let refusal = setup.refusal();
    assert!(refusal.contains("if it is damaged, restore it from its backup"), "{refusal}");
}

/// After an orderly shutdown the whole database is in its one file.
#[test]
fn a_shutdown_settles_the_write_ahead_log() {
    let app = TestApp::new();
    let key = app.client().save(&carrier());
    let setup = app.stop();
    let log = setup.data().join("latchkey.db-wal");
    assert_eq!(fs::metadata(&log).map_or(0, |metadata| metadata.len()), 0);
    let _ = fs::remove_file(log);
    assert_eq!(setup.start().client().access_token(&key).as_deref(), Some("fugit"));
}

/// Readiness is tested by a write to the disk.
#[test]
fn readiness_writes() {
    let app = TestApp::new().stop().start();
    let log = app.setup.data().join("latchkey.db-wal");
    let length = || fs::metadata(&log).map_or(0, |metadata| metadata.len());
    // The start wrote the count of wraps, and nothing was written since.
    let before = length();
    app.client().request("GET", "/readyz", &[], b"").expect(200);
    assert!(length() > before);
}

/// CONTRACT 39: revoked data is overwritten in the file, and not only freed.
#[test]
fn what_is_revoked_is_overwritten() {
    let app = TestApp::new();
    let long = "CANARY".repeat(5000);
    let keys = ["CANARY", &long]
        .map(|token| app.client().save(&json!({"Provider": "et", "AccessToken": token})));
    let blob = |key: &str| {
        let id = model::RetrievalKey::parse(key).expect("key").record().as_i64();
        let query = format!("SELECT sealed FROM external_tokens WHERE id = {id}");
        app.setup.database().bytes(&query)
    };
    let blobs = keys.each_ref().map(|key| blob(key));
    // The beginning is in the row's own page, the end in overflow pages.
    let parts: Vec<&[u8]> =
        blobs.iter().flat_map(|blob| [&blob[..40], &blob[blob.len() - 40..]]).collect();
    let app = app.stop().start();
    let found =
        |app: &TestApp| parts.iter().filter(|part| !app.files_with(part).is_empty()).count();
    assert_eq!(found(&app), 4, "they are looked for rightly");
    for key in &keys {
        assert!(app.client().revoke(&json!({ "Key": key })));
    }
    let app = app.stop().start();
    assert_eq!(found(&app), 0);
}
