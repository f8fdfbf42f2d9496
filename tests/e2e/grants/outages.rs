//! Between a provider's answer and the commit, the database fails, a key is retired, or the record moves or ends.

use std::{fs, thread};

use serde_json::json;

use crate::{
    grants::scene::{
        Scene, access_token, assert_state, end_access_in, get, held, knowing, settings,
    },
    support::{
        app::{Setup, TestApp, until},
        client::Answer,
        load::tell,
        master_keys::{ids, rotate},
        provider::{Gate, MockProvider, Rules},
    },
};

/// The number of files with unsaved tokens.
pub(crate) fn unsaved(setup: &Setup) -> usize {
    let Ok(folder) = fs::read_dir(setup.data().join("unsaved")) else { return 0 };
    let names = folder.map(|entry| entry.expect("entry").file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".unsaved")).count()
}

/// Asserts that no token is readable in any file, including those of unsaved tokens.
pub(crate) fn assert_no_token_in_files(app: &TestApp) {
    for needle in ["CANARY-access-", "CANARY-refresh-", "CANARY-code-", "CANARY-nonce-"] {
        assert_eq!(app.files_with(needle), Vec::<std::path::PathBuf>::new(), "{needle}");
        assert!(!app.log().contains(needle), "{needle}");
    }
}

/// Begins a get, runs `meanwhile` while the provider's answer is held, then lets the answer continue. Returns the
/// answer to the caller.
fn while_held(scene: &Scene, key: &str, meanwhile: impl FnOnce()) -> Answer {
    let hold = scene.provider.hold(Gate::AfterProcessing, 1);
    thread::scope(|scope| {
        let read = scope.spawn(|| get(&scene.app.client(), key, 0));
        hold.wait_for(1);
        meanwhile();
        hold.open();
        read.join().expect("no panic")
    })
}

fn take_away(scene: &Scene) {
    scene.app.sql("ALTER TABLE external_tokens RENAME TO away");
}

fn bring_back(setup: &Setup) {
    setup.database().sql("ALTER TABLE away RENAME TO external_tokens");
}

/// CONTRACT 51: if the database cannot take new tokens, they are in a file, and in the database once it is back.
#[test]
fn new_tokens_outlive_an_outage_of_the_database() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(0);
    let answer = while_held(&scene, &key, || take_away(&scene));
    answer.expect_error(503, "SoUnavailableException", "");
    assert_eq!(unsaved(&scene.app.setup), 1);
    assert_no_token_in_files(&scene.app);
    bring_back(&scene.app.setup);
    until("the file is gone", || unsaved(&scene.app.setup) == 0);
    let held = scene.assert_lives(&key);
    assert_eq!(held.generation, 2);
    assert_eq!(Some(access_token(get(&scene.app.client(), &key, 0))), held.access);
    assert_eq!((scene.refreshes(), scene.provider.presentations(&grant.refresh)), (1, 1));
    assert_state(&scene.app, &key, "Live", None);
}

/// CONTRACT 51: the same with a `kill -9` while the tokens are in the file: the next start saves them.
#[test]
fn new_tokens_in_a_file_outlive_a_kill() {
    let mut scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(0);
    while_held(&scene, &key, || take_away(&scene)).expect(503);
    assert_eq!(unsaved(&scene.app.setup), 1);
    scene.app.kill();
    bring_back(&scene.app.setup);
    let scene = scene.restart();
    let token = access_token(get(&scene.app.client(), &key, 0));
    assert!(scene.provider.is_newest(&token));
    assert_eq!((scene.refreshes(), scene.provider.presentations(&grant.refresh)), (1, 1));
    assert_eq!(scene.assert_lives(&key).generation, 2);
    until("the file is gone", || unsaved(&scene.app.setup) == 0);
}

/// A file that is damaged, or belongs to another record, is reported and kept, and does no harm.
#[test]
fn a_file_that_does_not_fit_is_kept_and_reported() {
    let mut scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    let (_, other) = scene.save(3600);
    while_held(&scene, &key, || take_away(&scene)).expect(503);
    scene.app.kill();
    bring_back(&scene.app.setup);
    let folder = scene.app.setup.data().join("unsaved");
    let file =
        fs::read_dir(&folder).expect("folder").next().expect("a file").expect("entry").path();
    let mut bytes = fs::read(&file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).expect("write");
    let scene = scene.restart();
    scene.app.logged(&["unsaved"]);
    assert_eq!(
        access_token(get(&scene.app.client(), &other, 0)),
        held(&scene.app.setup, &other).access.expect("it")
    );
    let answer = get(&scene.app.client(), &key, 0);
    tell(&format!("a damaged file: the record is answered {}", answer.status));
    scene.oracle(&key);
    assert!([424, 500, 503].contains(&answer.status), "{answer:?}");
    assert_eq!(scene.provider.sent_twice_at_once(), 0);
}

/// The master key of tokens in a file is retired before they are in the database.
#[test]
fn a_key_is_retired_before_new_tokens_are_saved() {
    let mut scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    while_held(&scene, &key, || take_away(&scene)).expect(503);
    scene.app.kill();
    let setup = scene.app.setup.clone();
    bring_back(&setup);
    let old = ids(&setup).remove(0);
    rotate(&setup);
    let retired = setup.run(&["keys", "retire", &old], "");
    tell(&format!("retiring the key of unsaved tokens: {retired:?}"));
    let scene = scene.restart();
    assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), &key, 0))));
    assert_eq!(scene.assert_lives(&key).generation, 2);
    until("the file is gone", || unsaved(&scene.app.setup) == 0);
    assert_eq!(scene.refreshes(), 1);
}

/// A rotation moves the record between the claim and the commit, and the old key is retired. Neither change is lost.
#[test]
fn a_rotation_between_claim_and_commit_loses_nothing() {
    let provider = MockProvider::start(Rules::default());
    let setup = knowing(Setup::new(), &[settings(&provider, &json!({}))]);
    // The rotation waits until every server has the new key.
    let setup = setup.with("GRANTS__DEADLINE_SECONDS", "60").with("GRANTS__WAIT_SECONDS", "120");
    let scene = Scene { provider, app: setup.start() };
    let (_, key) = scene.save(0);
    let old = ids(&scene.app.setup).remove(0);
    let answer = while_held(&scene, &key, || {
        rotate(&scene.app.setup);
        scene.app.admin(&["keys", "retire", &old]);
    });
    assert!(scene.provider.is_newest(&access_token(answer)));
    assert_eq!(scene.assert_lives(&key).generation, 2);
    let kept = "SELECT count(*) FROM external_tokens WHERE kek_id IN (SELECT id FROM keks)";
    assert_eq!(scene.app.number(kept), 1);
    let scene = scene.restart();
    assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), &key, 0))));
}

/// CONTRACT 39: A record that is revoked during a refresh ends, and the new tokens are dropped.
#[test]
fn a_record_that_is_revoked_meanwhile_is_ended() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    let client = scene.app.client();
    let answer = while_held(&scene, &key, || assert!(client.revoke(&json!({ "Key": key }))));
    assert!(answer.expect(200).json().is_null());
    assert!(client.get(&key).is_null());
    assert!(client.describe(&json!({ "Key": key }))["Ended"].is_string());
    let erased = "SELECT count(*) FROM external_tokens WHERE length(sealed) = 0";
    assert_eq!((scene.app.number(erased), scene.refreshes()), (1, 1));
    assert_no_token_in_files(&scene.app);
}

/// A record that expires during a refresh ends, too.
#[test]
fn a_record_that_expires_meanwhile_is_ended() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    let answer = while_held(&scene, &key, || {
        scene.app.sql("UPDATE external_tokens SET expires = created");
    });
    assert!(answer.expect(200).json().is_null());
    assert!(scene.app.client().get(&key).is_null());
    assert_eq!(scene.refreshes(), 1);
}

/// CONTRACT 50: no request is sent while the server cannot write its intent to the database.
#[test]
fn nothing_is_sent_while_the_database_takes_no_claim() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    scene.app.sql("ALTER TABLE grants RENAME TO away");
    get(&scene.app.client(), &key, 0).expect_error(503, "SoUnavailableException", "");
    assert_eq!(scene.refreshes(), 0);
    scene.app.sql("ALTER TABLE away RENAME TO grants");
    until("it is refreshed", || get(&scene.app.client(), &key, 0).status == 200);
    assert_eq!(scene.refreshes(), 1);
    scene.assert_lives(&key);
    end_access_in(&scene.app.setup, &key, 3600);
}
