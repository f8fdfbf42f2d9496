//! The master key at the start: it must be the right one, and the rules of its choice.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use serde_json::json;

use crate::support::app::{Setup, TestApp};

fn carrier() -> serde_json::Value {
    json!({"Provider": "et", "AccessToken": "fugit"})
}

/// A master key that is missing, short, wrong, weak or exposed stops the start. The message names the file and the
/// remedy, and nothing is changed.
#[test]
fn without_the_right_master_key_there_is_no_start() {
    let app = TestApp::new();
    let key = app.client().save(&carrier());
    let setup = app.stop();
    let file = setup.key_file();
    let (right, before) = (fs::read(&file).expect("key"), setup.database().content());
    let other: Vec<u8> = right.iter().map(|byte| byte ^ 1).collect();
    let refused = |said: &str| {
        let refusal = setup.refusal();
        assert!(refusal.contains(said), "{refusal}");
        assert!(refusal.contains("cannot use the database "), "{refusal}");
        assert!(refusal.contains(file.file_name().and_then(|f| f.to_str()).expect("name")));
        assert!(setup.database().content() == before, "{said}: it was changed");
    };

    fs::write(&file, other).expect("write");
    refused("is not the master key that the database is sealed under; restore the right one");
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
    refused("every user of this machine can read data/keys/");
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

/// If the first start was interrupted after it made its key, the next start uses that key. Between two keys the server
/// does not guess.
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
