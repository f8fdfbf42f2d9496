//! The events, their causes, and their content.

use std::{thread, time::Duration};

use model::RetrievalKey;
use serde_json::{Value, json};

use crate::{
    Database,
    grants::scene::{
        NAME, Scene, access_token, end_access_in, end_pause, get, knowing, refresh, save, settings,
    },
    support::{
        app::until,
        client::Client,
        provider::SECRET as CLIENT_SECRET,
        webhook_receiver::{SECRET, WebhookReceiver},
    },
    webhooks::scene::{
        fail_refreshes, replace, save_dead, sending_to, verify, wait_for, waiting, watched,
    },
};

fn id_of(key: &str) -> String {
    RetrievalKey::parse(key).expect("a key").record().text()
}

/// Ends the access token of a record, and makes the server refresh it at once.
fn end_access(scene: &Scene, key: &str) {
    end_access_in(&scene.app.setup, key, 0);
    end_pause(&scene.app.setup, key);
}

/// CONTRACT 66, 67: the death of a grant is an event, and so is its recovery, once each. The libraries of both
/// standards accept the signature and the CloudEvent.
#[test]
fn a_grant_that_dies_and_recovers_is_reported_once() {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    let key = save_dead(&scene);
    let client = scene.app.client();
    get(&client, &key, 0).expect_error(424, "SoGrantException", "");
    wait_for(&receiver, 1);
    for _ in 0..2 {
        end_pause(&scene.app.setup, &key);
        refresh(&client, &key, None).expect(424);
    }
    replace(&scene, &key).expect(200);
    wait_for(&receiver, 2);
    assert_eq!(receiver.kinds(), ["grant.dead", "grant.recovered"]);
    let [dead, recovered] = &receiver.events()[..] else { panic!("two events") };
    let expected = json!({
        "specversion": "1.0",
        "id": dead["id"],
        "source": "urn:latchkey",
        "type": "grant.dead",
        "subject": id_of(&key),
        "time": dead["time"],
        "datacontenttype": "application/json",
        "data": {
            "Id": id_of(&key),
            "Tenant": "default",
            "Owner": "tje0",
            "Provider": NAME,
            "Cause": "invalid_grant",
        },
    });
    assert_eq!(*dead, expected);
    assert_ne!(dead["id"], recovered["id"]);
    let sent = &receiver.requests()[0];
    assert_eq!(sent.path, "/hook");
    assert_eq!(sent.header("Content-Type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!(sent.header("webhook-id"), dead["id"].as_str().expect("an id"));
    until("none waits", || waiting(&scene) == 0);
    verify(&scene, &receiver, SECRET);
}

/// CONTRACT 66: refreshes that fail for a while are an event, and so is their recovery. A short failure is none.
#[test]
fn a_grant_that_fails_for_long_is_reported() {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    let (_grant, key) = scene.save(0);
    let client = scene.app.client();
    fail_refreshes(&scene);
    get(&client, &key, 0).expect(503);
    scene.provider.always(None);
    end_pause(&scene.app.setup, &key);
    access_token(get(&client, &key, 0));

    end_access(&scene, &key);
    fail_refreshes(&scene);
    get(&client, &key, 0).expect(503);
    let since = format!("{} - 16 * 60000000", Database::NOW);
    scene.app.sql(&format!("UPDATE grants SET since = {since}"));
    // Without a call.
    wait_for(&receiver, 1);
    scene.provider.always(None);
    end_pause(&scene.app.setup, &key);
    access_token(get(&client, &key, 0));
    wait_for(&receiver, 2);
    assert_eq!(receiver.kinds(), ["grant.failing", "grant.recovered"]);
    assert_eq!(receiver.events()[0]["data"]["Cause"], "http_5xx");
}

/// CONTRACT 66: a refresh token that expires soon is an event, without a call and only once, until a use extends it.
#[test]
fn a_refresh_token_that_ends_soon_is_reported() {
    let (scene, receiver) = watched(json!({ "idle_days": 5 }), json!({}), |setup| setup);
    let (_grant, key) = scene.save(0);
    access_token(get(&scene.app.client(), &key, 0));
    wait_for(&receiver, 1);
    let event = &receiver.events()[0];
    assert_eq!(event["type"], "grant.expiring");
    let ends = event["data"]["RefreshBy"].as_str().expect("a time").to_owned();
    assert!(ends.ends_with('Z') && ends.starts_with("20"), "{ends}");
    let use_grant = |scene: &Scene| {
        end_access(scene, &key);
        access_token(get(&scene.app.client(), &key, 0));
    };
    let with_idle_days = |scene: Scene, days: u32| {
        let Scene { provider, app } = scene;
        let provider_settings = settings(&provider, &json!({ "idle_days": days }));
        let app = knowing(app.stop(), &[provider_settings]).start();
        Scene { provider, app }
    };
    use_grant(&scene);
    let scene = scene.restart();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(receiver.kinds(), ["grant.expiring"]);
    let scene = with_idle_days(scene, 30);
    use_grant(&scene);
    let scene = with_idle_days(scene, 5);
    use_grant(&scene);
    wait_for(&receiver, 2);
    assert_eq!(receiver.kinds(), ["grant.expiring", "grant.expiring"]);
    scene.assert_lives(&key);
}

/// CONTRACT 66: the end of a record is an event, no matter which operation ended it.
#[test]
fn a_record_that_is_ended_is_reported() {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    let keys: Vec<String> = (0..3).map(|_| scene.save(3600).1).collect();
    let client = scene.app.client();
    assert!(client.revoke(&json!({ "Key": keys[0] })));
    assert!(!client.revoke(&json!({ "Key": keys[0] })));
    assert!(client.revoke(&json!({ "Id": id_of(&keys[1]) })));
    client.post_records("RevokeGrant", &json!({ "Key": keys[2] })).expect(200);
    wait_for(&receiver, 3);
    assert_eq!(receiver.kinds(), ["grant.revoked"; 3]);
    let mut ended: Vec<String> = receiver
        .events()
        .iter()
        .map(|event| event["subject"].as_str().expect("it").into())
        .collect();
    ended.sort();
    let mut expected: Vec<String> = keys.iter().map(|key| id_of(key)).collect();
    expected.sort();
    assert_eq!(ended, expected);
}

/// CONTRACT 66: if a provider rejects this server's client, that is an event, and so is the recovery.
#[test]
fn a_provider_that_is_blocked_is_reported() {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    let (_grant, key) = scene.save(0);
    scene.provider.set(|rules| rules.secrets = vec!["another".to_owned()]);
    get(&scene.app.client(), &key, 0).expect(502);
    wait_for(&receiver, 1);
    scene.provider.set(|rules| rules.secrets = vec![CLIENT_SECRET.to_owned()]);
    scene.app.sql("UPDATE provider_states SET retry_at = 0");
    until("it works again", || {
        end_pause(&scene.app.setup, &key);
        get(&scene.app.client(), &key, 0).status == 200
    });
    wait_for(&receiver, 2);
    assert_eq!(receiver.kinds(), ["provider.blocked", "provider.recovered"]);
    let blocked = &receiver.events()[0];
    assert_eq!(blocked["subject"], NAME);
    assert_eq!(blocked["data"], json!({ "Provider": NAME, "Cause": "invalid_client" }));
}

/// CONTRACT 66: a receiver gets only the events that it asked for, of its tenants.
#[test]
fn a_receiver_is_sent_what_it_asked_for() {
    let (quiet, other) = (WebhookReceiver::start(), WebhookReceiver::start());
    let receivers = [
        quiet.settings(&json!({ "name": "quiet", "events": ["grant.dead"] })),
        other.settings(&json!({ "name": "other", "events": ["provider.blocked"] })),
    ];
    let (scene, all) = watched(json!({}), json!({}), |setup| setup);
    let all_settings = all.settings(&json!({ "tenants": ["CUST1"] }));
    let Scene { provider, app } = scene;
    let setup = app.stop().with("TENANT", "Cust1").with("WEBHOOKS__SOURCE", "urn:test:1");
    let receivers = [&receivers[..], &[all_settings]].concat();
    let scene = Scene { provider, app: sending_to(setup, &receivers).start() };
    let key = save_dead(&scene);
    get(&scene.app.client(), &key, 0).expect(424);
    assert!(scene.app.client().revoke(&json!({ "Key": key })));
    wait_for(&all, 2);
    wait_for(&quiet, 1);
    assert_eq!(all.kinds(), ["grant.dead", "grant.revoked"]);
    assert_eq!(all.events()[0]["data"]["Tenant"], "Cust1");
    assert_eq!(all.events()[0]["source"], "urn:test:1");
    assert_eq!(quiet.kinds(), ["grant.dead"]);
    assert_eq!(all.events()[0], quiet.events()[0]);
    until("none waits", || waiting(&scene) == 0);
    assert_eq!(other.kinds(), <[&str; 0]>::default());
}

/// CONTRACT 66: a receiver gets no event about records of another tenant.
#[test]
fn a_receiver_is_sent_nothing_of_another_tenant() {
    let only_one = json!({ "tenants": ["Cust1"] });
    let (scene, receiver) = watched(json!({}), only_one, |setup| setup.with("TENANTS", "path"));
    for tenant in ["cust2", "cust1"] {
        let add = ["user", "add", "ann", "--tenant", tenant, "--password-stdin"];
        scene.app.setup.run(&add, "CANARY-password").expect("added");
        let at = Client::new(&scene.app.url.replace("/default", &format!("/{tenant}")));
        let ann = at.with_password("ann", "CANARY-password");
        let key = save(&ann, &scene.provider.grant(), 3600);
        assert!(ann.revoke(&json!({ "Key": key })));
    }
    wait_for(&receiver, 1);
    until("none waits", || waiting(&scene) == 0);
    let tenants: Vec<Value> =
        receiver.events().iter().map(|event| event["data"]["Tenant"].clone()).collect();
    assert_eq!(tenants, ["cust1"]);
}

/// CONTRACT 66: a copy of a database sends nothing, because its original does.
#[test]
fn nothing_is_sent_while_grants_are_paused() {
    let (scene, receiver) = watched(json!({}), json!({}), |setup| setup);
    let (_grant, key) = scene.save(3600);
    scene.app.admin(&["grants", "pause"]);
    assert!(scene.app.client().revoke(&json!({ "Key": key })));
    thread::sleep(Duration::from_secs(3));
    assert_eq!(receiver.requests().len(), 0);
    scene.app.admin(&["grants", "resume"]);
    wait_for(&receiver, 1);
}
