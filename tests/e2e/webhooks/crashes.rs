//! `kill -9` while events wait for a receiver that is down.

use std::{collections::BTreeMap, thread, time::Duration};

use serde_json::json;

use crate::{
    grants::scene::{Scene, get},
    support::{
        app::until,
        load::{Random, tell},
        parts::rounds,
    },
    webhooks::scene::{replace, save_dead, waiting, watched},
};

/// CONTRACT 66, 68: each record has three events, while the receiver is down and up again and the server is killed.
/// Each event is delivered at least once, and the events of one record in order.
#[test]
fn no_event_is_lost_and_their_order_is_kept() {
    let (mut scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    let records = rounds(334);
    receiver.set_down(true);
    let mut random = Random::new();
    let mut kills = 0;
    for number in 0..records {
        let key = save_dead(&scene);
        get(&scene.app.client(), &key, 0).expect(424);
        replace(&scene, &key).expect(200);
        assert!(scene.app.client().revoke(&json!({ "Key": key })));
        if random.below(40) == 0 || number == records / 2 {
            receiver.set_down(random.below(2) == 0);
            thread::sleep(Duration::from_millis(random.below(1500) as u64));
            scene.app.kill();
            kills += 1;
            scene = scene.restart();
        }
    }
    receiver.set_down(false);
    let sent = |scene: &Scene| {
        scene.app.sql("UPDATE deliveries SET due = 0 WHERE attempts > 0");
        thread::sleep(Duration::from_millis(500));
        waiting(scene) == 0
    };
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(random.below(3000) as u64));
        scene.app.kill();
        kills += 1;
        scene = scene.restart();
    }
    until("all are sent", || sent(&scene));

    let mut of_record: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let events = receiver.events();
    for event in &events {
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        of_record.entry(text(&event["subject"])).or_default().push(text(&event["type"]));
    }
    tell(&format!(
        "{} events of {records} records were confirmed over {kills} kills, {} of them more than once",
        events.len(),
        events.len() - 3 * records,
    ));
    assert_eq!(of_record.len(), records);
    for (record, kinds) in of_record {
        let place = |kind: &String| {
            let order = ["grant.dead", "grant.recovered", "grant.revoked"];
            order.iter().position(|known| known == kind).expect("a kind of these")
        };
        let places: Vec<usize> = kinds.iter().map(place).collect();
        assert!(places.is_sorted(), "{record}: {kinds:?}");
        let mut each = places.clone();
        each.dedup();
        assert_eq!(each, [0, 1, 2], "{record}: {kinds:?}");
    }
}
