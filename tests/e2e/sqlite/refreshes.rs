//! Grants in a SQLite file: a restored backup, and a kill before anything is written.

use std::{thread, time::Duration};

use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::{
    grants::{
        scene::{
            Scene, access_token, assert_state, describe, end_access_in, get, knowing, refresh,
            settings,
        },
        single_flight::send_get,
    },
    support::{
        app::Setup,
        load::tell,
        provider::{Kind, Rules},
    },
};

/// A kill before the commit of the claim leaves nothing.
#[test]
fn a_kill_before_the_claim_leaves_nothing() {
    let mut scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(0);
    let mut other = scene.app.setup.database().open();
    other.batch_execute("BEGIN IMMEDIATE").expect("the lock");
    let stream = send_get(&scene.app, &key);
    // Until the claim waits for the lock.
    thread::sleep(Duration::from_secs(1));
    scene.app.kill();
    drop((stream, other));
    let scene = scene.restart();
    assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), &key, 0))));
    assert_eq!(scene.provider.presentations(&grant.refresh), 1);
    scene.assert_lives(&key);
}

/// CONTRACT 54: A restored backup has refresh tokens that the original may have spent since. None is sent until the
/// operator allows it.
#[test]
fn a_restored_backup_sends_nothing_until_it_is_let() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(3600);
    let (_, other) = scene.save(3600);
    let client = scene.app.client();
    end_access_in(&scene.app.setup, &key, -1);
    let token = access_token(get(&client, &key, 0));
    let file = scene.app.setup.folder().join("backup");
    let file = file.to_str().expect("UTF-8");
    let told = scene.app.setup.run(&["backup", file], "").expect("a backup");
    tell(&format!("the backup says: {told}"));
    let keys = scene.app.setup.data().join("keys");
    let place = Setup::new().with("KEYS__DIRECTORY", keys.to_str().expect("UTF-8"));
    let told = place.run(&["restore", file], "").expect("restored");
    assert!(told.contains("grants resume"), "{told}");
    let place = knowing(place, &[settings(&scene.provider, &json!({}))]);
    let copy = place.start();
    let before = scene.provider.count(Kind::Refresh);
    assert_eq!(access_token(get(&copy.client(), &key, 0)), token, "it still works");
    assert_state(&copy, &key, "Paused", None);
    for key in [&key, &other] {
        end_access_in(&copy.setup, key, -1);
        get(&copy.client(), key, 0).expect_error(503, "SoUnavailableException", "");
        assert!([429, 503].contains(&refresh(&copy.client(), key, None).status));
        assert_eq!(describe(&copy, key)["GrantState"], "Paused");
    }
    assert_eq!(scene.provider.count(Kind::Refresh), before);
    // The original continues meanwhile, with the living refresh token.
    scene.assert_lives(&key);
    let refresh_of_original = access_token(get(&client, &key, 0));
    assert_eq!(refresh_of_original, token);
    // The setup of the original is kept, because the copy uses its key files.
    let _original = scene.app.stop();
    let told = copy.admin(&["grants", "resume"]);
    tell(&format!("resume says: {told}"));
    assert!(scene.provider.is_newest(&access_token(get(&copy.client(), &key, 0))));
    assert!(scene.provider.is_newest(&access_token(get(&copy.client(), &other, 0))));
    assert_eq!(scene.provider.count(Kind::Refresh), before + 2);
}
