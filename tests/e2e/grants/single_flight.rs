//! One request to the provider, even if many callers need its outcome.

use std::{
    collections::HashSet,
    io::Write as _,
    net::TcpStream,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    grants::scene::{
        MORE_THAN_IT_LIVES, Scene, access_token, assert_state, describe, end_access_in, get, held,
        read_at_once, refresh,
    },
    support::{
        app::{TestApp, until},
        client::Answer,
        load::tell,
        provider::{Cut, Gate, Grace, Rules, Turn},
        raw::reset,
    },
};

const READERS: usize = 200;

/// Sends a get on its own connection, and does not wait for the answer.
pub(crate) fn send_get(app: &TestApp, key: &str) -> TcpStream {
    let body = json!({ "Key": key }).to_string();
    let head = format!(
        "POST /api/v1/Agents/User/GetExternalTokens HTTP/1.1\r\nHost: {}\r\n\
         Authorization: Basic dGplMDpUamUw\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        app.authority(),
        body.len()
    );
    let mut stream = TcpStream::connect(app.authority()).expect("connect");
    stream.write_all(head.as_bytes()).expect("send");
    stream
}

/// The one access token that all these answers have.
pub(crate) fn the_one_token(answers: Vec<Answer>) -> String {
    let tokens: HashSet<String> = answers.into_iter().map(access_token).collect();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    tokens.into_iter().next().expect("one")
}

/// CONTRACT 44: many callers wait for one request, and all get its tokens.
#[test]
fn many_readers_of_an_ended_token_make_one_request() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(0);
    let token = the_one_token(read_at_once(&[&scene.app], &key, READERS));
    assert!(token != grant.access && scene.provider.is_newest(&token));
    assert_eq!((scene.refreshes(), scene.provider.max_in_flight(&grant.refresh)), (1, 1));
    let held = scene.assert_lives(&key);
    assert_eq!((held.generation, held.access.as_ref()), (2, Some(&token)));
    assert_state(&scene.app, &key, "Live", None);
    // A fresh token is answered without a refresh.
    assert_eq!(the_one_token(read_at_once(&[&scene.app], &key, 20)), token);
    assert_eq!(scene.refreshes(), 1);
}

/// CONTRACT 44: A token that still works is answered at once, and refreshed in the background.
#[test]
fn within_the_soft_margin_nobody_waits() {
    let scene = Scene::new(Rules::default(), json!({"refresh_before_seconds": 3000}));
    let (grant, key) = scene.save(3600);
    end_access_in(&scene.app.setup, &key, 600);
    let hold = scene.provider.hold(Gate::AfterReading, usize::MAX);
    let began = Instant::now();
    let token = the_one_token(read_at_once(&[&scene.app], &key, READERS));
    tell(&format!("{READERS} readers took {:?} while the provider was silent", began.elapsed()));
    assert_eq!(token, grant.access, "the provider is still silent");
    hold.wait_for(1);
    assert_eq!((hold.came(), scene.refreshes()), (1, 1));
    assert_state(&scene.app, &key, "Refreshing", None);
    hold.open();
    until("the refreshed token is there", || {
        access_token(get(&scene.app.client(), &key, 0)) != token
    });
    assert_eq!(scene.refreshes(), 1);
    assert_eq!(scene.assert_lives(&key).generation, 2);
}

/// If a refresh would end a token that others still use, the server refreshes only when the token is about to expire.
#[test]
fn a_token_that_a_refresh_would_end_is_left_alone_within_the_soft_margin() {
    let rules = Rules { ends_old_access: true, ..Rules::default() };
    let over = json!({"refresh_before_seconds": 3000, "ends_access_token": true});
    let scene = Scene::new(rules, over);
    let (grant, key) = scene.save(600);
    for _ in 0..10 {
        assert_eq!(access_token(get(&scene.app.client(), &key, 0)), grant.access);
    }
    assert!(scene.provider.is_active(&grant.access));
    assert_eq!(scene.refreshes(), 0);
    end_access_in(&scene.app.setup, &key, 30);
    assert_ne!(access_token(get(&scene.app.client(), &key, 0)), grant.access);
    assert_eq!(scene.refreshes(), 1);
    scene.assert_lives(&key);
}

/// A refresh belongs to the record, and continues when the caller that began it leaves.
#[test]
fn a_refresh_goes_on_when_its_caller_goes() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(0);
    for gate in [Gate::AfterReading, Gate::AfterProcessing] {
        end_access_in(&scene.app.setup, &key, 0);
        let (before, hold) = (held(&scene.app.setup, &key), scene.provider.hold(gate, 1));
        let streams = [send_get(&scene.app, &key), send_get(&scene.app, &key)];
        hold.wait_for(1);
        streams.into_iter().for_each(reset);
        hold.open();
        until("the new tokens are there", || {
            held(&scene.app.setup, &key).generation > before.generation
        });
        scene.assert_lives(&key);
    }
    assert_eq!((scene.refreshes(), scene.provider.presentations(&grant.refresh)), (2, 1));
}

/// SIGTERM during a refresh for which no caller waits: the server waits, and saves the new tokens.
#[test]
fn a_shutdown_waits_for_a_refresh() {
    let mut scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    let hold = scene.provider.hold(Gate::AfterProcessing, 1);
    let stream = send_get(&scene.app, &key);
    hold.wait_for(1);
    reset(stream);
    scene.app.signal("TERM");
    until("new connections are refused", || TcpStream::connect(scene.app.authority()).is_err());
    // Only the refresh is left to wait for.
    thread::sleep(Duration::from_secs(1));
    hold.open();
    assert!(scene.app.wait().success(), "{}", scene.app.log());
    assert_eq!(scene.assert_lives(&key).generation, 2);
    let scene = scene.restart();
    let token = access_token(get(&scene.app.client(), &key, 0));
    assert!(scene.provider.is_newest(&token));
    assert_eq!(scene.refreshes(), 1);
}

/// If the answer is lost, the same refresh token is sent again within the grace, and the caller gets one slow answer.
#[test]
fn a_lost_answer_is_asked_for_again() {
    for (gate, cut) in [
        (Gate::AfterProcessing, Cut::Reset),
        (Gate::AfterProcessing, Cut::Fin),
        (Gate::WithinBody, Cut::Reset),
        (Gate::WithinBody, Cut::Fin),
    ] {
        let rules = Rules { grace: Grace::For(Duration::from_secs(3600)), ..Rules::default() };
        let scene = Scene::new(rules, json!({"replay_within_seconds": 3600}));
        let (grant, key) = scene.save(0);
        scene.provider.next([Turn::Cut(gate, cut)]);
        let token = access_token(get(&scene.app.client(), &key, 0));
        assert!(scene.provider.is_newest(&token), "{gate:?} {cut:?}");
        assert_eq!(scene.provider.presentations(&grant.refresh), 2, "{gate:?} {cut:?}");
        scene.assert_lives(&key);
    }
}

/// CONTRACT O13, 46: After a 401 from a resource, a caller names the token. The token is refreshed only if it is still
/// the stored one.
#[test]
fn many_callers_with_the_same_stale_token_make_one_request() {
    const THREADS: usize = 50;
    const CALLS: usize = 20;
    let scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(3600);
    let barrier = Barrier::new(THREADS);
    let answers: Vec<Answer> = thread::scope(|scope| {
        let callers: Vec<_> = (0..THREADS)
            .map(|_| {
                let (client, barrier) = (scene.app.client(), &barrier);
                let (key, stale) = (&key, grant.access.as_str());
                scope.spawn(move || {
                    barrier.wait();
                    (0..CALLS).map(|_| refresh(&client, key, Some(stale))).collect::<Vec<_>>()
                })
            })
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().expect("no panic")).collect()
    });
    assert_eq!(answers.len(), THREADS * CALLS);
    let token = the_one_token(answers);
    assert!(scene.provider.is_newest(&token));
    assert_eq!(scene.refreshes(), 1);
    scene.assert_lives(&key);
    // Another token is not the stored one.
    assert_eq!(access_token(refresh(&scene.app.client(), &key, Some("CANARY-other"))), token);
    assert_eq!(scene.refreshes(), 1);
}

/// CONTRACT O13, 46: a caller that names no token can cause at most one refresh every 30 seconds.
#[test]
fn a_forced_refresh_is_made_now_and_then() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(3600);
    let forced = access_token(refresh(&scene.app.client(), &key, None));
    assert_ne!(forced, grant.access);
    let again = refresh(&scene.app.client(), &key, None);
    tell(&format!("the second forced refresh is answered {}", again.status));
    assert_eq!(scene.refreshes(), 1);
    if again.status == 200 {
        assert_eq!(access_token(again), forced);
    } else {
        assert_ne!(again.expect(429).header("Retry-After"), "");
    }
    scene.assert_lives(&key);
}

/// CONTRACT O2, 37, 44: A caller gives the number of seconds for which it needs the token.
#[test]
fn a_caller_asks_for_a_token_that_is_good_for_longer() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(1800);
    let client = scene.app.client();
    for seconds in [0, 60, 1000] {
        assert_eq!(access_token(get(&client, &key, seconds)), grant.access, "{seconds}");
    }
    let newer = access_token(get(&client, &key, 3000));
    assert_ne!(newer, grant.access);
    assert_eq!(scene.refreshes(), 1);
    // More seconds than the provider's tokens live: the token is refreshed, and the new one is answered.
    let newest = access_token(get(&client, &key, MORE_THAN_IT_LIVES));
    assert!(scene.provider.is_newest(&newest));
    scene.assert_lives(&key);
    for wrong in [json!(-1), json!("soon"), json!(1.5), json!(i64::MAX)] {
        let body = json!({"Key": key, "MinimumSeconds": wrong});
        let refused = client.post("GetExternalTokens", &body);
        refused.expect_error(400, "ArgumentException", "MinimumSeconds");
    }
    let described = describe(&scene.app, &key);
    for member in ["AccessTokenExpires", "Refreshed", "Since"] {
        assert!(described[member].is_string(), "{member}: {described}");
    }
    assert_eq!(described["Generation"], scene.assert_lives(&key).generation);
    assert_eq!(described["RetryAt"], Value::Null);
}
