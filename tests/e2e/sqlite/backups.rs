//! Backups of a SQLite database, and restored databases.

use std::{
    collections::HashSet,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use model::RetrievalKey;
use serde_json::json;

use crate::{
    Database,
    support::{
        app::{Setup, TestApp},
        kills::Killer,
        load::{OnDrop, Random, Record, Saved, lost},
        parts::rounds,
        sqlite_tables::{Pair, assert_same, numbers, run},
    },
};

const BACKUPS: usize = 100;
/// The number of restored databases on which a server is started.
const STARTED: usize = 10;
/// The number of kills of a command.
const KILLS: usize = 20;
/// The number of bytes at the end of a backup that are tested one by one.
const END: usize = 200;

/// A new setup with the keys of another one, and without its database.
fn place_of(setup: &Setup) -> Setup {
    let keys = setup.data().join("keys");
    Setup::new().with("KEYS__DIRECTORY", keys.to_str().expect("UTF-8"))
}

fn database_of(setup: &Setup) -> PathBuf {
    setup.data().join("latchkey.db")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A backup in a new file of the setup's folder.
fn back_up(setup: &Setup, name: &str) -> PathBuf {
    let file = setup.folder().join(name);
    setup.run(&["backup", text(&file)], "").expect("a backup");
    file
}

/// Asserts that the restore is rejected with one of these texts, and that nothing is left.
fn assert_not_restored(setup: &Setup, file: &Path, words: &[&str]) {
    let refusal = setup.run(&["restore", text(file)], "").expect_err("it is refused");
    assert!(refusal.starts_with("latchkey: cannot restore "), "{refusal}");
    assert!(words.iter().any(|words| refusal.contains(words)), "{refusal}");
    if let Ok(folder) = fs::read_dir(setup.data()) {
        let names = folder.map(|entry| entry.expect("entry").file_name());
        let is_left = |name: &std::ffi::OsString| {
            !["keys", "log", "unsaved"].iter().any(|known| name == known)
        };
        let left: Vec<_> = names.filter(is_left).collect();
        assert!(left.iter().all(|name| name == "latchkey.db.lock"), "{left:?}");
    }
}

/// Saves at intervals while `meanwhile` runs.
fn trickle<T>(app: &TestApp, record: &Record, meanwhile: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            let (client, is_over) = (app.client(), &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) && record.save(&client) {
                    thread::sleep(Duration::from_millis(25));
                }
            });
        }
        let _over = OnDrop(&is_over);
        meanwhile()
    })
}

fn id_of(saved: &Saved) -> i64 {
    RetrievalKey::parse(&saved.key).expect("a key").record().as_i64()
}

/// Each backup has every save that was acknowledged before it began, and no row that was never written. It is restored
/// from its file and the master key alone.
#[test]
fn a_hundred_backups_under_load() {
    let app = TestApp::new();
    app.add_user("ann");
    app.ticket("ann");
    app.admin(&["app", "add", "crm-sync"]);
    let (record, live) = (Record::default(), database_of(&app.setup));
    // It expires late, because otherwise the sweeper could remove it between a backup and the comparison.
    run(&live, "INSERT INTO idempotency_keys VALUES (x'01', x'02', x'03', 9223372036854775807)");
    let backups = rounds(BACKUPS);
    trickle(&app, &record, || {
        for number in 0..backups {
            let before = record.saved();
            let file = back_up(&app.setup, &format!("backup-{number}"));
            let place = place_of(&app.setup);
            let told = place.run(&["restore", text(&file)], "").expect("restored");
            assert!(told.contains("every data key opens"), "{told}");

            let restored = database_of(&place);
            let kept: HashSet<i64> =
                numbers(&restored, "SELECT id FROM external_tokens").into_iter().collect();
            let lost_ids = before.iter().filter(|saved| !kept.contains(&id_of(saved))).count();
            assert_eq!(lost_ids, 0, "of {} in backup {number}", before.len());
            assert_eq!(Pair::open(&restored, &live).only_in_one(), 0, "backup {number}");
            if number % (backups / STARTED) == 0 {
                let tail = &before[before.len().saturating_sub(50)..];
                let started = place.start();
                assert_eq!(lost(&started, tail), 0, "in backup {number}");
                started.client().with_password("ann", "CANARY-password").who(&[]).expect(200);
            }
            fs::remove_file(file).expect("removed");
        }
    });
    assert!(record.acknowledged() > backups, "under load: {}", record.acknowledged());
    assert_eq!(record.refused() + record.cut_off(), 0);
    record.assert_kept(&app);

    let setup = app.stop();
    let place = place_of(&setup);
    place.run(&["restore", text(&back_up(&setup, "last"))], "").expect("restored");
    assert_same(&live, &database_of(&place));
}

/// A backup and a restored database are only for their owner. The file is as the server makes it.
#[test]
fn a_backup_is_a_file_for_its_owner_alone() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "CANARY-token"}));
    let file = back_up(&app.setup, "backup");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(left_of(&file), Vec::<PathBuf>::new());
    let bytes = fs::read(&file).expect("the backup");
    for (text, is_there) in [("CANARY", false), (&key[14..57], false), ("tje0", true)] {
        let holds = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert_eq!(holds, is_there, "{text}");
    }
    let place = place_of(&app.setup);
    place.run(&["restore", text(&file)], "").expect("restored");
    let (live, restored) = (database_of(&app.setup), database_of(&place));
    assert_eq!(mode(&restored), 0o600);
    for name in ["page_size", "application_id", "user_version"] {
        let query = format!("SELECT {name} FROM pragma_{name}");
        assert_eq!(numbers(&restored, &query), numbers(&live, &query), "{name}");
    }
    let again = app.setup.run(&["backup", text(&file)], "").expect_err("it is there");
    assert!(again.contains("is there already; name another file"), "{again}");
    assert_eq!(fs::read(&file).expect("the backup"), bytes);
    for (name, told) in [
        ("nowhere/backup", "cannot find nowhere"),
        ("data/", "names a folder; add the name of a file"),
    ] {
        let refusal = app.setup.run(&["backup", name], "").expect_err(told);
        assert!(refusal.contains(told), "{refusal}");
    }
}

/// A backup that is cut off anywhere, or has one bit changed, is rejected before anything is written.
#[test]
fn a_backup_that_was_cut_or_changed_is_refused() {
    let app = TestApp::new();
    app.client().save(&json!({"Provider": "et", "AccessToken": "CANARY-token"}));
    let file = back_up(&app.setup, "backup");
    let place = place_of(&app.setup);
    let whole = fs::read(&file).expect("the backup");
    let mut random = Random::new();

    let lengths = (whole.len() - END..whole.len()).chain([0, 1, 100]);
    let lengths: Vec<usize> = lengths.chain((0..40).map(|_| random.below(whole.len()))).collect();
    for length in lengths {
        fs::write(&file, &whole[..length]).expect("written");
        assert_not_restored(&place, &file, &["is no whole backup", "its seal does not open"]);
    }
    let places = (whole.len() - END..whole.len()).chain(0..40);
    let places: Vec<usize> = places.chain((0..60).map(|_| random.below(whole.len()))).collect();
    for index in places {
        let mut changed = whole.clone();
        changed[index] ^= 1 << random.below(8);
        fs::write(&file, changed).expect("written");
        assert_not_restored(&place, &file, &["is no whole backup", "its seal does not open"]);
    }
    let longer = [whole.as_slice(), b"\n"].concat();
    fs::write(&file, longer).expect("written");
    assert_not_restored(&place, &file, &["is no whole backup"]);
    fs::write(&file, whole).expect("written");
    place.run(&["restore", text(&file)], "").expect("restored");
}

/// A backup is rejected with the master key of another installation, or without one, even if the keys have the same
/// name.
#[test]
fn without_its_master_key_a_backup_is_refused() {
    let app = TestApp::new();
    let file = back_up(&app.setup, "backup");
    let other = TestApp::new().stop();
    fs::remove_file(database_of(&other)).expect("removed");
    assert_not_restored(&other, &file, &["is missing; restore that file from its backup"]);
    let of_same_name =
        other.data().join("keys").join(app.setup.key_file().file_name().expect("name"));
    fs::rename(other.key_file(), of_same_name).expect("renamed");
    assert_not_restored(&other, &file, &["was made by another installation"]);
    assert_not_restored(&Setup::new(), &file, &["is missing"]);
    assert_not_restored(&Setup::new(), Path::new("nowhere"), &["cannot read nowhere"]);
}

/// A forged id of the key leads out of no folder, and cannot control a terminal.
#[test]
fn the_key_of_a_backup_is_no_path() {
    const BLOB: usize = 62;
    const MARK: usize = 16;
    let app = TestApp::new();
    let file = back_up(&app.setup, "backup");
    let whole = fs::read(&file).expect("the backup");
    let length_at = whole.len() - MARK - 4;
    let length: [u8; 4] = whole[length_at..length_at + 4].try_into().expect("four bytes");
    let blob_at = length_at - 32 - BLOB;
    let about_at = blob_at - u32::from_be_bytes(length) as usize;
    let forge = |id: &str| {
        let part = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
        let about = [part(id), part("directory"), part("")].concat();
        let length = (about.len() as u32).to_be_bytes();
        let sealed = [about.as_slice(), &whole[blob_at..blob_at + BLOB]].concat();
        let check = digest(&SHA256, &[sealed.as_slice(), &length].concat());
        let end = [&sealed, check.as_ref(), &length, &whole[length_at + 4..]].concat();
        fs::write(&file, [&whole[..about_at], &end].concat()).expect("written");
    };
    let id =
        app.setup.key_file().file_stem().expect("name").to_str().expect("UTF-8")[4..].to_owned();
    forge(&id);
    assert!(fs::read(&file).expect("the backup") == whole, "it is forged rightly");
    let place = place_of(&app.setup);
    for id in ["x/../../y", "../x", "", "\u{1b}[2J", "A", &"a".repeat(33)] {
        forge(id);
        assert_not_restored(&place, &file, &["its seal does not open"]);
    }
}

/// A restore never overwrites a database, an empty file, or the logs of a database that was moved away. It is also
/// rejected while a server runs.
#[test]
fn what_is_there_is_never_restored_over() {
    let app = TestApp::new();
    app.client().save(&json!({"Provider": "et", "AccessToken": "CANARY-token"}));
    let file = back_up(&app.setup, "backup");
    let refused = |setup: &Setup, name: &str| {
        let refusal = setup.run(&["restore", text(&file)], "").expect_err("it is refused");
        assert!(refusal.contains(&format!("there is a database: data/{name}; if it")), "{refusal}");
    };
    refused(&app.setup, "latchkey.db");
    let setup = app.stop();
    let content = setup.database().content();
    refused(&setup, "latchkey.db");
    assert!(setup.database().content() == content);
    for name in ["latchkey.db", "latchkey.db-wal", "latchkey.db-shm"] {
        let place = place_of(&setup);
        fs::create_dir(place.data()).expect("folder");
        fs::write(place.data().join(name), b"").expect("written");
        refused(&place, name);
        assert_eq!(fs::read_dir(place.data()).expect("folder").count(), 1);
    }
}

/// `kill -9` at a random moment leaves no file or a complete one, and does not prevent the next command.
#[test]
fn a_backup_or_restore_that_was_killed_is_made_again() {
    let app = TestApp::new();
    let record = Record::of_long_tokens(30_000);
    for _ in 0..200 {
        assert!(record.save(&app.client()));
    }
    let whole = back_up(&app.setup, "whole");
    let (mut backups, mut restores) = (Killer::new(), Killer::new());
    let (mut left, mut cut) = (0, 0);
    for number in 0..10 * KILLS {
        // More rounds than `KILLS`, until each command was killed half-way.
        if number >= KILLS && left > 0 && cut > 0 {
            break;
        }
        let file = app.setup.folder().join(format!("backup-{number}"));
        let has_ended = backups.kill(&app.setup, &["backup", text(&file)]);
        left += left_of(&file).len();
        if file.exists() {
            let place = place_of(&app.setup);
            place.run(&["restore", text(&file)], "").expect("it is whole");
            fs::remove_file(&file).expect("removed");
        } else {
            assert!(!has_ended);
        }
        app.setup.run(&["backup", text(&file)], "").expect("the next one");
        assert_eq!(left_of(&file), Vec::<PathBuf>::new());

        let place = place_of(&app.setup);
        restores.kill(&place, &["restore", text(&whole)]);
        cut += left_of(&database_of(&place)).len();
        // It is rejected if the killed restore had put the database in place. It removes the files that the killed one
        // left.
        let was_made = database_of(&place).exists();
        assert_eq!(place.run(&["restore", text(&file)], "").is_err(), was_made);
        assert_eq!(left_of(&database_of(&place)), Vec::<PathBuf>::new());
        assert_eq!(pauses_of(&database_of(&place)), 1, "whichever of both made it");
        assert_same(&database_of(&app.setup), &database_of(&place));
    }
    assert!(left > 0 && cut > 0, "killed in the middle: {left}, {cut}");
    record.assert_kept(&app);
}

/// Of two backups to one file the second is rejected. The remains of a killed backup are removed. A link or another
/// user's folder with such a name is neither used nor changed.
#[test]
fn one_backup_at_a_time_is_written_to_a_file() {
    let app = TestApp::new();
    let file = app.setup.folder().join("backup");
    let folder = app.setup.folder().join("backup.unfinished-0123456789abcdef");
    fs::create_dir(&folder).expect("folder");
    let other = fs::File::open(&folder).expect("it opens");
    other.try_lock().expect("nobody has it");
    let refusal = app.setup.run(&["backup", text(&file)], "").expect_err("it is refused");
    assert!(refusal.contains("another process is writing"), "{refusal}");
    assert!(!file.exists());
    drop(other);
    for name in ["backup", "backup-journal", "proof"] {
        fs::write(folder.join(name), "left").expect("written");
    }
    back_up(&app.setup, "backup");
    assert!(!folder.exists(), "it was left by a process that was killed");

    fs::remove_file(&file).expect("removed");
    symlink(app.setup.data(), &folder).expect("a link");
    let theirs = app.setup.folder().join("backup.unfinished-fedcba9876543210");
    let is_other = other_owner(&theirs);
    back_up(&app.setup, "backup");
    assert!(folder.is_symlink() && database_of(&app.setup).exists());
    assert_eq!(theirs.join("proof").exists(), is_other);
    fs::remove_dir_all(&theirs).unwrap_or_default();
}

/// Makes a folder of another user that all can write to; false if that needs root.
fn other_owner(folder: &Path) -> bool {
    fs::create_dir(folder).expect("folder");
    fs::set_permissions(folder, Permissions::from_mode(0o777)).expect("chmod");
    symlink("/nowhere/proof", folder.join("backup")).expect("a link");
    fs::write(folder.join("proof"), "theirs").expect("written");
    chown(folder, Some(65_534), Some(65_534)).is_ok()
}

/// The remains of unfinished copies that were to become `file`.
fn left_of(file: &Path) -> Vec<PathBuf> {
    let start = format!("{}.unfinished-", file.file_name().expect("name").display());
    let Ok(folder) = fs::read_dir(file.parent().expect("folder")) else { return Vec::new() };
    let paths = folder.map(|entry| entry.expect("entry").path());
    let is_left = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start))
    };
    paths.filter(is_left).collect()
}

/// A copy of a damaged record is an exact copy, and the command reports the damage.
#[test]
fn backup_and_restore_report_a_damaged_record() {
    let app = TestApp::new();
    let keys =
        [1, 2].map(|_| app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"})));
    let id = RetrievalKey::parse(&keys[0]).expect("key").record().as_i64();
    app.sql(&format!("UPDATE external_tokens SET tenant = 'other' WHERE id = {id}"));
    let file = app.setup.folder().join("backup");
    let place = place_of(&app.setup);
    for (setup, command) in [(&app.setup, "backup"), (&place, "restore")] {
        let mut command = setup.clone().arguments(&[command, text(&file)]).command();
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8(output.stdout).expect("UTF-8");
        let id = &keys[0][3..14];
        assert!(told.contains(&format!("\n  record {id} is damaged\n")), "{told}");
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(error.contains("1 record is damaged: another program changed the data"), "{error}");
    }
    assert_eq!(place.start().client().access_token(&keys[1]).as_deref(), Some("fugit"));
}

/// A backup from before an upgrade can be restored, and the next start migrates it.
#[test]
fn a_backup_of_an_older_schema_is_restored() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let setup = app.stop();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let newest = folder.join(Database::MIGRATIONS).join("2026-11-24-030000_add_lifecycle");
    setup.database().sql(&fs::read_to_string(newest.join("down.sql")).expect("script"));
    let forget = "DELETE FROM __diesel_schema_migrations WHERE version = '20261124030000'";
    assert_eq!(setup.database().sql(forget), 1);
    let place = place_of(&setup);
    let file = back_up(&setup, "backup");
    place.run(&["restore", text(&file)], "").expect("restored");
    assert_eq!(place.start().client().access_token(&key).as_deref(), Some("fugit"));

    let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')";
    assert_eq!(setup.database().sql(newer), 1);
    let refusal = setup.run(&["backup", "newer"], "").expect_err("refused");
    assert!(refusal.contains("migrated by a newer version"), "{refusal}");
    assert!(!setup.folder().join("newer").exists());
}

/// The number of pauses that a restore wrote to a file.
fn pauses_of(file: &Path) -> i64 {
    numbers(file, "SELECT count(*) FROM grants_paused WHERE reason = 'restore'")[0]
}

/// A restored database uses no refresh token before its operator resumes it. The original continues.
#[test]
fn a_restored_database_is_paused_until_its_operator_resumes_it() {
    let app = TestApp::new();
    let file = back_up(&app.setup, "backup");
    let place = place_of(&app.setup);
    let told = place.run(&["restore", text(&file)], "").expect("restored");
    assert!(told.contains("refreshes a token before `latchkey grants resume`"), "{told}");
    let restored = database_of(&place);
    assert_eq!((pauses_of(&restored), pauses_of(&database_of(&app.setup))), (1, 0));
    assert_eq!(fs::read_dir(place.data()).expect("folder").count(), 2, "itself and its lock");
    let other = place.start();
    assert_eq!(pauses_of(&restored), 1, "a start does not end it");
    let told = other.admin(&["grants", "resume"]);
    assert!(told.contains("\n  the database was restored from a backup\n"), "{told}");
    assert_eq!(pauses_of(&restored), 0);
    drop(other.stop().start());
    assert_eq!(pauses_of(&restored), 0, "nor does one begin it again");
}

/// If the restored schema has no table for the pause, the migration adds the pause, whenever it runs.
#[test]
fn a_restored_database_of_an_older_schema_is_paused_too() {
    let setup = TestApp::new().stop();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    for name in [
        "2026-11-29-030000_add_audit",
        "2026-11-28-210000_add_deliveries",
        "2026-11-28-180000_add_grants",
    ] {
        let migration = folder.join(Database::MIGRATIONS).join(name);
        setup.database().sql(&fs::read_to_string(migration.join("down.sql")).expect("script"));
        let version: String = name[..17].split('-').collect();
        let forget = format!("DELETE FROM __diesel_schema_migrations WHERE version = '{version}'");
        assert_eq!(setup.database().sql(&forget), 1);
    }
    let (first, file) = (place_of(&setup), back_up(&setup, "backup"));
    first.run(&["restore", text(&file)], "").expect("restored");
    let refusal = first.run(&["grants", "resume"], "").expect_err("refused");
    assert!(refusal.contains("the database lacks the migration"), "{refusal}");
    // A backup of the restored database is also a copy.
    let second = place_of(&setup);
    let file = first.folder().join("backup");
    first.run(&["backup", text(&file)], "").expect("a backup");
    second.run(&["restore", text(&file)], "").expect("restored");
    for place in [first, second] {
        place.run(&["migrate"], "").expect("migrated");
        assert_eq!(pauses_of(&database_of(&place)), 1);
    }
    setup.run(&["migrate"], "").expect("migrated");
    assert_eq!(pauses_of(&database_of(&setup)), 0, "the original was not restored");
}

/// If the master key is a secret of the configuration, the secret and the file are enough.
#[test]
fn a_backup_is_restored_by_a_secret() {
    let secret =
        |setup: Setup, key: &str| setup.with("KEYS__SOURCE", "secret").with("KEYS__SECRET", key);
    let (right, wrong) = (
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    );
    let app = secret(Setup::new(), right).start();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let file = back_up(&app.setup, "backup");
    assert_not_restored(&secret(Setup::new(), wrong), &file, &["which is not in keys.secret"]);
    let place = secret(Setup::new(), &format!("{wrong},{right}"));
    place.run(&["restore", text(&file)], "").expect("restored");
    assert_eq!(place.start().client().access_token(&key).as_deref(), Some("fugit"));
}

/// A corrupt file is detected, and no backup is made of it.
#[test]
fn a_file_that_fell_apart_is_not_backed_up() {
    let app = TestApp::new();
    let record = Record::of_long_tokens(3000);
    for _ in 0..100 {
        assert!(record.save(&app.client()));
    }
    let setup = app.stop();
    let file = database_of(&setup);
    let whole = fs::read(&file).expect("the database");
    let half = whole.len() / 2 / 8192 * 8192;
    let torn = [&whole[..half], &[0; 8192], &whole[half + 8192..]].concat();
    fs::write(&file, torn).expect("written");
    let refused = |arguments: &[&str]| {
        let refusal = setup.run(arguments, "").expect_err("it is refused");
        assert!(refusal.contains("damaged, restore it from its backup"), "{refusal}");
    };
    refused(&["verify"]);
    refused(&["backup", "backup"]);
    assert!(!setup.folder().join("backup").exists());
    assert_eq!(left_of(&setup.folder().join("backup")), Vec::<PathBuf>::new());
    fs::write(&file, whole).expect("written");
    back_up(&setup, "backup");

    run(
        &file,
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_master SET sql = replace(sql, '(expires)', '(created)')
             WHERE name = 'credentials_by_expiry';
         INSERT INTO credentials VALUES ('1', '', x'', '', '', 1, 2, 3, NULL, NULL)",
    );
    refused(&["verify"]);
}
