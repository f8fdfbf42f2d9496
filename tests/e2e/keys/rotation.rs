//! Rotation and retirement of master keys.

use std::{fs, path::Path, thread, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp, until},
    load::Random,
    master_keys::{
        assert_opens, files, fill, ids, keys, readiness, record, records_elsewhere, remove_file,
        rotate, rotate_by_force, rotate_damaged, save, start_rotation, text, try_keys,
    },
};

fn assert_damaged(app: &TestApp, key: &str) {
    let answer = app.client().post("GetExternalTokens", &json!({ "Key": key }));
    answer.expect_error(500, "SoServerException", "its log has the cause");
}

fn assert_refused(setup: &Setup, arguments: &[&str], said: &str) {
    let told = try_keys(setup, arguments).expect_err("it is refused");
    assert!(told.contains(said), "{told}");
}

/// While a server runs, every record is moved, the old key is retired, and its file may be removed.
#[test]
fn a_key_is_rotated_and_retired() {
    let app = TestApp::new();
    let (saved, old) = (save(&app.client()), ids(&app.setup).remove(0));
    assert_refused(&app.setup, &["retire", &old], "is in use; `latchkey keys rotate` puts another");
    let new = rotate(&app.setup);
    assert_eq!(records_elsewhere(&app, &new), 0);
    assert_opens(&app, &saved);
    let later = save(&app.client());
    assert_eq!(records_elsewhere(&app, &new), 0, "new records are under the new key");
    let status = keys(&app.setup, &["status"]);
    let shown = |index: usize, field: &str| status[index][field].clone();
    assert_eq!([shown(0, "id"), shown(1, "id")], [json!(new), json!(old)]);
    assert_eq!([shown(0, "active"), shown(1, "active")], [json!(true), json!(false)]);
    assert_eq!([shown(0, "records"), shown(1, "records")], [json!(2), json!(0)]);
    assert_eq!(shown(1, "overdue"), false);
    assert!(shown(0, "wraps").as_i64() > Some(1), "{status}");
    assert!(text(&shown(1, "place")).ends_with(&format!("keys/kek-{old}.key")));

    app.sql(&format!("UPDATE external_tokens SET kek_id = '{old}' WHERE id = {}", record(&saved)));
    assert_refused(&app.setup, &["retire", &old], "1 records are still under the master key");
    app.sql(&format!("UPDATE external_tokens SET kek_id = '{new}' WHERE id = {}", record(&saved)));
    assert_refused(&app.setup, &["retire", "none"], "the database knows no master key none");
    let told = app.admin(&["keys", "retire", &old]);
    assert!(told.contains("may be deleted once no backup needs it"), "{told}");
    assert_eq!(ids(&app.setup), [new]);
    assert_eq!(files(&app.setup), 2, "no file is removed");
    let again = ["rotate", "--key", old.as_str()];
    assert_refused(&app.setup, &again, "was retired; put a new key in its place");
    remove_file(&app.setup, &old);
    let app = app.stop().start();
    for key in [saved, later] {
        assert_opens(&app, &key);
    }
}

/// A part of the old data that is put back after the rotation does not open. Once the old key is retired, all of the
/// old data does not open either.
#[test]
fn an_old_wrap_that_is_put_back_does_not_open() {
    let app = TestApp::new();
    let (saved, old) = (save(&app.client()), ids(&app.setup).remove(0));
    app.sql("CREATE TABLE stolen AS SELECT id, kek_id, wrapped_dek FROM external_tokens");
    let new = rotate(&app.setup);
    app.sql("CREATE TABLE rightful AS SELECT id, kek_id, wrapped_dek FROM external_tokens");
    let put_back = |from: &str, columns: &[&str]| {
        for column in columns {
            let stolen = format!("(SELECT {column} FROM {from})");
            app.sql(&format!("UPDATE external_tokens SET {column} = {stolen}"));
        }
    };
    for forgery in ["kek_id", "wrapped_dek"] {
        put_back("stolen", &[forgery]);
        assert_damaged(&app, &saved);
        put_back("rightful", &["kek_id", "wrapped_dek"]);
        assert_opens(&app, &saved);
    }
    app.admin(&["keys", "retire", &old]);
    put_back("stolen", &["kek_id", "wrapped_dek"]);
    let get = || app.client().post("GetExternalTokens", &json!({ "Key": saved }));
    until("the server has forgotten the old key", || get().status == 500);
    put_back("rightful", &["kek_id", "wrapped_dek"]);
    assert_opens(&app, &saved);
    assert_eq!(ids(&app.setup), [new]);
}

/// A damaged record is reported and left as it is. It stops neither the move of the others nor the next rotation.
#[test]
fn what_does_not_open_is_reported() {
    let app = TestApp::new();
    let kept: Vec<String> = (0..5).map(|_| save(&app.client())).collect();
    let (key, old) = (save(&app.client()), ids(&app.setup).remove(0));
    let damaged = &key[3..14];
    let damage = "UPDATE external_tokens SET wrapped_dek = substr(wrapped_dek, 2)";
    assert_eq!(app.sql(&format!("{damage} WHERE id = {}", record(&key))), 1);
    let setup = app.stop();
    let rotated = rotate_damaged(&setup);
    assert_eq!(rotated["records"], 5, "{rotated}");
    assert_eq!(rotated["unopenable"], json!([damaged]));
    assert_refused(&setup, &["retire", &old], "1 records are still under the master key");
    let rotated = rotate_damaged(&setup);
    let told = (&rotated["resumed"], &rotated["records"], &rotated["unopenable"]);
    assert_eq!(told, (&json!(false), &json!(5), &json!([damaged])));
    let app = setup.start();
    for key in &kept {
        assert_opens(&app, key);
    }
    until("it is logged", || app.log().contains("the data keys of these records do not open"));
    assert!(app.log().contains(damaged));
    assert!(app.client().revoke(&json!({ "Id": damaged })), "as the command advises");
    keys(&app.setup, &["retire", &old]);
}

/// A rotation that was killed half-way is resumed by the next one, which makes no key, or by the server.
#[test]
fn a_rotation_that_was_cut_short_is_resumed() {
    let app = TestApp::new();
    let record = fill(&app, 4000);
    let mut setup = app.stop();
    for by_server in [false, true] {
        let old = ids(&setup).remove(0);
        let left = format!("SELECT count(*) FROM external_tokens WHERE kek_id = '{old}'");
        let count = || setup.database().number(&left);
        let all = count();
        let mut rotation = start_rotation(&setup);
        until("some are moved", || count() < all);
        rotation.kill().expect("kill");
        rotation.wait().expect("wait");
        assert!(count() > 0, "it was not over");
        let known = ids(&setup);
        if by_server {
            let app = setup.start();
            until("the server moves them", || count() == 0);
            setup = app.stop();
        } else {
            let told = try_keys(&setup, &["rotate", "--key", &old]).expect_err("refused");
            assert!(told.contains("records are still to be moved to the master key"), "{told}");
            let resumed = keys(&setup, &["rotate"]);
            assert_eq!((&resumed["resumed"], &resumed["id"]), (&json!(true), &json!(known[0])));
            assert_eq!(count(), 0);
        }
        assert_eq!(ids(&setup), known, "no key was made");
        keys(&setup, &["retire", &old]);
        remove_file(&setup, &old);
    }
    record.assert_kept(&setup.start());
}

/// Of two rotations at once, one makes the key, and both move records.
#[test]
fn two_rotations_at_once_make_one_key() {
    let app = TestApp::new();
    let record = fill(&app, 2000);
    let rotations = [start_rotation(&app.setup), start_rotation(&app.setup)];
    let made = rotations.map(|rotation| {
        let output = rotation.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let rotated: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (text(&rotated["id"]), rotated["resumed"] == true)
    });
    assert_eq!(made[0].0, made[1].0);
    assert_ne!(made[0].1, made[1].1, "one made it");
    assert_eq!((ids(&app.setup).len(), files(&app.setup)), (2, 2));
    assert_eq!(records_elsewhere(&app, &made[0].0), 0);
    record.assert_kept(&app);
}

/// A server that was suspended while its key was retired seals under the new key, and nothing under the old one.
#[test]
fn a_retired_key_takes_no_record() {
    let app = TestApp::new();
    let (first, old) = (save(&app.client()), ids(&app.setup).remove(0));
    for _ in 0..3 {
        app.signal("STOP");
        let old = ids(&app.setup).remove(0);
        rotate_by_force(&app.setup);
        keys(&app.setup, &["retire", &old]);
        let saved: Vec<String> = thread::scope(|scope| {
            let savers: Vec<_> = (0..8).map(|_| scope.spawn(|| save(&app.client()))).collect();
            thread::sleep(Duration::from_millis(300));
            app.signal("CONT");
            savers.into_iter().map(|saver| saver.join().expect("saved")).collect()
        });
        for key in saved.iter().chain([&first]) {
            assert_opens(&app, key);
        }
        assert_eq!(records_elsewhere(&app, &ids(&app.setup)[0]), 0);
    }
    assert!(!ids(&app.setup).contains(&old));
}

/// A loaded key stays in force if its file is changed or removed, and also when another key is loaded.
#[test]
fn a_key_whose_file_is_gone_works_on() {
    let app = TestApp::new();
    let (saved, file) = (save(&app.client()), app.setup.key_file());
    let elsewhere = with_copy_elsewhere(&app.setup, &file);
    fs::remove_file(&file).expect("remove");
    thread::sleep(Duration::from_secs(2));
    assert_opens(&app, &saved);
    let later = save(&app.client());
    assert_eq!(readiness(&app), 200);
    assert_refused(&app.setup, &["rotate"], "is missing; restore that file from its backup");

    let made = text(&keys(&elsewhere, &["new"])["place"]);
    let name = Path::new(&made).file_name().expect("name");
    fs::copy(app.setup.folder().join(&made), file.with_file_name(name)).expect("copy");
    let id = name.to_str().and_then(|name| name.strip_prefix("kek-")?.strip_suffix(".key"));
    app.sql("CREATE TABLE before AS SELECT id, kek_id, wrapped_dek FROM external_tokens");
    keys(&elsewhere, &["rotate", "--key", id.expect("an id")]);
    assert_opens(&app, &saved);
    assert_eq!(readiness(&app), 200);
    for column in ["kek_id", "wrapped_dek"] {
        let before = format!("(SELECT {column} FROM before WHERE id = {})", record(&later));
        let of = record(&later);
        app.sql(&format!("UPDATE external_tokens SET {column} = {before} WHERE id = {of}"));
    }
    assert_opens(&app, &later);
}

/// A lost key that no record needs does no harm: the start says so, and the key can be retired.
#[test]
fn a_lost_key_that_no_record_needs_is_retired() {
    let app = TestApp::new();
    let saved = save(&app.client());
    let rotate_and_lose = |setup: &Setup| {
        let old = ids(setup).remove(0);
        rotate(setup);
        remove_file(setup, &old);
        old
    };
    let first = rotate_and_lose(&app.setup);
    let told = app.setup.run(&["user", "list"], "").expect_err("a key is missing");
    assert!(told.contains(&format!("no record is under it; run `latchkey keys retire {first}`")));
    let status = keys(&app.setup, &["status"]);
    assert_eq!([&status[0]["missing"], &status[1]["missing"]], [&json!(false), &json!(true)]);
    keys(&app.setup, &["retire", &first]);
    assert_refused(&app.setup, &["retire", &first], "was retired already");
    app.admin(&["user", "list"]);

    let second = rotate_and_lose(&app.setup);
    let setup = app.stop();
    let refusal = setup.refusal();
    assert!(refusal.contains(&format!("run `latchkey keys retire {second}`")), "{refusal}");
    assert_eq!(keys(&setup, &["status"])[1]["id"], second.as_str());
    keys(&setup, &["retire", &second]);
    let app = setup.start();
    assert_opens(&app, &saved);

    let third = ids(&app.setup).remove(0);
    let setup = app.stop();
    remove_file(&setup, &third);
    assert!(setup.refusal().contains("is missing; restore that file from its backup"));
    assert_refused(&setup, &["status"], "is missing; restore that file from its backup");
}

/// The same server with another folder of keys that contains a copy of this one.
fn with_copy_elsewhere(setup: &Setup, file: &Path) -> Setup {
    let elsewhere = setup.folder().join("elsewhere");
    fs::create_dir(&elsewhere).expect("folder");
    fs::copy(file, elsewhere.join(file.file_name().expect("name"))).expect("copy");
    setup.clone().with("KEYS__DIRECTORY", elsewhere.to_str().expect("UTF-8"))
}

/// A rotation waits for a running server that lacks the key, for example if the server's user cannot read a file that
/// root made. No record is moved, and the server stays ready. Once it has the key, it completes the rotation.
#[test]
fn a_rotation_waits_for_a_server_that_lacks_the_key() {
    let app = TestApp::new();
    let (saved, old) = (save(&app.client()), ids(&app.setup).remove(0));
    let elsewhere = with_copy_elsewhere(&app.setup, &app.setup.key_file());
    assert_refused(&elsewhere, &["rotate"], "because these running servers lack it");
    assert_eq!(records_elsewhere(&app, &old), 0, "nothing was moved");
    assert_eq!(readiness(&app), 200);
    assert_opens(&app, &saved);
    save(&app.client());
    assert_eq!(records_elsewhere(&app, &old), 0, "nor sealed");
    let status = keys(&elsewhere, &["status"]);
    let shown = |index: usize, field: &str| status[index][field].clone();
    assert_eq!([shown(0, "active"), shown(0, "announced")], [json!(true), json!(false)]);
    assert_eq!([shown(1, "active"), shown(1, "announced")], [json!(false), json!(true)]);
    let new = text(&shown(1, "id"));
    app.logged(&["a master key is missing here", &new]);
    let other = text(&keys(&elsewhere, &["new"])["id"]);
    assert_refused(&elsewhere, &["rotate", "--key", &other], "let `latchkey keys rotate` finish");

    let name = format!("kek-{new}.key");
    let made = app.setup.folder().join("elsewhere").join(&name);
    fs::copy(made, app.setup.data().join("keys").join(&name)).expect("copy");
    until("the server moves the records", || records_elsewhere(&app, &new) == 0);
    assert_opens(&app, &saved);
    assert_eq!(ids(&app.setup), [new, old]);
}

/// An announced key can be retired; then it never comes into use.
#[test]
fn a_key_that_was_announced_is_given_up() {
    let app = TestApp::new();
    let (saved, old) = (save(&app.client()), ids(&app.setup).remove(0));
    let elsewhere = with_copy_elsewhere(&app.setup, &app.setup.key_file());
    let refusal = try_keys(&elsewhere, &["rotate"]).expect_err("the server lacks the key");
    let new = ids(&elsewhere).remove(1);
    assert!(refusal.contains(&format!("keys retire {new}` gives the key up")), "{refusal}");
    keys(&app.setup, &["retire", &new]);
    assert_refused(&elsewhere, &["rotate", "--key", &new], "was retired; put a new key");
    let next = rotate(&app.setup);
    assert_opens(&app, &saved);
    assert_eq!(ids(&app.setup), [next, old]);
}

/// A server without the new key is not ready and logs the reason, and still serves calls that do not need the key. Once
/// it has the key, it serves all calls.
#[test]
fn a_server_without_the_new_key_serves_what_it_can() {
    let app = TestApp::new();
    let saved = save(&app.client());
    let new = rotate_by_force(&with_copy_elsewhere(&app.setup, &app.setup.key_file()));
    until("it is not ready", || readiness(&app) == 503);
    let refused = app.client().post("GetExternalTokens", &json!({ "Key": saved }));
    refused.expect_error(503, "SoUnavailableException", "lacks a master key");
    let later = save(&app.client());
    assert_opens(&app, &later);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(app.log().matches("a master key is missing here").count(), 1, "it is told once");
    assert!(app.log().contains(&format!("kek-{new}.key is missing")), "{}", app.log());

    let name = format!("kek-{new}.key");
    let made = app.setup.folder().join("elsewhere").join(&name);
    fs::copy(made, app.setup.data().join("keys").join(&name)).expect("copy");
    until("it is ready", || readiness(&app) == 200);
    assert_opens(&app, &saved);
    assert_opens(&app, &later);
    until("what was under the old key is moved", || records_elsewhere(&app, &new) == 0);
}

/// From files to a secret, and from one secret to another.
#[test]
fn moving_to_a_secret_is_a_rotation() {
    let secret = |first: u8| STANDARD.encode((first..first + 32).collect::<Vec<u8>>());
    let (one, two) = (secret(1), secret(2));
    let app = TestApp::new();
    let (saved, old) = (save(&app.client()), ids(&app.setup).remove(0));
    let of = |setup: &Setup, secret: &str| {
        setup.clone().with("KEYS__SOURCE", "secret").with("KEYS__SECRET", secret)
    };
    let app = of(&app.stop(), &one).start();
    assert_opens(&app, &saved);
    let first = rotate(&app.setup);
    assert_eq!(keys(&app.setup, &["status"])[0]["source"], "secret");
    keys(&app.setup, &["retire", &old]);
    remove_file(&app.setup, &old);
    assert_refused(&app.setup, &["rotate"], "put a new key in front of it in keys.secret");

    let app = of(&app.stop(), &format!("{two},{one}")).start();
    assert_opens(&app, &saved);
    let second = rotate(&app.setup);
    assert_ne!(first, second);
    keys(&app.setup, &["retire", &first]);
    let swapped = of(&app.setup, &format!("{one},{two}"));
    assert_refused(&swapped, &["rotate"], "was retired; put a new key in its place");
    let app = of(&app.stop(), &two).start();
    assert_opens(&app, &saved);
    assert_eq!(files(&app.setup), 0);
}

/// A key that was made beforehand is used, and no other.
#[test]
fn a_key_that_was_copied_to_all_servers_is_taken_up() {
    let app = TestApp::new();
    let (saved, old) = (save(&app.client()), ids(&app.setup).remove(0));
    let made = text(&keys(&app.setup, &["new"])["id"]);
    assert_eq!(ids(&app.setup), [old.as_str()], "the database does not know it yet");
    let rotated = keys(&app.setup, &["rotate", "--key", &made]);
    assert_eq!((&rotated["id"], &rotated["resumed"]), (&json!(made), &json!(false)));
    assert_eq!(records_elsewhere(&app, &made), 0);
    assert_opens(&app, &saved);
    assert_eq!(keys(&app.setup, &["rotate", "--key", &made])["resumed"], true);
    assert_refused(&app.setup, &["rotate", "--key", &old], "knows the master key");
    assert_refused(&app.setup, &["rotate", "--key", "0123"], "makes such a file");
    assert_refused(
        &app.setup,
        &["rotate", "--key", "../x"],
        "has 1 to 32 digits and lower-case letters",
    );
    assert_eq!((ids(&app.setup).len(), files(&app.setup)), (2, 2));
}

/// Reads and saves do not notice rotations. No acknowledged save is lost, although the server is killed again and again
/// meanwhile. At the end no record needs the old keys.
#[test]
fn rotations_under_load_and_kills_lose_nothing() {
    let mut random = Random::new();
    let mut app = TestApp::new();
    let record = fill(&app, 1500);
    for _ in 0..5 {
        let mut rotation = None;
        record.load(&app.url.clone(), 64, &mut random.split(), || {
            rotation = Some(start_rotation(&app.setup));
            thread::sleep(Duration::from_secs(2));
            app.kill();
        });
        app = app.setup.start();
        let rotation = rotation.expect("started").wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&rotation.stderr);
        assert!(rotation.status.success(), "{told}");
    }
    assert!(record.got() > 0 && record.cut_off() > 0);
    let known = ids(&app.setup);
    assert!(known.len() > 2, "{} keys", known.len());
    until("none is under an older key", || records_elsewhere(&app, &known[0]) == 0);
    for id in &known[1..] {
        keys(&app.setup, &["retire", id]);
        remove_file(&app.setup, id);
    }
    record.assert_kept(&app);
    record.assert_kept(&app.stop().start());
}
