//! The backups that a server makes of its own database: when, how many stay, and what happens if one cannot be made.
//!
//! Invariant: the tests judge a backup by restoring it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::support::{
    app::{Setup, TestApp, until},
    client::to_save,
    scrape::Scrape,
};

/// A setup whose server makes backups, and their folder.
fn backing_up() -> (Setup, PathBuf) {
    let setup = Setup::new();
    let folder = setup.folder().join("backups");
    fs::create_dir(&folder).expect("a folder");
    (with_folder(setup, &folder), folder)
}

fn with_folder(setup: Setup, folder: &Path) -> Setup {
    let folder = folder.to_str().expect("UTF-8");
    setup.with("BACKUP__DIRECTORY", folder).with("BACKUP__RETRY_SECONDS", "1")
}

/// The names in a folder that end like this, sorted.
fn names(folder: &Path, end: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let names = entries.map(|entry| entry.file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    names.sort();
    names
}

fn proved(folder: &Path) -> Vec<String> {
    names(folder, ".backup")
}

fn wait_for_backup(folder: &Path) -> PathBuf {
    until("a backup", || !proved(folder).is_empty());
    folder.join(proved(folder).pop().expect("a backup"))
}

/// Copies a backup under the name of another time.
fn as_of(backup: &Path, time: &str) {
    let copy = backup.with_file_name(format!("latchkey-{time}.backup"));
    fs::copy(backup, copy).expect("copied");
}

/// A server backs up its database at the start, and not again before the next backup is due. The backup restores, and
/// has the records of that moment.
#[test]
fn a_server_backs_up_its_database() {
    let (setup, folder) = backing_up();
    // Before the first start, because the first backup is made at the start.
    let first = Setup::clone(&setup).with("BACKUP__DIRECTORY", "missing").start();
    let key = first.client().post("SaveExternalTokens", &to_save("fugit")).key();
    first.logged(&["no backup is made", "missing cannot be used for backups"]);
    assert_eq!(first.client().access_token(&key).as_deref(), Some("fugit"), "it serves on");
    first.stop();
    let app = setup.start();
    let backup = wait_for_backup(&folder);
    let line = app.logged(&["backed up the database, and proved the backup", "records=1"]);
    assert!(line.contains("bytes="), "{line}");
    let setup = app.stop();
    let app = setup.clone().with("METRICS__LISTEN", "127.0.0.1:0").start();
    app.logged(&["backups are made", "last=20"]);
    let scrape = Scrape::of(&app);
    let bytes = fs::metadata(&backup).expect("a file").len();
    assert_eq!(scrape.value("latchkey_backup_bytes", &[]), bytes as f64);
    assert!(scrape.value("latchkey_backup_timestamp_seconds", &[]) > 1e9);
    app.client().post("SaveExternalTokens", &to_save("fugit")).expect(200);
    app.stop();
    assert_eq!(proved(&folder).len(), 1, "no other one is due");
    assert_eq!(names(&folder, ".unproved"), [""; 0]);

    let keys = setup.data().join("keys");
    let place = Setup::new().with("KEYS__DIRECTORY", keys.to_str().expect("UTF-8"));
    let told = place.run(&["restore", backup.to_str().expect("UTF-8")], "").expect("restored");
    assert!(told.contains("1 record: every data key opens"), "{told}");
    let restored = place.start();
    assert_eq!(restored.client().access_token(&key).as_deref(), Some("fugit"));
    assert_eq!(restored.saved_rows(), 1);
}

/// Old backups go by the rules, and only after a new one was proved. Other files in the folder stay.
#[test]
fn old_backups_go_by_the_rules() {
    let (setup, folder) = backing_up();
    let app = setup.start();
    let backup = wait_for_backup(&folder);
    let setup = app.stop();
    for time in
        ["2020-01-01T000000Z", "2020-01-01T120000Z", "2020-01-02T000000Z", "2020-02-03T000000Z"]
    {
        as_of(&backup, time);
    }
    fs::remove_file(&backup).expect("removed");
    fs::write(folder.join("latchkey-2020-01-01"), "by hand").expect("written");
    // As a killed backup leaves it.
    let left = folder.join("latchkey-2020-01-03T000000Z.unproved.unfinished-0123456789abcdef");
    fs::create_dir(&left).expect("a folder");
    fs::write(left.join("backup"), "half").expect("written");
    let app = setup.with("BACKUP__KEEP", "2").with("BACKUP__KEEP_DAILY", "3").start();
    app.logged(&["removed an old backup", "2020-01-01T000000Z"]);
    app.logged(&["removed an old backup", "2020-01-01T120000Z"]);
    let kept = proved(&folder);
    assert_eq!(
        kept[..2],
        ["latchkey-2020-01-02T000000Z.backup", "latchkey-2020-02-03T000000Z.backup"]
    );
    assert_eq!(kept.len(), 3);
    assert!(folder.join("latchkey-2020-01-01").exists() && !left.exists());
    app.stop();
}

/// A backup with a damaged record is kept apart. It replaces no backup that was proved.
#[test]
fn a_backup_that_does_not_prove_replaces_none() {
    let (setup, folder) = backing_up();
    let app = setup.with("BACKUP__KEEP", "1").start();
    let backup = wait_for_backup(&folder);
    as_of(&backup, "2020-01-01T000000Z");
    fs::remove_file(&backup).expect("removed");
    let key = app.client().post("SaveExternalTokens", &to_save("fugit")).key();
    app.sql("UPDATE external_tokens SET wrapped_dek = zeroblob(length(wrapped_dek))");
    let line = app.logged(&["no backup is made", "did not prove: 1 records are damaged"]);
    assert!(line.contains("latchkey verify"), "{line}");
    assert_eq!(proved(&folder), ["latchkey-2020-01-01T000000Z.backup"]);
    assert_eq!(names(&folder, ".unproved").len(), 1);
    assert!(app.client().revoke(&json!({ "Key": key })));
    // The next attempt is due later; by then the damage is repaired.
    for name in names(&folder, ".unproved") {
        let older = folder.join("latchkey-2020-01-02T000000Z.unproved");
        fs::rename(folder.join(name), older).expect("renamed");
    }
    app.logged(&["upkeep works again", "backing up the database"]);
    until("the older one goes", || {
        proved(&folder).len() == 1 && !proved(&folder)[0].contains("2020")
    });
    assert_eq!(names(&folder, ".unproved"), [""; 0]);
}

/// A folder that is away is tried again. Two servers do not share a folder, because each would remove the other's
/// backups.
#[test]
fn a_folder_that_cannot_be_used_is_tried_again() {
    let setup = Setup::new();
    let folder = setup.folder().join("later");
    let app = with_folder(setup, &folder).start();
    app.logged(&["no backup is made", "later cannot be used for backups"]);
    fs::create_dir(&folder).expect("a folder");
    wait_for_backup(&folder);
    app.logged(&["upkeep works again", "backing up the database"]);
    let other: TestApp = with_folder(Setup::new(), &folder).start();
    other.logged(&["no backup is made", "another server writes its backups there"]);
    assert_eq!(proved(&folder).len(), 1);
    app.stop();
}
