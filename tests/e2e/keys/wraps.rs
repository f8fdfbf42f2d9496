//! The limits of a master key: the number of wraps, and the time in use.

use std::{thread, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::support::{
    app::{Setup, TestApp, until},
    client::to_save,
    master_keys::{assert_opens, fill, ids, keys, readiness, records_elsewhere, save},
};

/// Each process counts wraps ahead of their use. When the count is high, the server rotates the key automatically,
/// once.
#[test]
fn wraps_are_counted_and_rotate_the_key() {
    let mut app = Setup::new().with("KEYS__ROTATE_AFTER_WRAPS", "1048576").start();
    let first = ids(&app.setup).remove(0);
    let counted = |app: &TestApp| app.number("SELECT sum(wraps) FROM keks");
    let before = counted(&app);
    assert!(before >= 65_536, "counted before the first save: {before}");
    let saved = fill(&app, 500);
    app.kill();
    assert!(counted(&app) >= before);
    let app = app.setup.start();
    assert!(counted(&app) >= before + 65_536, "the new process counts its own");

    app.sql("UPDATE keks SET wraps = 1048576");
    until("another key is the active one", || ids(&app.setup)[0] != first);
    let second = ids(&app.setup).remove(0);
    until("all are moved", || records_elsewhere(&app, &second) == 0);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(ids(&app.setup), [second, first], "once");
    assert!(app.log().contains("the master key wrapped often enough: rotating it"));
    saved.assert_kept(&app);
}

/// If no new key is available, the log asks for a rotation, and the server goes on.
#[test]
fn an_automatic_rotation_without_a_new_secret_is_asked_for() {
    let secret = STANDARD.encode((1..33).collect::<Vec<u8>>());
    let setup = Setup::new().with("KEYS__SOURCE", "secret").with("KEYS__SECRET", &secret);
    let app = setup.with("KEYS__ROTATE_AFTER_WRAPS", "1048576").start();
    app.sql("UPDATE keks SET wraps = 1048576");
    until("it is logged", || app.log().contains("often enough, but cannot be rotated"));
    thread::sleep(Duration::from_secs(2));
    assert_eq!(app.log().matches("cannot be rotated").count(), 1, "once in a while");
    assert_opens(&app, &save(&app.client()));
    assert_eq!(readiness(&app), 200);
}

/// NIST SP 800-38D §8.3: a key that reached its limit of wraps wraps no more. With a new key all calls work again.
#[test]
fn a_key_that_is_used_up_seals_nothing() {
    let secret = |first: u8| STANDARD.encode((first..first + 32).collect::<Vec<u8>>());
    let setup = Setup::new().with("KEYS__SOURCE", "secret").with("KEYS__SECRET", &secret(1));
    let app = setup.start();
    let saved = save(&app.client());
    let setup = app.stop();
    setup.database().sql("UPDATE keks SET wraps = 4294967296 - 65535");
    let app = setup.start();
    let refused = app.client().try_post("SaveExternalTokens", &to_save("fugit"));
    let refused = refused.expect("an answer");
    refused.expect_error(503, "SoUnavailableException", "latchkey keys rotate");
    assert_opens(&app, &saved);
    app.logged(&["but cannot be rotated"]);
    let used_up = ids(&app.setup).remove(0);
    let both = format!("{},{}", secret(2), secret(1));
    let app = app.stop().with("KEYS__SECRET", &both).start();
    until("it rotates", || ids(&app.setup)[0] != used_up);
    until("all are moved", || records_elsewhere(&app, &ids(&app.setup)[0]) == 0);
    assert_opens(&app, &save(&app.client()));
    assert_opens(&app, &saved);
}

/// NIST SP 800-57 Part 1 rev. 5, §5.3.6.
#[test]
fn a_key_that_is_in_use_too_long_is_reported() {
    let app = TestApp::new();
    assert_eq!(keys(&app.setup, &["status"])[0]["overdue"], false);
    app.sql("UPDATE keks SET created = created - 63158400000000");
    assert_eq!(keys(&app.setup, &["status"])[0]["overdue"], true);
    let output = app.setup.clone().arguments(&["keys", "status"]).command().output();
    let told = String::from_utf8(output.expect("it runs").stderr).expect("UTF-8");
    assert!(told.contains("longer than the two years that NIST SP 800-57 allows"), "{told}");
}
