//! Master keys of several servers on one database, and races between these servers.

use std::{fs, thread};

use serde_json::json;

use crate::{
    postgres::servers::beside,
    support::{
        app::{Setup, TestApp, until},
        client::to_save,
        load::{Random, Record},
        master_keys::{
            ids, keys, readiness, record, records_elsewhere, remove_file, rotate, rotate_by_force,
            rotate_damaged, text, try_keys,
        },
        outage::wait_for_saves,
    },
};

/// Both servers see each rotation, under load. The old keys' files may be removed while both run.
#[test]
fn two_servers_follow_rotations() {
    let first = TestApp::new();
    let second = beside(&first.setup).start();
    let (saved, mut random) = (Record::default(), Random::new());
    let mut other_random = random.split();
    saved.load(&first.url, 2, &mut random, || {
        saved.load(&second.url, 2, &mut other_random, || {
            for _ in 0..3 {
                wait_for_saves(&saved, 200);
                let old = ids(&first.setup).remove(0);
                let new = rotate(&first.setup);
                until("none is under the old key", || records_elsewhere(&first, &new) == 0);
                keys(&second.setup, &["retire", &old]);
                remove_file(&first.setup, &old);
            }
        });
    });
    assert_eq!((saved.refused(), saved.cut_off()), (0, 0));
    for app in [&first, &second] {
        assert_eq!(readiness(app), 200);
        saved.assert_kept(app);
    }
    assert_eq!(ids(&first.setup).len(), 1);
    assert_eq!(records_elsewhere(&first, &ids(&first.setup)[0]), 0);
}

/// Another setup on the database, with its own folder that has the same keys.
fn with_own_folder(setup: &Setup) -> Setup {
    let own = beside(setup);
    let folder = own.data().join("keys");
    fs::create_dir_all(&folder).expect("folder");
    let own = own.with("KEYS__DIRECTORY", folder.to_str().expect("UTF-8"));
    copy_keys(setup, &own);
    own
}

fn copy_keys(from: &Setup, to: &Setup) {
    for file in fs::read_dir(from.data().join("keys")).expect("folder") {
        let file = file.expect("readable");
        let copy = to.data().join("keys").join(file.file_name());
        fs::copy(file.path(), copy).expect("copy");
    }
}

/// Servers with their own folders: the key is made, copied, and used; both are ready all the time.
#[test]
fn servers_with_folders_of_their_own_rotate_to_a_key_that_was_copied() {
    let first = TestApp::new();
    let second = with_own_folder(&first.setup).start();
    let key = first.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let made = text(&keys(&first.setup, &["new"])["id"]);
    let early = try_keys(&second.setup, &["rotate", "--key", &made]).expect_err("not there yet");
    assert!(early.contains("makes such a file"), "{early}");
    copy_keys(&first.setup, &second.setup);
    assert_eq!(keys(&first.setup, &["rotate", "--key", &made])["id"], json!(made));
    for app in [&first, &second] {
        assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
        assert_eq!(readiness(app), 200);
    }
}

/// A server lacks the new key, and so seals under the old one, which is being retired. A save waits for the retirement
/// and is rejected. A retirement waits for a save and is rejected.
#[test]
fn a_save_and_a_retirement_wait_for_each_other() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let old = ids(&app.setup).remove(0);
    let other = with_own_folder(&app.setup);
    let new = rotate_by_force(&other);
    assert_eq!(records_elsewhere(&app, &new), 0);
    let database = app.setup.database();
    let under_old = || records_elsewhere(&app, &new);

    let refused = thread::scope(|scope| {
        let slow = scope.spawn(|| {
            database.sql(&format!(
                "BEGIN; SELECT id FROM keks WHERE id = '{old}' FOR KEY SHARE;
                 INSERT INTO external_tokens (id, tenant, owner, provider, generation, key_digest,
                     kek_id, wrapped_dek, sealed, created, updated)
                 SELECT id + 1, tenant, owner, provider, generation, key_digest, '{old}',
                     wrapped_dek, sealed, created, updated FROM external_tokens;
                 SELECT pg_sleep(2); COMMIT"
            ))
        });
        database.wait_for_sleeper();
        let retired = try_keys(&other, &["retire", &old]);
        slow.join().expect("no panic");
        retired.expect_err("refused")
    });
    assert!(refused.contains("1 records are still under the master key"), "{refused}");
    assert_eq!(under_old(), 1);
    app.sql(&format!("DELETE FROM external_tokens WHERE id = {} + 1", record(&key)));

    let answer = thread::scope(|scope| {
        scope.spawn(|| {
            let delete = format!("DELETE FROM keks WHERE id = '{old}'");
            database.sql(&format!("BEGIN; {delete}; SELECT pg_sleep(2); COMMIT"))
        });
        database.wait_for_sleeper();
        app.client().try_post("SaveExternalTokens", &to_save("CANARY-late")).expect("an answer")
    });
    answer.expect_error(503, "SoUnavailableException", "lacks a master key");
    assert_eq!(under_old(), 0);
}

/// A record that is revoked, or sealed again, during its move: the move waits, and leaves it as it is.
#[test]
fn a_record_that_changes_while_it_is_moved_is_left_alone() {
    let app = TestApp::new();
    let save = || app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let (revoked, changed_key, kept) = (record(&save()), save(), save());
    let changed = record(&changed_key);
    let old = ids(&app.setup).remove(0);
    let rotated = thread::scope(|scope| {
        scope.spawn(|| {
            app.setup.database().sql(&format!(
                "BEGIN; UPDATE external_tokens SET kek_id = '', wrapped_dek = '' WHERE id = {revoked};
                 UPDATE external_tokens SET wrapped_dek = '-' WHERE id = {changed};
                 SELECT pg_sleep(2); COMMIT"
            ))
        });
        app.setup.database().wait_for_sleeper();
        rotate_damaged(&app.setup)
    });
    let told = (&rotated["records"], &rotated["unopenable"]);
    assert_eq!(told, (&json!(1), &json!([&changed_key[3..14]])), "{rotated}");
    let is_left = |record: i64, kek: &str| {
        let left = format!("id = {record} AND kek_id = '{kek}' AND length(wrapped_dek) < 2");
        app.number(&format!("SELECT count(*) FROM external_tokens WHERE {left}")) == 1
    };
    assert!(is_left(revoked, "") && is_left(changed, &old));
    assert_eq!(app.client().access_token(&kept).as_deref(), Some("fugit"));
}
