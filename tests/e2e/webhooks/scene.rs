//! A provider, a server and a receiver of its events.

use std::{fs, process::Command};

use serde_json::{Value, json};

use crate::{
    grants::scene::{Scene, carrier, knowing, save, settings},
    support::{
        app::{Setup, until},
        client::Answer,
        provider::{MockProvider, Reply, Rules},
        webhook_receiver::WebhookReceiver,
    },
    wire::official_client::client,
};

/// A provider, a server with these settings of the provider, and a receiver with these settings.
pub(crate) fn watched(
    provider_over: Value,
    receiver_over: Value,
    with: impl FnOnce(Setup) -> Setup,
) -> (Scene, WebhookReceiver) {
    let provider = MockProvider::start(Rules::default());
    let receiver = WebhookReceiver::start();
    let setup = knowing(Setup::new(), &[settings(&provider, &provider_over)]);
    let app = with(sending_to(setup, &[receiver.settings(&receiver_over)])).start();
    (Scene { provider, app }, receiver)
}

/// Adds these receivers to a setup.
pub(crate) fn sending_to(setup: Setup, receivers: &[Value]) -> Setup {
    setup.with("WEBHOOKS__RECEIVERS", &Value::from(receivers.to_vec()).to_string())
}

/// A record whose access token has expired, and whose grant its user ended at the provider.
pub(crate) fn save_dead(scene: &Scene) -> String {
    let grant = scene.provider.grant();
    scene.provider.revoke(&grant.refresh);
    save(&scene.app.client(), &grant, 0)
}

/// Replaces a record's grant with a new one.
pub(crate) fn replace(scene: &Scene, key: &str) -> Answer {
    let grant = scene.provider.grant();
    let carrier = carrier(&grant.access, &grant.refresh);
    let body = json!({ "Key": key, "TokenManagementInfo": carrier, "ExpiresIn": 3600 });
    scene.app.client().post_records("Replace", &body)
}

/// Makes every refresh request fail, as at a busy provider.
pub(crate) fn fail_refreshes(scene: &Scene) {
    scene.provider.always(Some(Reply::json(503, &json!({}))));
}

/// The number of waiting events, for all receivers.
pub(crate) fn waiting(scene: &Scene) -> i64 {
    scene.app.number("SELECT count(*) FROM deliveries")
}

/// Waits until the receiver has confirmed this many events.
pub(crate) fn wait_for(receiver: &WebhookReceiver, count: usize) {
    until(&format!("{count} events"), || receiver.events().len() >= count);
}

/// Verifies all sent events with npm's `standardwebhooks` and `cloudevents`.
pub(crate) fn verify(scene: &Scene, receiver: &WebhookReceiver, secret: &str) {
    let Some(folder) = client() else { return };
    let sent: Vec<Value> = receiver.requests().iter().map(|sent| sent.as_json()).collect();
    let file = scene.app.setup.folder().join("sent.json");
    fs::write(&file, Value::from(sent.clone()).to_string()).expect("written");
    let output = Command::new("node")
        .args(["verify-webhooks.mjs", secret])
        .arg(&file)
        .current_dir(folder)
        .output()
        .expect("node");
    fs::remove_file(&file).expect("removed");
    let verdict = String::from_utf8_lossy(&output.stdout);
    let problem = String::from_utf8_lossy(&output.stderr);
    assert_eq!(verdict.trim(), format!("{} verified", sent.len()), "{problem}");
}
