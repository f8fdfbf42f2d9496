//! A disk that is full or read-only: clear errors, no loss, and recovery without a restart.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    app::{Setup, until},
    load::{Random, Record},
    parts::leave_out,
};

/// A small file system of its own, unmounted when this is dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None`, with a notice, if this user may not mount.
    fn mount(test: &str, path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).expect("mount point");
        let disk = Self { path: path.to_owned() };
        let options = format!("size={size},mode=700");
        if disk.run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"]) {
            Some(disk)
        } else {
            leave_out(test, "the right to mount a tmpfs");
            None
        }
    }

    fn remount(&self, option: &str) {
        assert!(self.run("mount", &["-o", &format!("remount,{option}")]), "{option}");
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.path).output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.run("umount", &["-l"]);
    }
}

fn carrier(token: &str) -> Value {
    json!({"Provider": "et", "AccessToken": token})
}

/// Under load, without free space: each save succeeds or is rejected as a whole, and gets work. As soon as there is
/// space again, saves work.
#[test]
fn a_full_disk_refuses_saves_and_loses_nothing() {
    let setup = Setup::new();
    let Some(_disk) = SmallDisk::mount("a full disk", &setup.data(), "32m") else { return };
    let mut app = setup.start();
    let ballast = |number: usize| setup.data().join(format!("ballast-{number}"));
    // Each file frees enough space to checkpoint the whole write-ahead log, because otherwise the log could not
    // restart.
    for number in 0..3 {
        fs::write(ballast(number), vec![0; 8_000_000]).expect("ballast");
    }
    let record = Record::of_long_tokens(8000);
    record.load(&app.url.clone(), 8, &mut Random::new(), || {
        for number in 0..3 {
            let refused = record.refused();
            until("the disk is full", || record.refused() >= refused + 100);
            let got = record.got();
            until("gets while it is full", || record.got() >= got + 100);
            let acknowledged = record.acknowledged();
            fs::remove_file(ballast(number)).expect("make room");
            until("saves go on", || record.acknowledged() >= acknowledged + 50);
        }
    });
    println!("{} saves were refused, {} gets answered", record.refused(), record.got());
    assert_eq!(record.cut_off(), 0);
    app.kill();
    record.assert_kept(&app.setup.start());
}

#[test]
fn a_read_only_disk_refuses_the_start_and_nothing_is_lost() {
    let setup = Setup::new();
    let Some(disk) = SmallDisk::mount("a read-only disk", &setup.data(), "2m") else { return };
    let app = setup.start();
    let key = app.client().save(&carrier("CANARY-before"));

    let setup = app.stop();
    disk.remount("ro");
    let refusal = setup.refusal();
    assert!(refusal.contains("latchkey.db.lock"), "{refusal}");
    assert!(refusal.contains("check the path, and what this user may do there"), "{refusal}");

    disk.remount("rw");
    let app = setup.start();
    assert_eq!(app.client().access_token(&key).as_deref(), Some("CANARY-before"));
    app.client().save(&carrier("CANARY-after"));
}

/// CONTRACT 35: a server that starts on a full disk answers gets, reports why it is not ready, and saves as soon as
/// there is space. This holds after an orderly shutdown and after a kill.
#[test]
fn a_server_starts_on_a_full_disk() {
    let setup = Setup::new();
    let Some(_disk) = SmallDisk::mount("a start on a full disk", &setup.data(), "2m") else {
        return;
    };
    let ballast = setup.data().join("ballast");
    let save = json!({ "TokenManagementInfo": carrier("CANARY") });
    let mut setup = setup;
    for is_killed in [false, true] {
        let mut app = setup.start();
        let key = app.client().save(&carrier("CANARY-before"));
        setup = if is_killed {
            app.kill();
            app.setup.clone()
        } else {
            app.stop()
        };
        fs::write(&ballast, vec![0; 3_000_000]).expect_err("the disk is full");

        let app = setup.start();
        let client = app.client();
        assert_eq!(client.access_token(&key).as_deref(), Some("CANARY-before"));
        let why = "disk is full or does not work";
        // The log of a killed server has some space left.
        let mut saved = None;
        until("saves are refused", || {
            let answer = client.post("SaveExternalTokens", &save);
            saved.insert(answer).status != 200
        });
        saved.expect("an answer").expect_error(503, "SoUnavailableException", why);
        let ready = client.request("GET", "/readyz", &[], b"");
        ready.expect_error(503, "SoUnavailableException", why);
        fs::remove_file(&ballast).expect("make room");
        until("it is ready", || client.request("GET", "/readyz", &[], b"").status == 200);
        let after = client.save(&carrier("CANARY-after"));
        assert_eq!(client.access_token(&after).as_deref(), Some("CANARY-after"));
        assert!(app.admin(&["user", "list"]).contains("tje0"), "other processes may use it again");
        setup = app.stop();
    }
}

/// If the start has to write and cannot, the server does not start, and nothing is changed.
#[test]
fn a_start_that_must_write_is_refused_on_a_full_disk() {
    let setup = Setup::new();
    let Some(_disk) = SmallDisk::mount("a migration on a full disk", &setup.data(), "2m") else {
        return;
    };
    let app = setup.start();
    let key = app.client().save(&carrier("CANARY"));
    let setup = app.stop();
    let latest = setup.database().text("SELECT max(version) FROM __diesel_schema_migrations");
    setup
        .database()
        .sql(&format!("DELETE FROM __diesel_schema_migrations WHERE version = '{latest}'"));
    let ballast = setup.data().join("ballast");
    fs::write(&ballast, vec![0; 3_000_000]).expect_err("the disk is full");
    let refusal = setup.refusal();
    assert!(refusal.contains("make room on its disk"), "{refusal}");
    fs::remove_file(&ballast).expect("make room");
    setup
        .database()
        .sql(&format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{latest}')"));
    assert_eq!(setup.start().client().access_token(&key).as_deref(), Some("CANARY"));
}

#[test]
fn a_disk_that_is_full_at_the_start_is_reported_and_the_start_can_be_retried() {
    let setup = Setup::new();
    let Some(_disk) = SmallDisk::mount("a full disk at the first start", &setup.data(), "2m")
    else {
        return;
    };
    let ballast = setup.data().join("ballast");
    fs::write(&ballast, vec![0; 3_000_000]).expect_err("the disk is full");
    let refusal = setup.refusal();
    assert!(refusal.contains("make room on its disk"), "{refusal}");
    fs::remove_file(&ballast).expect("make room");
    setup.start().client().save(&carrier("CANARY"));
}

/// An incomplete file is removed.
#[test]
fn a_full_disk_keeps_no_part_of_a_file() {
    let setup = Setup::new();
    setup.run(&["user", "add", "ann", "--password-stdin"], "CANARY-password").expect("a database");
    let folder = setup.folder().join("small");
    let Some(_disk) = SmallDisk::mount("a key on a full disk", &folder, "64k") else { return };
    fs::write(folder.join("filler"), vec![1; 1 << 20]).expect_err("it is full");
    let on_disk = setup.clone().with("KEYS__DIRECTORY", folder.to_str().expect("UTF-8"));
    let refused = |setup: &Setup, arguments: &[&str]| {
        let refusal = setup.run(arguments, "").expect_err("there is no room");
        assert!(refusal.contains("No space left") || refusal.contains("full"), "{refusal}");
        let names =
            fs::read_dir(&folder).expect("folder").map(|entry| entry.expect("entry").path());
        assert_eq!(names.collect::<Vec<_>>(), [folder.join("filler")], "{arguments:?}");
    };
    refused(&on_disk, &["keys", "new"]);
    refused(&setup, &["backup", "small/backup"]);
}
