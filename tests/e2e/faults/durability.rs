//! No acknowledged save is lost, neither by a restart nor by a `kill -9`.

use std::{thread, time::Duration};

use serde_json::json;

use crate::support::{
    app::{TestApp, until},
    load::{Random, Record, lost},
    parts::rounds,
};

const KILLS: usize = 100;
/// The latest kill, in microseconds after the first acknowledgment.
const LATEST_KILL: usize = 150_000;
/// The number of saves that are checked after each kill: this number at random, and this number of the last ones.
const SAMPLE: usize = 20;

#[test]
fn a_restart_changes_nothing() {
    let app = TestApp::new();
    let carrier = json!({"Provider": "et", "AccessToken": "fugit", "RefreshToken": "odit"});
    let key = app.client().save(&carrier);
    let before = app.client().get(&key);
    let app = app.stop().start();
    assert_eq!(app.client().get(&key), before);
    let other = app.client().save(&carrier);
    assert!(key < other, "keys sort by their age");
}

/// 64 connections, whose saves are committed in batches, and a `kill -9` in the middle.
#[test]
fn every_acknowledged_save_survives_a_kill() {
    let record = Record::default();
    let mut app = TestApp::new();
    record.load(&app.url.clone(), 64, &mut Random::new(), || {
        until("5,000 saves", || record.acknowledged() >= 5000);
        app.kill();
    });
    assert!(record.got() > 0, "gets are part of the load");
    record.assert_kept(&app.setup.start());
}

/// `kill -9` at random moments under load, again and again, on one database. After each kill a sample is checked, which
/// includes the latest acknowledged saves. All saves are checked at the end.
#[test]
fn every_acknowledged_save_survives_a_hundred_kills() {
    let mut random = Random::new();
    let record = Record::default();
    let mut app = TestApp::new();
    let kills = rounds(KILLS);
    for round in 0..kills {
        let before = record.acknowledged();
        record.load(&app.url.clone(), 8, &mut random.split(), || {
            until("a save", || record.acknowledged() > before);
            let moment = random.below(LATEST_KILL);
            thread::sleep(Duration::from_micros(moment as u64));
            app.kill();
        });
        app = app.setup.start();
        let saved = record.saved();
        let mut sample = record.sample(SAMPLE, &mut random);
        sample.extend_from_slice(&saved[saved.len() - SAMPLE.min(saved.len())..]);
        assert_eq!(lost(&app, &sample), 0, "in round {round}");
    }
    assert!(record.cut_off() > kills, "killed under load: {}", record.cut_off());
    assert_eq!(record.refused(), 0);
    record.assert_kept(&app);
}
