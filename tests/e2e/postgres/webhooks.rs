//! Several servers that send the events of one database.
//!
//! Invariant: the servers share the work. None sends an event that another one is sending.

use std::{collections::BTreeSet, thread, time::Duration};

use serde_json::{Value, json};

use crate::{
    grants::scene::{carrier, knowing, settings},
    postgres::servers::beside,
    support::{
        app::{Setup, TestApp, until},
        provider::{MockProvider, Rules},
        webhook_receiver::WebhookReceiver,
    },
    webhooks::scene::sending_to,
};

const RECORDS: usize = 60;

/// CONTRACT 68: without a crash each event is sent once, no matter which server wrote it. If a server is killed, the
/// other one sends the events that it had taken.
#[test]
fn servers_share_what_is_to_be_sent() {
    let (provider, receiver) = (MockProvider::start(Rules::default()), WebhookReceiver::start());
    let with = |setup: Setup| {
        let setup = knowing(setup, &[settings(&provider, &json!({}))]);
        sending_to(setup, &[receiver.settings(&json!({}))])
    };
    let first = with(Setup::new()).start();
    let mut second = with(beside(&first.setup)).start();
    let end_records = |apps: &[&TestApp]| {
        thread::scope(|scope| {
            for number in 0..RECORDS {
                let client = apps[number % apps.len()].client();
                let grant = provider.grant();
                scope.spawn(move || {
                    let key = client.save(&carrier(&grant.access, &grant.refresh));
                    assert!(client.revoke(&json!({ "Key": key })));
                });
            }
        });
    };
    let waiting = || first.number("SELECT count(*) FROM deliveries");
    end_records(&[&first, &second]);
    until("none waits", || waiting() == 0);
    assert_eq!(receiver.events().len(), RECORDS);

    receiver.take(Duration::from_secs(2));
    end_records(&[&first, &second]);
    // One server takes eight at a time.
    let taken = "SELECT count(*) FROM deliveries WHERE attempts > 0";
    until("both send", || first.number(taken) > 8);
    second.kill();
    receiver.take(Duration::ZERO);
    until("none waits", || waiting() == 0);
    let ids = |events: Vec<Value>| {
        events.iter().map(|event| event["id"].to_string()).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(receiver.events()).len(), 2 * RECORDS);
}
