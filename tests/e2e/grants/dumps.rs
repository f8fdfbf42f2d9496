//! No token of a grant is readable afterwards: not in the database, a file of unsaved tokens, the log or the memory.

use std::{
    thread,
    time::{Duration, Instant},
};

use memchr::memmem;
use serde_json::json;

use crate::{
    faults::memory::memory,
    grants::{
        exchange::{discovering, request},
        outages::assert_no_token_in_files,
        scene::{REDIRECT, Scene, access_token, end_access_in, get, read_at_once},
    },
    support::{
        app::{TIMEOUT, TestApp},
        load::tell,
        parts::leave_out,
        provider::{Cut, Gate, Grace, Rules, Turn},
    },
};

/// The prefixes of the mock's tokens.
const NEEDLES: [&str; 4] = ["CANARY-access-", "CANARY-refresh-", "CANARY-code-", "CANARY-nonce-"];

/// The number of occurrences of each kind of token in the memory of a server.
fn in_memory(app: &TestApp) -> Option<Vec<usize>> {
    let memory = memory(app)?;
    let count = |needle: &&str| {
        let finder = memmem::Finder::new(needle.as_bytes());
        memory.iter().map(|mapping| finder.find_iter(mapping).count()).sum()
    };
    Some(NEEDLES.iter().map(count).collect())
}

/// Asserts that no token is left; `false`, with a notice, if this user may not read the memory.
fn assert_nothing_left(app: &TestApp, test: &str) -> bool {
    assert_no_token_in_files(app);
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let Some(found) = in_memory(app) else {
            leave_out(test, "root");
            return false;
        };
        if found.iter().sum::<usize>() == 0 {
            return true;
        }
        assert!(Instant::now() < deadline, "{test}: {NEEDLES:?} are there {found:?} times");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn nothing_of_a_refresh_is_left() {
    let rules = Rules { grace: Grace::For(Duration::from_secs(3600)), ..Rules::default() };
    let scene = Scene::new(rules, json!({"replay_within_seconds": 3600}));
    let (_, key) = scene.save(0);
    read_at_once(&[&scene.app], &key, 50);
    if !assert_nothing_left(&scene.app, "what a refresh leaves in memory") {
        return;
    }
    scene.provider.next([Turn::Cut(Gate::WithinBody, Cut::Reset)]);
    end_access_in(&scene.app.setup, &key, -1);
    access_token(get(&scene.app.client(), &key, 0));
    assert_nothing_left(&scene.app, "what a replay leaves");
    let hold = scene.provider.hold(Gate::AfterProcessing, 1);
    end_access_in(&scene.app.setup, &key, -1);
    thread::scope(|scope| {
        let read = scope.spawn(|| get(&scene.app.client(), &key, 0));
        hold.wait_for(1);
        scene.app.sql("ALTER TABLE external_tokens RENAME TO away");
        hold.open();
        read.join().expect("no panic").expect(503);
    });
    assert_nothing_left(&scene.app, "what an outage leaves");
    scene.app.sql("ALTER TABLE away RENAME TO external_tokens");
    tell("oracle: nothing is left of three refreshes");
}

#[test]
fn nothing_of_an_exchange_is_left() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    for nonce in ["CANARY-nonce-right", "CANARY-nonce-wrong"] {
        let code = provider.code(REDIRECT, Some("CANARY-nonce-right"), None);
        let body = request(&code, &json!({"PkceVerifier": null, "Nonce": nonce}));
        let answer = app.client().post("ExchangeCodeAndSaveTokens", &body);
        assert_eq!(answer.status == 200, nonce.ends_with("right"), "{answer:?}");
    }
    assert_nothing_left(&app, "what an exchange leaves");
}
