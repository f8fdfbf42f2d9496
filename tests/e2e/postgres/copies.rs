//! `latchkey copy`: from SQLite to PostgreSQL and back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::{
    Database,
    postgres::cluster::Programs,
    support::{
        app::{Setup, TestApp, signal, until},
        kills::Killer,
        load::{Record, assert_none_lost, lost},
        sqlite_tables::{TABLES, assert_same, numbers},
    },
};

const KILLS: usize = 12;

/// A server's setup with a SQLite database, and the PostgreSQL database that it is copied to.
struct Bench {
    setup: Setup,
    record: Record,
}

impl Bench {
    /// Rows in every table, and a stopped server.
    fn new(records: usize) -> Self {
        let setup = on_sqlite(Setup::new());
        let app = setup.start();
        app.add_user("ann");
        app.ticket("ann");
        app.admin(&["app", "add", "crm-sync"]);
        let record = Record::default();
        let client = app.client();
        for _ in 0..records {
            assert!(record.save(&client));
        }
        let bench = Self { setup: app.stop(), record };
        bench.sqlite(
            "INSERT INTO idempotency_keys VALUES (x'01', x'02', x'03', 4), (x'FF00', x'', x'', 5);
             INSERT INTO retired_keks VALUES ('00ff', 6);
             INSERT INTO grants SELECT id, x'07', 'failing', 1, 'network', 2, 3, 4, NULL, 5, 6, 7, 4, 'boot', 8, 3
                 FROM external_tokens LIMIT 2;
             INSERT INTO provider_states VALUES (x'07', 'invalid_client', 9, 10);
             INSERT INTO exchanges VALUES (x'0708', 9000000000000000);
             INSERT INTO deliveries VALUES
                 ('crm', 'a', 1, 'e', 'grant.dead', 't', 'o', 'p', 'network', NULL, 2, 3, 4),
                 ('crm', 'a', 2, 'f', 'grant.revoked', 't', 'o', 'p', NULL, 5, 6, 0, 7);
             INSERT INTO audit_anchors VALUES ('chain', 9, x'0A', 'kek', 11, x'0B');
             INSERT INTO audit_keys VALUES ('00ff', 'kek', x'0C')",
        );
        let ended = "UPDATE external_tokens SET ended = 7, last_used = 8, expires = 9, kek_id = '', \
                     wrapped_dek = x'', sealed = x'' WHERE id IN (SELECT id FROM external_tokens LIMIT 1)";
        if records > 100 {
            bench.sqlite(
                "INSERT INTO external_tokens SELECT id - 1, tenant, owner, provider, \
                          generation, key_digest, kek_id, wrapped_dek, sealed, created, updated, \
                          last_used, expires, ended, 11 FROM external_tokens LIMIT 1",
            );
            bench.sqlite(ended);
        }
        bench
    }

    fn file(&self) -> PathBuf {
        self.setup.data().join("latchkey.db")
    }

    /// Changes the source directly.
    fn sqlite(&self, sql: &str) {
        crate::support::sqlite_tables::run(&self.file(), sql);
    }

    fn postgres(&self) -> &Database {
        self.setup.database()
    }

    /// Runs the command on these URLs.
    fn copy(&self, from: &str, to: &str) -> Result<Value, String> {
        let told = self.setup.run(&["copy", "--from", from, "--to", to, "--output", "json"], "")?;
        Ok(serde_json::from_str(&told).expect("JSON"))
    }

    /// From SQLite to PostgreSQL.
    fn there(&self) -> Result<Value, String> {
        self.copy("sqlite:data/latchkey.db", &self.url())
    }

    /// Copies from PostgreSQL to a new file; asserts that it is the same.
    fn assert_back(&self, name: &str) {
        let file = self.setup.folder().join(name);
        self.copy(&self.url(), &format!("sqlite:{name}")).expect("copied back");
        assert_same(&self.file(), &file);
    }

    fn url(&self) -> String {
        self.postgres().url().expect("its URL")
    }
}

fn on_sqlite(setup: Setup) -> Setup {
    setup.with("DATABASE__URL", "sqlite:data/latchkey.db")
}

fn count(database: &Database, table: &str) -> i64 {
    database.number(&format!("SELECT count(*) FROM {table}"))
}

/// After a copy in each direction every table has the same rows, and a server on the copy has every record.
#[test]
fn a_database_is_copied_to_postgresql_and_back() {
    let bench = Bench::new(700);
    let report = bench.there().expect("copied");
    assert_eq!(report["records"], 701, "{report}");
    assert_eq!(report["grants"], 2, "{report}");
    assert_eq!(report["from"], "data/latchkey.db");
    for table in TABLES {
        assert!(count(bench.postgres(), table) > 0, "{table} has rows");
    }
    // The list of running servers is not copied, and a copy has its own pause and its own identity.
    let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '__*' \
                  AND name NOT IN ('servers', 'grants_paused', 'database_identity')";
    assert_eq!(numbers(&bench.file(), tables), [TABLES.len() as i64], "no table is forgotten");
    bench.assert_back("back.db");
    let paused = "SELECT count(*) FROM grants_paused WHERE reason = 'copy'";
    assert_eq!(numbers(&bench.setup.folder().join("back.db"), paused), [1]);
    assert_eq!(numbers(&bench.file(), paused), [0], "the source goes on");
    let before = bench.postgres().content();
    assert_eq!(bench.there(), Ok(report), "again");
    assert!(bench.postgres().content() == before);

    let app = bench.setup.clone().with("DATABASE__URL", &bench.url()).start();
    app.client().with_password("ann", "CANARY-password").who(&[]).expect(200);
    assert_none_lost(700, lost(&app, &bench.record.saved()));
    assert_eq!(
        bench.postgres().text("SELECT reason FROM grants_paused"),
        "copy",
        "and nothing else"
    );
    assert!(app.admin(&["verify"]).contains("every data key opens"));
    assert_eq!(numbers(&bench.file(), "SELECT count(*) FROM external_tokens"), [701]);
}

/// By default one side is the configured database, so that no password needs to be an argument.
#[test]
fn a_side_is_by_default_that_of_the_configuration() {
    let bench = Bench::new(3);
    let told = bench.setup.run(&["copy", "--to", &bench.url()], "").expect("copied");
    assert!(
        told.contains("compared every row: both are the same\n3 records, 2 grants, 2 users,"),
        "{told}"
    );
    assert!(told.contains("refreshes a token before `latchkey grants resume`"), "{told}");
    let same = bench.setup.run(&["copy", "--to", "sqlite:data/latchkey.db"], "");
    assert!(same.expect_err("refused").contains("name the same database"));
}

/// A second copy writes the source's changes since an earlier copy, and removes rows that the source removed.
#[test]
fn a_changed_source_is_copied_again() {
    let bench = Bench::new(300);
    bench.there().expect("copied");
    let later = "updated = updated + 1";
    bench.sqlite(&format!(
        "UPDATE external_tokens SET wrapped_dek = x'05', {later} WHERE id % 7 = 0"
    ));
    bench.sqlite("UPDATE external_tokens SET last_used = 5 WHERE id % 5 = 0");
    bench.sqlite(&format!("UPDATE users SET version = 9, {later} WHERE login = 'ann'"));
    bench.sqlite(&format!("UPDATE applications SET is_disabled = TRUE, {later}"));
    bench.sqlite("UPDATE keks SET wraps = wraps + 77");
    bench.sqlite("UPDATE grants SET state = 'dead', attempt = attempt + 1");
    bench.sqlite("DELETE FROM provider_states");
    bench.sqlite("INSERT INTO exchanges VALUES (x'09', 9000000000000001)");
    bench.sqlite("DELETE FROM credentials");
    bench.sqlite("DELETE FROM idempotency_keys WHERE digest = x'01'");
    let app = bench.setup.start();
    assert!(bench.record.save(&app.client()));
    drop(app.stop());
    // The server's sweep removed the record that had ended.
    assert_eq!(bench.there().expect("copied")["records"], 301);
    assert_eq!(count(bench.postgres(), "credentials"), 0);
    bench.assert_back("back.db");
}

/// A target with a row that the source lacks, or a newer one, is rejected and left as it is.
#[test]
fn a_target_that_was_used_is_refused() {
    let bench = Bench::new(30);
    bench.there().expect("copied");
    let uses = [
        (
            "UPDATE external_tokens SET updated = updated + 1",
            "UPDATE external_tokens SET updated = updated - 1",
        ),
        ("UPDATE users SET updated = updated + 1", "UPDATE users SET updated = updated - 1"),
        (
            "INSERT INTO users SELECT tenant, 'bob', password_hash, FALSE, FALSE, 1, 1, 1, NULL FROM users LIMIT 1",
            "DELETE FROM users WHERE login = 'bob'",
        ),
        (
            "INSERT INTO keks SELECT 'other', sentinel, 1 FROM keks",
            "DELETE FROM keks WHERE id = 'other'",
        ),
        ("UPDATE external_tokens SET id = id + 1", "UPDATE external_tokens SET id = id - 1"),
        (
            "UPDATE keks SET sentinel = sentinel || '\\x00'",
            "UPDATE keks SET sentinel = substr(sentinel, 1, length(sentinel) - 1)",
        ),
        ("UPDATE keks SET wraps = wraps + 65536", "UPDATE keks SET wraps = wraps - 65536"),
        (
            "UPDATE external_tokens SET ended = updated + 1",
            "UPDATE external_tokens SET ended = NULL",
        ),
        ("UPDATE applications SET name = 'other'", "UPDATE applications SET name = 'crm-sync'"),
        ("UPDATE grants SET attempt = attempt + 1", "UPDATE grants SET attempt = attempt - 1"),
        (
            "UPDATE external_tokens SET generation = 2 WHERE id IN (SELECT record FROM grants)",
            "UPDATE external_tokens SET generation = 1 WHERE generation = 2",
        ),
        (
            "INSERT INTO grants SELECT max(id), '', 'live', 1, NULL, 0, NULL, NULL, NULL, 1, 1 FROM external_tokens",
            "DELETE FROM grants WHERE client_digest = ''",
        ),
        (
            "INSERT INTO exchanges VALUES ('\\x09', 9000000000000000)",
            "DELETE FROM exchanges WHERE digest = '\\x09'",
        ),
    ];
    // The source also has a change to copy, but the refusal comes first.
    bench.sqlite("UPDATE users SET version = 9, updated = updated + 2 WHERE login = 'tje0'");
    bench.sqlite("DELETE FROM credentials");
    for (use_it, undo) in uses {
        assert!(bench.postgres().sql(use_it) > 0, "{use_it}");
        let before = bench.postgres().content();
        let refusal = bench.there().expect_err(use_it);
        assert!(refusal.contains("is not a copy of the source"), "{refusal}");
        assert!(refusal.contains("or has been used since"), "{refusal}");
        assert!(bench.postgres().content() == before, "{use_it}");
        bench.postgres().sql(undo);
    }
    bench.there().expect("copied");
    bench.assert_back("back.db");

    bench.sqlite("DELETE FROM external_tokens WHERE id = (SELECT max(id) FROM external_tokens)");
    let refusal = bench.there().expect_err("it lives in the target");
    assert!(refusal.contains("or the source has removed records since"), "{refusal}");

    let other = Setup::new().start().stop();
    let before = other.database().content();
    let refusal = bench.copy("sqlite:data/latchkey.db", &other.database().url().expect("URL"));
    assert!(refusal.expect_err("refused").contains("another installation's"));
    assert!(other.database().content() == before);
}

/// A file does not change during its copy. A command that would change it fails.
#[test]
fn no_command_changes_what_is_being_copied() {
    let bench = Bench::new(1);
    bench.sqlite(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO external_tokens SELECT id + i, tenant, owner, provider, generation, key_digest, kek_id,
             wrapped_dek, sealed, created, updated, last_used, expires, ended, NULL FROM external_tokens, n",
    );
    let url = bench.url();
    let arguments = ["copy", "--from", "sqlite:data/latchkey.db", "--to", &url];
    let mut copying = start(&bench.setup, &arguments);
    until("some are copied", || records_in(bench.postgres()) > 0);
    signal(&copying, "STOP");
    assert!(count(bench.postgres(), "external_tokens") < 20_001, "it is not over");
    let refusal = bench.setup.run(&["user", "disable", "ann"], "");
    signal(&copying, "CONT");
    let refusal = refusal.expect_err("it waits, and is refused");
    assert!(refusal.contains("locked"), "{refusal}");
    assert!(copying.wait().expect("it ends").success());
    bench.assert_back("back.db");
    bench.setup.run(&["user", "disable", "ann"], "").expect("disabled");
}

/// The commands of README: a dump of PostgreSQL's own tools is restored and verified.
#[test]
fn a_dump_of_postgresql_is_restored_and_proved() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let keys = app.setup.data().join("keys");
    let place = Setup::new().with("KEYS__DIRECTORY", keys.to_str().expect("UTF-8"));
    dump_and_restore(&app.setup, &place, &app.setup.folder().join("latchkey.dump"));
    let told = place.run(&["verify"], "").expect("proved");
    assert!(told.contains("1 record: every data key opens under its master key"), "{told}");
    assert_eq!(place.start().client().access_token(&key).as_deref(), Some("fugit"));
}

fn dump_and_restore(from: &Setup, to: &Setup, dump: &Path) {
    let url = |setup: &Setup| setup.database().url().expect("its URL");
    let run = |program: &str, arguments: &[&str]| {
        let programs = Programs::find().expect("PostgreSQL");
        let output = programs.client(program).args(arguments).arg(dump).output().expect(program);
        assert!(output.status.success(), "{output:?}");
    };
    run("pg_dump", &["--format=custom", &format!("--dbname={}", url(from)), "--file"]);
    let target = format!("--dbname={}", url(to));
    run("pg_restore", &["--no-owner", "--exit-on-error", &target]);
}

const PAUSES: &str = "SELECT string_agg(reason, ' ') FROM grants_paused";

/// A database that PostgreSQL's own tools restored elsewhere is paused, once, and the original is not.
#[test]
fn a_database_that_became_another_one_is_paused() {
    let mut app = TestApp::new();
    for _ in 0..2 {
        app = app.stop().start();
        assert_eq!(app.setup.database().text(PAUSES), "", "it is where it was");
    }
    let joined = app.setup.start();
    assert_eq!(app.setup.database().text(PAUSES), "", "another server of the same database");
    drop(joined);

    let keys = app.setup.data().join("keys");
    let place = Setup::new().with("KEYS__DIRECTORY", keys.to_str().expect("UTF-8"));
    let dump = app.setup.folder().join("latchkey.dump");
    dump_and_restore(&app.setup, &place, &dump);
    // A command that runs before the first server detects it too, so that its pause is not ended too early.
    let told = place.run(&["grants", "resume"], "").expect("resumed");
    assert!(told.contains("\n  the database was restored or copied to another place"), "{told}");
    assert!(told.contains("must not be used any more"), "{told}");
    assert_eq!(place.database().text(PAUSES), "");
    let restored = place.start();
    assert_eq!(place.database().text(PAUSES), "", "it is paused once");
    drop(restored);

    let place = Setup::new().with("KEYS__DIRECTORY", keys.to_str().expect("UTF-8"));
    dump_and_restore(&app.setup, &place, &dump);
    let restored = place.start();
    assert_eq!(place.database().text(PAUSES), "moved");
    restored.logged(&["WARN", "restored or copied to another place on PostgreSQL: it is paused"]);
    drop(app.stop().start());
    assert_eq!(numbers_of_pauses(&place), 1, "it stays paused");
}

fn numbers_of_pauses(setup: &Setup) -> i64 {
    count(setup.database(), "grants_paused")
}

/// If the role cannot read the identity of the database, nothing is stored and nothing is paused.
#[test]
fn where_the_identity_cannot_be_seen_nothing_is_paused() {
    let setup = Setup::new();
    setup.database().query("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    let app = setup.start();
    assert_eq!(count(setup.database(), "database_identity"), 0);
    app.sql("INSERT INTO database_identity VALUES ('another/1')");
    drop(app.stop().start());
    assert_eq!(numbers_of_pauses(&setup), 0);
    setup.database().query("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC");
    drop(setup.start());
    assert_eq!(numbers_of_pauses(&setup), 1);
}

/// `kill -9` at a random moment: the repeated copy continues, and at the end both sides are the same.
#[test]
fn a_copy_that_was_killed_goes_on() {
    let bench = Bench::new(1500);
    let (mut there, mut back) = (Killer::new(), Killer::new());
    let mut cut = 0;
    for number in 0..KILLS {
        let target = Setup::new();
        let url = target.database().url().expect("its URL");
        let arguments = ["copy", "--from", "sqlite:data/latchkey.db", "--to", &url];
        let mut copying = start(&bench.setup, &arguments);
        until("some are copied", || records_in(target.database()) > 0);
        copying.kill().expect("killed");
        copying.wait().expect("ended");
        cut += usize::from(records_in(target.database()) < 1501);
        assert_eq!(numbers_of_pauses(&target), 1, "before the first row");
        there.kill(&bench.setup, &arguments);
        bench.copy("sqlite:data/latchkey.db", &url).expect("it goes on");
        let name = format!("back-{number}.db");
        let file = format!("sqlite:{name}");
        back.kill(&bench.setup, &["copy", "--from", &url, "--to", &file]);
        bench.copy(&url, &file).expect("it goes on");
        assert_same(&bench.file(), &bench.setup.folder().join(name));
    }
    assert!(cut > 0, "killed in the middle");
}

/// Starts a command without its output.
fn start(setup: &Setup, arguments: &[&str]) -> Child {
    let mut command = setup.clone().arguments(arguments).command();
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs")
}

/// The number of records of a target, with or without tables.
fn records_in(target: &Database) -> i64 {
    let tables = "SELECT count(*) FROM pg_class WHERE relname = 'external_tokens'";
    if target.number(tables) == 1 { count(target, "external_tokens") } else { 0 }
}

/// A copy that is impossible is an error, and no error contains a URL with its password.
#[test]
fn mistakes_are_reported() {
    let bench = Bench::new(1);
    let url = bench.url();
    let refused = |from: &str, to: &str, said: &str| {
        let refusal = bench.copy(from, to).expect_err(said);
        assert!(refusal.starts_with("{\"error\":") && refusal.contains(said), "{refusal}");
        assert!(!refusal.contains("CANARY"), "{refusal}");
    };
    refused("sqlite:nowhere.db", &url, "there is no database at nowhere.db");
    refused("mysql://x:CANARY@y/z", &url, "--from cannot be read");
    refused(&url, "sqlite:new.db", "nothing was ever sealed in it");
    refused("sqlite:data/latchkey.db", "postgres://ann:x@CANARY@localhost/none", "more than one @");
    refused(
        "sqlite:data/latchkey.db",
        "postgres://ann:CANARY@localhost:1/none?sslmode=disable",
        "the database server cannot be used",
    );
    let app = bench.setup.start();
    refused("sqlite:data/latchkey.db", &url, "another server is using the database");
    drop(app);
    bench.there().expect("copied");
    let migration = "version = '20261124030000'";
    let change = format!("UPDATE __diesel_schema_migrations SET version = '1' WHERE {migration}");
    bench.postgres().sql(&change);
    refused(
        "sqlite:data/latchkey.db",
        &url,
        "the target cannot be used: the database was migrated",
    );
    bench.postgres().sql("DELETE FROM __diesel_schema_migrations WHERE version = '1'");
    refused("sqlite:data/latchkey.db", &url, "the target cannot be used: the database lacks");
    bench.sqlite(&format!("DELETE FROM __diesel_schema_migrations WHERE {migration}"));
    refused("sqlite:data/latchkey.db", &url, "the source cannot be used: the database lacks");
    bench.sqlite("INSERT INTO __diesel_schema_migrations (version) VALUES ('20261124030000')");
    let key = bench.setup.key_file();
    let bytes = fs::read(&key).expect("key");
    fs::remove_file(&key).expect("removed");
    refused("sqlite:data/latchkey.db", &url, "is missing; restore that file");
    fs::write(&key, bytes).expect("written");
    assert!(!bench.setup.folder().join("new.db").exists());

    let postgres = bench.setup.clone().with("DATABASE__URL", &url);
    for command in ["backup", "restore"] {
        let refusal = postgres.run(&[command, "file"], "").expect_err("refused");
        assert!(refusal.contains("such as pg_dump; run `latchkey verify`"), "{refusal}");
    }
    assert!(!bench.setup.folder().join("file").exists());
}
