//! `kill -9` at each moment of a refresh: the server loses no grant, and a grant that a crash cost is reported.

use std::{
    collections::HashMap,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    grants::{
        scene::{
            MORE_THAN_IT_LIVES, Scene, access_token, assert_state, describe, end_access_in,
            end_access_of_all, get, held,
        },
        single_flight::send_get,
    },
    support::{
        app::{Setup, TestApp, until},
        client::Answer,
        load::{OnDrop, Random, tell},
        parts::rounds,
        provider::{Cut, Gate, Grace, Kind, Replay, Reuse, Rules, Turn},
    },
};

/// Longer than the lease of a killed server, and than a read waits for that lease.
const WAIT: Duration = Duration::from_secs(25);

/// A provider that answers spent tokens with the same tokens again, and a server that is configured for it.
fn lenient(rules: Rules) -> Scene {
    let grace = Grace::For(Duration::from_secs(3600));
    Scene::new(Rules { grace, ..rules }, json!({"replay_within_seconds": 3600}))
}

/// Kills the server while the provider holds its request, and starts it again. Returns the first answer after that, and
/// the time that it took.
fn kill_while_held(mut scene: Scene, key: &str, gate: Gate) -> (Scene, Answer, Duration) {
    let hold = scene.provider.hold(gate, 1);
    let stream = send_get(&scene.app, key);
    hold.wait_for(1);
    scene.app.kill();
    drop(stream);
    hold.open();
    let scene = scene.restart();
    let began = Instant::now();
    let answer = get(&scene.app.client(), key, 0);
    (scene, answer, began.elapsed())
}

/// On SQLite the lease of a killed server is void at once, because at most one server runs.
fn assert_soon(app: &TestApp, took: Duration) {
    tell(&format!("the first read after the kill took {took:?}"));
    let is_sqlite = app.setup.database().url().is_none();
    let most = if is_sqlite { Duration::from_millis(4500) } else { WAIT };
    assert!(took < most, "{took:?}");
}

/// The claim was committed, and the provider did not read the request.
#[test]
fn a_server_that_is_killed_before_the_provider_reads_loses_nothing() {
    for gate in [Gate::BeforeReading, Gate::AfterReading] {
        let scene = lenient(Rules::default());
        let (grant, key) = scene.save(0);
        let (scene, answer, took) = kill_while_held(scene, &key, gate);
        assert!(scene.provider.is_newest(&access_token(answer)));
        assert_soon(&scene.app, took);
        assert_eq!(scene.provider.max_in_flight(&grant.refresh), 1);
        assert_eq!(scene.assert_lives(&key).generation, 2);
    }
}

/// The refresh token is spent. Within the grace the next read gets the same tokens.
#[test]
fn a_server_that_is_killed_before_the_answer_replays_within_the_grace() {
    for replay in [Replay::SamePair, Replay::NewPair] {
        let scene = lenient(Rules { replay, ..Rules::default() });
        let (grant, key) = scene.save(0);
        let (scene, answer, took) = kill_while_held(scene, &key, Gate::AfterProcessing);
        assert!(scene.provider.is_newest(&access_token(answer)));
        assert_soon(&scene.app, took);
        assert_eq!(scene.provider.presentations(&grant.refresh), 2);
        assert_eq!(scene.provider.max_in_flight(&grant.refresh), 1);
        assert_eq!(scene.assert_lives(&key).generation, 2);
        assert_state(&scene.app, &key, "Live", None);
    }
}

/// CONTRACT 53: at a provider without a grace the crash costs the grant. The grant is dead, the cause is reported, and
/// nothing is erased.
#[test]
fn a_grant_that_a_crash_cost_is_named() {
    for reuse in [Reuse::IsRefused, Reuse::EndsFamily] {
        let mut scene = Scene::new(Rules { reuse, ..Rules::default() }, json!({}));
        let (grant, key) = scene.save(3600);
        let before = held(&scene.app.setup, &key);
        let hold = scene.provider.hold(Gate::AfterProcessing, 1);
        thread::scope(|scope| {
            let client = scene.app.client();
            let body = json!({"Key": key, "MinimumSeconds": MORE_THAN_IT_LIVES});
            scope.spawn(move || client.try_post("GetExternalTokens", &body));
            hold.wait_for(1);
            let id = scene.app.process_id();
            let killed = Command::new("kill").args(["-9", &id.to_string()]).status();
            assert!(killed.expect("kill").success());
        });
        scene.app.kill();
        hold.open();
        let scene = scene.restart();
        let client = scene.app.client();
        until("the loss is noticed", || {
            let answer = get(&client, &key, MORE_THAN_IT_LIVES);
            if answer.status == 503 {
                return false;
            }
            let refused = answer.expect_error(424, "SoGrantException", "mock");
            assert!(!refused.body.contains("CANARY"), "{refused:?}");
            true
        });
        let (lives, now) = scene.oracle(&key);
        assert!(!lives, "the crash cost it");
        assert_eq!(now, before, "and nothing is erased");
        assert_state(&scene.app, &key, "Dead", Some("lost_answer"));
        assert_eq!(access_token(get(&client, &key, 0)), grant.access, "it is good for an hour");
        end_access_in(&scene.app.setup, &key, -1);
        get(&client, &key, 0).expect_error(424, "SoGrantException", "mock");
        scene.app.logged(&["a refresh failed", "lost_answer"]);
        let log = scene.app.log();
        assert_eq!(
            log.lines().filter(|line| line.contains("a refresh failed")).count(),
            1,
            "{log}"
        );
        assert_eq!(scene.provider.presentations(&grant.refresh), 2);
        assert_eq!(scene.provider.sent_twice_at_once(), 0);
    }
}

/// After a lost answer the request is repeated; if the repeats are lost too, a later read repeats it before the grace
/// ends.
#[test]
fn answers_that_are_lost_one_after_the_other_are_asked_for_again() {
    let scene = lenient(Rules::default());
    let (grant, key) = scene.save(0);
    scene.provider.next([0, 1, 2].map(|_| Turn::Cut(Gate::AfterProcessing, Cut::Reset)));
    let refused = get(&scene.app.client(), &key, 0);
    let refused = refused.expect_error(503, "SoUnavailableException", "");
    assert_ne!(refused.header("Retry-After"), "");
    assert_state(&scene.app, &key, "Failing", Some("network"));
    let described = describe(&scene.app, &key);
    assert!(described["RetryAt"].is_string(), "{described}");
    let sent = scene.provider.presentations(&grant.refresh);
    assert!((2..=3).contains(&sent), "within one call it was sent {sent} times");
    let mut token = None;
    until("a later reader gets it", || {
        let answer = get(&scene.app.client(), &key, 0);
        token = (answer.status == 200).then(|| access_token(answer));
        token.is_some()
    });
    assert!(scene.provider.is_newest(&token.expect("got")));
    assert_eq!(scene.provider.presentations(&grant.refresh), 4);
    scene.assert_lives(&key);
    assert_state(&scene.app, &key, "Live", None);
}

const RECORDS: usize = 24;
const READERS: usize = 8;

/// The number of kills: a tenth if tests are to be short. On PostgreSQL a fifth, because after each kill the lease of
/// the killed server holds for some seconds.
fn kills(setup: &Setup) -> usize {
    let whole = if rounds(5) == 5 { 100 } else { 10 };
    if setup.database().url().is_some() { whole / 5 } else { whole }
}

/// Reads all records again and again until `meanwhile` has returned.
fn read_in_circles(app: &TestApp, keys: &[String], meanwhile: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = OnDrop(&is_over);
        for reader in 0..READERS {
            let (client, is_over) = (app.client(), &is_over);
            scope.spawn(move || {
                for key in keys.iter().cycle().skip(reader * keys.len() / READERS) {
                    let body = json!({ "Key": key });
                    let is_gone = client.try_post("GetExternalTokens", &body).is_err();
                    if is_gone || is_over.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        meanwhile();
    });
}

/// Kills the server again and again at different moments of refreshes, and reads every record after each kill. Returns
/// the number of lost grants by the cause that the server reports.
fn kill_again_and_again(rules: Rules, replay_within_seconds: i64) -> HashMap<String, usize> {
    let rules = Rules { latency: Duration::from_millis(20), ..rules };
    let over = json!({"replay_within_seconds": replay_within_seconds});
    let mut scene = Scene::new(rules, over);
    let mut random = Random::new();
    let mut keys: Vec<String> = (0..RECORDS).map(|_| scene.save(0).1).collect();
    let (mut burnt, mut refreshed) = (HashMap::new(), 0);
    let kills = kills(&scene.app.setup);
    for round in 0..kills {
        end_access_of_all(&scene.app.setup);
        let enough = scene.refreshes() + random.below(RECORDS);
        let id = scene.app.process_id();
        read_in_circles(&scene.app, &keys, || {
            until("records are refreshed", || scene.refreshes() >= enough);
            thread::sleep(Duration::from_micros(random.below(25_000) as u64));
            let killed = Command::new("kill").args(["-9", &id.to_string()]).status();
            assert!(killed.expect("kill").success());
        });
        scene.app.kill();
        scene = scene.restart();
        let (app, provider) = (&scene.app, &scene.provider);
        let began = Instant::now();
        for key in &mut keys {
            let client = app.client();
            let mut answer = get(&client, key, 0);
            while answer.status == 503 && began.elapsed() < 4 * WAIT {
                thread::sleep(Duration::from_millis(100));
                answer = get(&client, key, 0);
            }
            if answer.status == 200 {
                let token = access_token(answer);
                assert!(provider.is_newest(&token), "round {round}: {:?}", held(&app.setup, key));
                refreshed += 1;
                continue;
            }
            answer.expect_error(424, "SoGrantException", "mock");
            let (lives, _) = scene.oracle(key);
            assert!(!lives, "round {round}: a grant that lives is called dead");
            let cause = describe(app, key)["Cause"].as_str().expect("a cause").to_owned();
            *burnt.entry(cause).or_default() += 1;
            *key = scene.save(0).1;
        }
        tell(&format!("round {round}: all read {:?} after the start", began.elapsed()));
    }
    tell(&format!(
        "oracle: {kills} kills, {refreshed} reads after a kill got the token that lives, {} requests to refresh, burnt \
         {burnt:?}, sent twice at once {}",
        scene.provider.count(Kind::Refresh),
        scene.provider.sent_twice_at_once(),
    ));
    assert_eq!(scene.provider.sent_twice_at_once(), 0);
    end_access_of_all(&scene.app.setup);
    for key in &keys {
        assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), key, 0))));
    }
    assert!(burnt.values().sum::<usize>() <= kills * READERS, "more than was in flight: {burnt:?}");
    burnt
}

/// CONTRACT 53: A provider with a grace: at every moment, a kill of the server loses no grant.
#[test]
fn kills_under_load_burn_nothing_within_the_grace() {
    let rules = Rules { grace: Grace::For(Duration::from_secs(3600)), ..Rules::default() };
    assert_eq!(kill_again_and_again(rules, 3600), HashMap::new());
}

/// CONTRACT 53: A strict provider: a kill costs at most the grants whose refresh was in flight, and each of these is
/// reported.
#[test]
fn kills_under_load_burn_only_what_was_in_flight_at_a_strict_provider() {
    let burnt = kill_again_and_again(Rules::default(), 0);
    assert!(burnt.keys().all(|cause| cause == "lost_answer"), "{burnt:?}");
}
