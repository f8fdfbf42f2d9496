//! Receivers that are slow, redirect, are gone, are at a forbidden address, or cannot keep up.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, thread, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    Database,
    grants::scene::{Scene, get},
    support::{
        app::until,
        provider::Reply,
        webhook_receiver::{NEXT_SECRET, SECRET, WebhookReceiver},
    },
    webhooks::scene::{save_dead, sending_to, verify, wait_for, waiting, watched},
};

/// Ends a new record, which is an event.
fn cause_event(scene: &Scene) {
    let (_grant, key) = scene.save(3600);
    assert!(scene.app.client().revoke(&json!({ "Key": key })));
}

/// Makes every event due at once.
fn end_pauses(scene: &Scene) {
    scene.app.sql("UPDATE deliveries SET due = 0");
}

/// CONTRACT 68: the server does not follow a redirect, and the event waits.
#[test]
fn a_redirect_is_not_followed() {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    let elsewhere = format!("{}/elsewhere", receiver.url());
    receiver.answer(Some(Reply::new(307, "text/plain", "").header("Location", &elsewhere)));
    cause_event(&scene);
    scene.app.logged(&["WARN", "events wait", "it answered 307, a redirect"]);
    assert!(receiver.requests().iter().all(|sent| sent.path == "/hook"));
    assert_eq!(waiting(&scene), 1);
    receiver.answer(None);
    end_pauses(&scene);
    wait_for(&receiver, 1);
}

/// CONTRACT 68: after a 410 a receiver is sent nothing until SIGHUP.
#[test]
fn a_receiver_that_is_gone_is_left_alone() {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    receiver.answer(Some(Reply::new(410, "text/plain", "")));
    cause_event(&scene);
    scene.app.logged(&["ERROR", "410 Gone", "SIGHUP"]);
    receiver.answer(None);
    cause_event(&scene);
    end_pauses(&scene);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(receiver.requests().len(), 1);
    scene.app.signal("HUP");
    wait_for(&receiver, 2);
    until("none waits", || waiting(&scene) == 0);
}

/// CONTRACT 68: these statuses concern one event: the next event about its record waits for it, and no other event
/// does.
#[rstest]
fn an_event_that_is_refused_waits_alone(#[values(400, 409, 413, 415, 422)] status: u16) {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    receiver.answer(Some(Reply::new(status, "text/plain", "")));
    let key = save_dead(&scene);
    get(&scene.app.client(), &key, 0).expect(424);
    scene.app.logged(&["WARN", "refuses an event", &format!("it answered {status}")]);
    receiver.answer(None);
    assert!(scene.app.client().revoke(&json!({ "Key": key })));
    cause_event(&scene);
    wait_for(&receiver, 3);
    let own = receiver.events().into_iter().filter(|event| event["subject"] == key[3..14]);
    let own: Vec<Value> = own.map(|event| event["type"].clone()).collect();
    assert_eq!(own, ["grant.dead", "grant.revoked"]);
    assert!(!scene.app.log().contains("events wait"), "{}", scene.app.log());
}

/// CONTRACT 67, 68: an event is repeated with the same id and body, also after a restart, and with a new signature.
#[test]
fn an_event_is_sent_again_as_it_was() {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    receiver.answer(Some(Reply::new(500, "text/plain", "")));
    cause_event(&scene);
    scene.app.logged(&["WARN", "events wait", "it answered 500"]);
    let scene = scene.restart();
    receiver.answer(None);
    end_pauses(&scene);
    wait_for(&receiver, 1);
    let sent = receiver.requests();
    assert!(sent.len() >= 2, "{sent:?}");
    for again in &sent[1..] {
        assert_eq!(again.header("webhook-id"), sent[0].header("webhook-id"));
        assert_eq!(again.body, sent[0].body);
    }
    verify(&scene, &receiver, SECRET);
}

/// CONTRACT 68: the status confirms an event, even if the body never ends.
#[test]
fn the_body_of_an_answer_is_not_read() {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    let endless = Reply::new(200, "text/plain", "x").header("Content-Length", "1000000000000");
    receiver.answer(Some(endless));
    cause_event(&scene);
    until("it is confirmed", || waiting(&scene) == 0);
    assert_eq!(receiver.requests().len(), 1);
}

/// CONTRACT 68: if the queue has no room for the death of a grant, it is reported once there is room.
#[test]
fn a_death_that_found_no_room_is_reported_later() {
    let (scene, receiver) =
        watched(json!({}), json!({}), |setup| setup.with("WEBHOOKS__WAITING", "1"));
    receiver.set_down(true);
    cause_event(&scene);
    let key = save_dead(&scene);
    get(&scene.app.client(), &key, 0).expect(424);
    assert_eq!(waiting(&scene), 1);
    receiver.set_down(false);
    wait_for(&receiver, 2);
    assert_eq!(receiver.kinds(), ["grant.revoked", "grant.dead"]);
}

/// CONTRACT 68: an answer that takes too long counts as a failure. Other receivers do not wait for it.
#[test]
fn a_slow_receiver_holds_up_no_other() {
    let slow = WebhookReceiver::start();
    slow.take(Duration::from_secs(30));
    let (scene, quick) = watched(json!({}), json!({}), |setup| setup);
    let Scene { provider, app } = scene;
    let receivers =
        [slow.settings(&json!({ "name": "slow" })), quick.settings(&json!({ "name": "quick" }))];
    let setup = app.stop().with("WEBHOOKS__DEADLINE_SECONDS", "12");
    let scene = Scene { provider, app: sending_to(setup, &receivers).start() };
    for _ in 0..3 {
        cause_event(&scene);
    }
    wait_for(&quick, 3);
    // The slow receiver was sent its events, too, and the server still waits for its answer.
    assert!(!scene.app.log().contains("events wait"), "{}", scene.app.log());
    until("what was confirmed is gone", || waiting(&scene) == 3);
    scene.app.logged(&["WARN", "events wait", "slow", "timeout"]);
}

/// CONTRACT 68: a receiver must be on the public network, unless the settings allow another address.
#[test]
fn a_private_address_is_refused() {
    let over = json!({ "url": "https://127.0.0.1:1/hook", "allow_private_addresses": false });
    let (scene, _receiver) = watched(json!({}), over, |setup| setup);
    cause_event(&scene);
    scene.app.logged(&["WARN", "events wait", "address is not public"]);
    assert_eq!(waiting(&scene), 1);
}

/// CONTRACT 68: the settings limit the number of waiting events. The log has the number of dropped ones.
#[test]
fn the_events_that_wait_are_bounded() {
    let (scene, receiver) =
        watched(json!({}), json!({}), |setup| setup.with("WEBHOOKS__WAITING", "6"));
    receiver.set_down(true);
    for _ in 0..5 {
        cause_event(&scene);
    }
    assert_eq!(waiting(&scene), 3);
    scene.app.logged(&["WARN", "events are dropped", "crm"]);
    receiver.set_down(false);
    until("none waits", || {
        end_pauses(&scene);
        thread::sleep(Duration::from_millis(200));
        waiting(&scene) == 0
    });
    assert_eq!(receiver.events().len(), 3);
    scene.app.logged(&["WARN", "events were dropped", "dropped=2"]);
}

/// CONTRACT 68: an event that is too old is dropped, and the log reports that.
#[test]
fn an_event_that_is_too_old_is_dropped() {
    let (scene, receiver) =
        watched(json!({}), json!({}), |setup| setup.with("RECORDS__SWEEP_SECONDS", "1"));
    receiver.set_down(true);
    cause_event(&scene);
    cause_event(&scene);
    let old = format!("{} - 73 * 3600000000", Database::NOW);
    let one = "(SELECT min(event) FROM deliveries)";
    scene.app.sql(&format!("UPDATE deliveries SET occurred = {old} WHERE event = {one}"));
    until("it is dropped", || waiting(&scene) == 1);
    scene.app.logged(&["WARN", "too old to be sent", "crm", "dropped=1"]);
}

/// CONTRACT 67: while a secret is being replaced, an event has a signature with each secret. SIGHUP reads them.
#[test]
fn a_secret_is_replaced_without_a_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let [current, next] = ["current", "next"].map(|name| folder.path().join(name));
    let write = |path: &Path, secret: &str| {
        fs::write(path, secret).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
    };
    write(&current, SECRET);
    write(&next, NEXT_SECRET);
    let over = json!({ "secret": null, "secret_file": current, "next_secret_file": next });
    let (scene, receiver) = watched(json!({}), over, |setup| setup);
    let signatures = || {
        let count = receiver.requests().len();
        cause_event(&scene);
        wait_for(&receiver, count + 1);
        let list = receiver.requests()[count].header("webhook-signature").to_owned();
        let both = list.split_once(' ').unwrap_or_else(|| panic!("one signature: {list}"));
        (both.0.to_owned(), both.1.to_owned())
    };
    let (by_current, by_next) = signatures();
    assert_ne!(by_current, by_next);
    verify(&scene, &receiver, SECRET);
    write(&current, NEXT_SECRET);
    scene.app.signal("HUP");
    until("the new secret alone signs", || {
        let (by_current, by_next) = signatures();
        by_current == by_next
    });
    verify(&scene, &receiver, NEXT_SECRET);
}

/// CONTRACT 36: the log contains nothing of a receiver's answer.
#[test]
fn what_a_receiver_answers_goes_nowhere() {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    receiver.answer(Some(Reply::new(500, "text/html", "<b>CANARY of the receiver</b>")));
    let (_grant, key) = scene.save(3600);
    assert!(scene.app.client().revoke(&json!({ "Key": key })));
    scene.app.logged(&["WARN", "events wait", "crm", "it answered 500"]);
    receiver.answer(None);
    wait_for(&receiver, 1);
    scene.app.logged(&["the receiver of webhooks takes events again"]);
}
