//! The database's file and its master key: whose they are, and what is refused at the start.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use diesel::{RunQueryDsl as _, connection::SimpleConnection as _, sql_query};
use serde_json::json;

use crate::{
    app::{Setup, TestApp, until},
    load::{Random, Record},
};

fn carrier() -> serde_json::Value {
    json!({"Provider": "et", "AccessToken": "fugit"})
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

/// The one that is there goes on as if nothing had been, and when it is killed another takes its place at
/// once.
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

/// A master key that is missing, short, wrong, weak or exposed stops the start with the file's name
/// and what to do, and changes nothing.
#[test]
fn without_the_right_master_key_there_is_no_start() {
    let app = TestApp::new();
    let key = app.client().save(&carrier());
    let setup = app.stop();
    let (file, database) = (setup.key_file(), setup.data().join("latchkey.db"));
    let (right, before) = (fs::read(&file).expect("key"), fs::read(&database).expect("database"));
    let other: Vec<u8> = right.iter().map(|byte| byte ^ 1).collect();
    let refused = |said: &str| {
        let refusal = setup.refusal();
        assert!(refusal.contains(said), "{refusal}");
        assert!(refusal.contains("cannot use the database data/latchkey.db: "), "{refusal}");
        assert!(refusal.contains(file.file_name().and_then(|f| f.to_str()).expect("name")));
        assert!(fs::read(&database).expect("database") == before, "{said}: it was changed");
    };

    fs::write(&file, other).expect("write");
    refused("is not the master key that the database is sealed under; restore the right file");
    fs::write(&file, &right[..31]).expect("write");
    refused("is no master key: it has 31 bytes and must have 32 random ones");
    fs::write(&file, [right.as_slice(), b"\n"].concat()).expect("write");
    refused("is no master key: it has 33 bytes");
    fs::write(&file, [0; 32]).expect("write");
    refused("is no master key");
    fs::write(&file, b"").expect("write");
    refused("is no master key: it has 0 bytes");
    fs::write(&file, &right).expect("write");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("chmod");
    refused("can be read by other users; run `chmod 600`");
    fs::remove_file(&file).expect("remove");
    refused("is missing; restore that file from its backup");
    let migrate = setup.clone().arguments(&["migrate"]).refusal();
    assert!(migrate.contains("is missing; restore that file"), "{migrate}");
    assert!(!file.exists(), "no new key was made in its place");

    fs::write(&file, &right).expect("write");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("chmod");
    let app = setup.start();
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
}

/// A first start that was cut short after it made its key is taken up; of two keys none is guessed.
#[test]
fn a_key_without_a_database_is_used() {
    let setup = Setup::new();
    let keys = setup.data().join("keys");
    fs::create_dir_all(&keys).expect("folder");
    let write = |name: &str| {
        let path = keys.join(name);
        fs::write(&path, (0..32).collect::<Vec<u8>>()).expect("write");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
        path
    };
    let own = write("kek-0123456789abcdef.key");
    let second = write("kek-fedcba9876543210.key");
    let refusal = setup.refusal();
    assert!(refusal.contains("holds more than one master key"), "{refusal}");
    fs::remove_file(second).expect("remove");
    let app = setup.start();
    app.client().save(&carrier());
    assert_eq!(app.setup.key_file(), own);
}

#[test]
fn a_database_that_is_newer_or_older_is_refused() {
    let app = TestApp::new();
    let key = app.client().save(&carrier());
    let setup = app.stop();
    let alter = |sql: &str| {
        assert_eq!(sql_query(sql).execute(&mut setup.open_database()).expect(sql), 1);
    };
    alter("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')");
    let refusal = setup.refusal();
    assert!(refusal.contains("newer version (migration 99990101000000 is unknown"), "{refusal}");
    let refusal = setup.clone().arguments(&["migrate"]).refusal();
    assert!(refusal.contains("newer version"), "{refusal}");
    alter("DELETE FROM __diesel_schema_migrations WHERE version = '99990101000000'");
    let app = setup.clone().with("DATABASE__AUTO_MIGRATE", "false").start();
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));

    let new = Setup::new().with("DATABASE__AUTO_MIGRATE", "false");
    let refusal = new.refusal();
    assert!(refusal.contains("run `latchkey migrate`"), "{refusal}");
    let told = new.clone().arguments(&["migrate"]).output();
    assert!(told.contains("ran 2026-11-23-140000_create_tables"), "{told}");
    new.start().client().save(&carrier());
}

/// A file that is no database, or another program's, is refused and left as it is: its bytes, who may
/// read it, and a write-ahead log that its own program has yet to take up.
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
    let mut theirs = setup.open_database();
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

/// A second name for the file would mean a second lock and a second write-ahead log.
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

/// A restored copy that others can read is taken, and others are shut out of all its files.
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

/// A lock is not taken for damage, which would end in a restored backup.
#[test]
fn a_locked_database_is_told_from_a_damaged_one() {
    let setup = TestApp::new().stop();
    let mut visitor = setup.open_database();
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
