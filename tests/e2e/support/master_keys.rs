//! Helpers for tests of the master keys.

use std::{
    fs,
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp, until},
    client::Client,
    load::{Random, Record},
};

/// Runs `latchkey keys …`; returns its output as JSON.
pub(crate) fn keys(setup: &Setup, arguments: &[&str]) -> Value {
    let told = try_keys(setup, arguments).unwrap_or_else(|told| panic!("{arguments:?}: {told}"));
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

/// Like `keys`, for commands that may fail; the error is the message.
pub(crate) fn try_keys(setup: &Setup, arguments: &[&str]) -> Result<String, String> {
    setup.run(&[&["keys"], arguments, &["--output", "json"]].concat(), "")
}

/// Runs `latchkey keys rotate`; returns the new key's id.
pub(crate) fn rotate(setup: &Setup) -> String {
    let rotated = keys(setup, &["rotate"]);
    assert_eq!(rotated["resumed"], false, "{rotated}");
    text(&rotated["id"])
}

/// Like `rotate`, without waiting for a running server that cannot get the key.
pub(crate) fn rotate_by_force(setup: &Setup) -> String {
    text(&keys(setup, &["rotate", "--force"])["id"])
}

/// Runs `latchkey keys rotate` with some damaged records, which it reports; returns its output as JSON.
pub(crate) fn rotate_damaged(setup: &Setup) -> Value {
    let output = start_rotation(setup).wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("damaged: another program changed"), "{told}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Starts `latchkey keys rotate`.
pub(crate) fn start_rotation(setup: &Setup) -> Child {
    let mut command = setup.clone().arguments(&["keys", "rotate", "--output", "json"]).command();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary runs")
}

/// The ids of the keys in the database, the youngest first.
pub(crate) fn ids(setup: &Setup) -> Vec<String> {
    let status = keys(setup, &["status"]);
    status.as_array().expect("an array").iter().map(|key| text(&key["id"])).collect()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// The number of records that are not under this key.
pub(crate) fn records_elsewhere(app: &TestApp, id: &str) -> i64 {
    app.number(&format!("SELECT count(*) FROM external_tokens WHERE kek_id <> '{id}'"))
}

/// The number of files in the folder of the keys.
pub(crate) fn files(setup: &Setup) -> usize {
    fs::read_dir(setup.data().join("keys")).expect("folder").count()
}

/// Removes the file of a key.
pub(crate) fn remove_file(setup: &Setup, id: &str) {
    let path = setup.data().join("keys").join(format!("kek-{id}.key"));
    fs::remove_file(path).expect("the key's file");
}

/// The id of the record that a key opens.
pub(crate) fn record(key: &str) -> i64 {
    model::RetrievalKey::parse(key).expect("a key").record().as_i64()
}

/// The status of `/readyz`.
pub(crate) fn readiness(app: &TestApp) -> u16 {
    app.client().request("GET", "/readyz", &[], b"").status
}

/// Saves the token `fugit`; returns the key.
pub(crate) fn save(client: &Client) -> String {
    client.save(&json!({"Provider": "et", "AccessToken": "fugit"}))
}

/// Asserts that a key retrieves `fugit`.
pub(crate) fn assert_opens(app: &TestApp, key: &str) {
    assert_eq!(app.client().access_token(key).as_deref(), Some("fugit"));
}

/// Saves on many connections until there are at least this many records.
pub(crate) fn fill(app: &TestApp, count: usize) -> Record {
    let record = Record::default();
    record.load(&app.url, 32, &mut Random::new(), || {
        until("saves", || record.acknowledged() >= count);
    });
    record
}
