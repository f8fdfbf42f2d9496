//! The effect of a provider's error on a grant: no error erases it, and only an explicit verdict ends it.

use std::{fs, thread, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    Database,
    grants::scene::{
        Scene, access_token, assert_lives, assert_state, describe, end_access_in, end_pause, get,
        held, knowing, oracle, save, settings,
    },
    support::{
        app::{Setup, until},
        client::Client,
        load::tell,
        master_keys::record,
        provider::{Gate, Grace, Grant, Kind, MockProvider, Reply, Rules, SECRET, Turn},
    },
};

const DAY: i64 = 86_400;

fn items(client: &Client) -> Vec<Value> {
    let list = client.post_records("List", &json!({})).expect(200).json();
    list["Items"].as_array().expect("items").clone()
}

/// CONTRACT 35, 37, 47, 48: `invalid_grant` at the first attempt makes the grant dead. The token that still works is
/// answered, and the provider is not asked again for a day.
#[test]
fn a_grant_that_the_provider_ended_is_dead() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(3600);
    end_access_in(&scene.app.setup, &key, 30);
    let before = held(&scene.app.setup, &key);
    scene.provider.revoke(&grant.refresh);
    let client = scene.app.client();
    assert_eq!(access_token(get(&client, &key, 0)), grant.access, "it still works for a while");
    assert_state(&scene.app, &key, "Dead", Some("invalid_grant"));
    end_access_in(&scene.app.setup, &key, -1);
    for _ in 0..20 {
        let refused = get(&client, &key, 0).expect_error(424, "SoGrantException", "mock");
        assert!(!refused.body.contains("CANARY"), "{refused:?}");
    }
    assert_eq!(scene.refreshes(), 1);
    let listed = items(&client);
    assert_eq!((listed.len(), &listed[0]["GrantState"]), (1, &json!("Dead")), "{listed:?}");
    assert!(listed[0]["Since"].is_string() && listed[0]["RetryAt"].is_string(), "{listed:?}");
    let (lives, now) = scene.oracle(&key);
    assert_eq!((lives, now), (false, before), "nothing is erased");
    // A verdict may be wrong, so after a day one reader tries again.
    let now = Database::NOW;
    let id = record(&key);
    let left = scene.app.number(&format!("SELECT (retry_at - {now}) / 1000000 FROM grants"));
    assert!((DAY - 600..=DAY + DAY / 4).contains(&left), "{left} seconds");
    scene.app.sql(&format!("UPDATE grants SET retry_at = {now} - 1000000 WHERE record = {id}"));
    get(&client, &key, 0).expect(424);
    get(&client, &key, 0).expect(424);
    assert_eq!(scene.refreshes(), 2);
}

/// A verdict about a refresh token that was spent meanwhile does not count for the grant.
#[test]
fn a_verdict_on_tokens_that_were_replaced_meanwhile_is_dropped() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    let columns = ["generation", "kek_id", "wrapped_dek", "sealed"];
    let set = |from: &str| {
        let pairs = columns.map(|column| format!("{column} = (SELECT {column} FROM {from})"));
        scene.app.sql(&format!("UPDATE external_tokens SET {}", pairs.join(", ")));
    };
    scene.app.sql("CREATE TABLE earlier AS SELECT * FROM external_tokens");
    let token = access_token(get(&scene.app.client(), &key, 0));
    scene.app.sql("CREATE TABLE later AS SELECT * FROM external_tokens");
    set("earlier");
    end_access_in(&scene.app.setup, &key, -1);
    scene.provider.next([Turn::Say(Reply::error(400, "invalid_grant"))]);
    let hold = scene.provider.hold(Gate::AfterProcessing, 1);
    thread::scope(|scope| {
        let read = scope.spawn(|| get(&scene.app.client(), &key, 0));
        hold.wait_for(1);
        set("later");
        end_access_in(&scene.app.setup, &key, 3600);
        hold.open();
        assert_eq!(access_token(read.join().expect("no panic")), token);
    });
    assert_eq!(scene.assert_lives(&key).generation, 2);
    let state = describe(&scene.app, &key);
    assert_ne!(state["GrantState"], "Dead", "{state}");
}

/// CONTRACT 35, 47, 52: A wrong secret is the operator's mistake. No grant fails because of it, and one request a
/// minute tests whether it is corrected.
#[test]
fn a_wrong_secret_blocks_the_provider_and_no_grant() {
    const RECORDS: usize = 50;
    let provider = MockProvider::start(Rules::default());
    let setup = Setup::new();
    let file = setup.folder().join("secret");
    fs::write(&file, "CANARY-mistyped").expect("write");
    let by_file = json!({"client_secret": null, "client_secret_file": file});
    let app = knowing(setup, &[settings(&provider, &by_file)]).start();
    let client = app.client();
    let grants: Vec<Grant> = (0..RECORDS).map(|_| provider.grant()).collect();
    let keys: Vec<String> = grants.iter().map(|grant| save(&client, grant, 0)).collect();
    for key in &keys {
        let refused = get(&client, key, 0).expect_error(502, "SoProviderException", "mock");
        assert!(!refused.body.contains("CANARY"), "{refused:?}");
    }
    let asked = provider.wrong_secrets();
    tell(&format!("oracle: {asked} requests with the wrong secret for {RECORDS} records"));
    assert!((1..=3).contains(&asked), "{asked}");
    assert!(grants.iter().all(|grant| provider.is_living_leaf(&grant.refresh)));
    let states = items(&client);
    assert!(states.iter().all(|item| item["GrantState"] != "Dead"), "{states:?}");
    assert_state(&app, &keys[0], "Blocked", Some("invalid_client"));
    fs::write(&file, SECRET).expect("write");
    app.signal("HUP");
    until("the secret is read again, and the pause is over", || {
        app.sql("UPDATE provider_states SET retry_at = 0");
        get(&client, &keys[0], 0).status == 200
    });
    for key in &keys {
        until("every record is refreshed", || get(&client, key, 0).status == 200);
        assert!(provider.is_newest(&access_token(get(&client, key, 0))));
        assert_state(&app, key, "Live", None);
    }
    assert_eq!(provider.sent_twice_at_once(), 0);
}

/// While a secret is being replaced, the server tries the next one after the provider rejected the first.
#[test]
fn the_next_secret_is_tried_after_the_first_was_refused() {
    let provider = MockProvider::start(Rules::default());
    let setup = Setup::new();
    let file = setup.folder().join("next");
    fs::write(&file, "CANARY-next").expect("write");
    let app = knowing(setup, &[settings(&provider, &json!({"next_client_secret_file": file}))]);
    let app = app.start();
    let (client, grant) = (app.client(), provider.grant());
    let key = save(&client, &grant, 0);
    assert!(provider.is_newest(&access_token(get(&client, &key, 0))));
    assert_eq!(provider.wrong_secrets(), 0);
    provider.set(|rules| rules.secrets = vec!["CANARY-next".to_owned()]);
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&client, &key, 0))));
    assert_eq!(provider.wrong_secrets(), 1);
    assert_lives(&provider, &app.setup, &key);
}

/// CONTRACT 48: A refresh token is not sent by another client than the one that it was issued to.
#[test]
fn tokens_of_another_client_are_not_sent() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    get(&scene.app.client(), &key, 0).expect(200);
    let Scene { provider, app } = scene;
    let setup = app.stop();
    provider.set(|rules| rules.client_id.1 = "client-2".to_owned());
    let app = knowing(setup, &[settings(&provider, &json!({"client_id": "client-2"}))]).start();
    end_access_in(&app.setup, &key, -1);
    let refused = get(&app.client(), &key, 0);
    tell(&format!("another client: {} {}", refused.status, refused.body));
    assert!([424, 502].contains(&refused.status), "{refused:?}");
    let described = describe(&app, &key);
    assert_eq!(described["Cause"], "other_client", "{described}");
    assert_eq!(provider.count(Kind::Refresh), 1);
    assert_lives(&provider, &app.setup, &key);
    // With the first client again, refreshes work.
    let setup = app.stop();
    provider.set(|rules| *rules = Rules::default());
    let app = knowing(setup, &[settings(&provider, &json!({}))]).start();
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
}

/// CONTRACT 48, 52: errors without a verdict: the grant is failing and never dead, the pauses grow, and it works as
/// soon as the provider does.
#[rstest]
#[case::status_500(Reply::json(500, &json!({})), "http_5xx")]
#[case::status_502(Reply::new(502, "text/html", "<h1>Bad gateway</h1>"), "http_5xx")]
#[case::status_503(Reply::new(503, "text/html", "<h1>Down</h1>"), "http_5xx")]
#[case::status_504(Reply::new(504, "text/plain", ""), "http_5xx")]
#[case::a_firewall(Reply::new(403, "text/html", "<h1>Forbidden</h1>"), "http_other")]
#[case::not_found(Reply::new(404, "text/html", "<h1>Not found</h1>"), "http_other")]
#[case::a_redirect(
    Reply::new(302, "text/plain", "").header("Location", "http://127.0.0.1:1/"), "redirect"
)]
#[case::nothing(Reply::new(200, "application/json", ""), "unreadable")]
#[case::no_json(Reply::new(200, "application/json", "tokens"), "unreadable")]
#[case::html(Reply::new(200, "text/html", "<h1>Sign in</h1>"), "unreadable")]
#[case::cut(
    Reply::new(200, "application/json", r#"{"access_token":"CANARY-c"#)
        .header("Content-Length", "1000"),
    "unreadable"
)]
#[case::cut_json(Reply::new(200, "application/json", r#"{"access_token":"CANARY-c"#), "unreadable")]
#[case::no_token(Reply::json(200, &json!({"token_type": "Bearer"})), "unreadable")]
#[case::an_empty_token(Reply::json(200, &json!({"access_token": ""})), "unreadable")]
#[case::twice_the_same_member(
    Reply::new(
        200,
        "application/json",
        r#"{"access_token":"CANARY-1","access_token":"CANARY-2"}"#
    ),
    "unreadable"
)]
#[case::too_large(
    Reply::new(200, "application/json", format!("{{\"x\":\"{}\"}}", "x".repeat(300_000))),
    "too_large"
)]
#[case::a_scope(Reply::error(400, "invalid_scope"), "invalid_scope")]
#[case::a_request(Reply::error(400, "invalid_request"), "invalid_request")]
#[case::a_grant_type(Reply::error(400, "unsupported_grant_type"), "invalid_request")]
#[case::unauthorized(Reply::error(400, "unauthorized_client"), "unauthorized_client")]
#[case::busy(Reply::error(400, "temporarily_unavailable"), "rate_limited")]
#[case::slow_down(Reply::error(400, "slow_down"), "rate_limited")]
fn what_is_no_verdict_ends_no_grant(#[case] reply: Reply, #[case] cause: &str) {
    let scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(0);
    let before = held(&scene.app.setup, &key);
    scene.provider.always(Some(reply));
    let client = scene.app.client();
    let (mut pauses, now) = (Vec::new(), Database::NOW);
    for _ in 0..5 {
        let refused = get(&client, &key, 0);
        assert!([502, 503].contains(&refused.status), "{refused:?}");
        assert!(!refused.body.contains("CANARY"), "{refused:?}");
        if refused.status == 503 {
            let seconds: u32 = refused.header("Retry-After").parse().expect("seconds");
            assert!((1..=3600).contains(&seconds), "{seconds}");
        }
        assert_state(&scene.app, &key, "Failing", Some(cause));
        let pause = format!("SELECT (coalesce(retry_at, 0) - {now}) / 1000000 FROM grants");
        pauses.push(scene.app.number(&pause));
        // Until then the provider is not asked.
        let asked = scene.refreshes();
        get(&client, &key, 0);
        assert_eq!(scene.refreshes(), asked);
        end_pause(&scene.app.setup, &key);
    }
    tell(&format!("{cause}: pauses of {pauses:?} seconds, {} requests", scene.refreshes()));
    assert!(pauses.iter().all(|pause| (0..=3600).contains(pause)), "{pauses:?}");
    assert_eq!(scene.oracle(&key), (true, before));
    assert!(scene.provider.is_living_leaf(&grant.refresh));
    assert_eq!(scene.provider.sent_twice_at_once(), 0);
    scene.provider.always(None);
    end_pause(&scene.app.setup, &key);
    assert!(scene.provider.is_newest(&access_token(get(&client, &key, 0))));
    assert_state(&scene.app, &key, "Live", None);
    scene.assert_lives(&key);
}

/// CONTRACT 48: consecutive failures are followed by growing pauses.
#[test]
fn pauses_grow() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (_, key) = scene.save(0);
    scene.provider.always(Some(Reply::new(500, "text/plain", "")));
    let mut pauses = Vec::new();
    for _ in 0..10 {
        get(&scene.app.client(), &key, 0).expect(503);
        pauses.push(
            scene.app.number(&format!("SELECT (retry_at - {}) / 1000 FROM grants", Database::NOW)),
        );
        end_pause(&scene.app.setup, &key);
    }
    tell(&format!("pauses of {pauses:?} ms"));
    assert!(pauses[9] > 4 * pauses[0].max(1000), "{pauses:?}");
    // 5 minutes, with some jitter.
    assert!(pauses.iter().all(|pause| *pause <= 400_000), "{pauses:?}");
    scene.assert_lives(&key);
}

/// An unreachable provider spends no refresh token.
#[test]
fn a_provider_that_cannot_be_reached_spends_nothing() {
    let (there, away) = (MockProvider::start(Rules::default()), "http://127.0.0.1:1/token");
    let settings_of = |endpoint: &str| settings(&there, &json!({"token_endpoint": endpoint}));
    let app = knowing(Setup::new(), &[settings_of(away)]).start();
    let grant = there.grant();
    let key = save(&app.client(), &grant, 0);
    get(&app.client(), &key, 0).expect_error(503, "SoUnavailableException", "");
    assert_state(&app, &key, "Failing", Some("network"));
    // The next one is at another address, so it counts as another client.
    app.sql("DELETE FROM grants");
    let app = knowing(app.stop(), &[settings_of(&there.at("/token"))]).start();
    assert!(there.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_lives(&there, &app.setup, &key);
}

/// 429 with `Retry-After`: the record waits as long as the provider says. After the records of three owners got it, all
/// records wait.
#[test]
fn a_provider_that_is_busy_is_left_alone() {
    const RECORDS: usize = 100;
    let scene = Scene::new(Rules::default(), json!({}));
    let owners = ["ann", "bob", "cem", "dan"];
    let clients = owners.map(|owner| {
        scene.app.add_user(owner);
        scene.app.client().with_password(owner, "CANARY-password")
    });
    let records: Vec<(Grant, String, &Client)> = (0..RECORDS)
        .map(|number| {
            let (client, grant) = (&clients[number % owners.len()], scene.provider.grant());
            // Every second one still works for a while.
            let key = save(client, &grant, 3600);
            end_access_in(&scene.app.setup, &key, if number % 2 == 0 { 0 } else { 30 });
            (grant, key, client)
        })
        .collect();
    let busy = Reply::error(429, "slow_down").header("Retry-After", "30");
    scene.provider.always(Some(busy));
    let mut served = 0;
    for (grant, key, client) in &records {
        let answer = get(client, key, 0);
        if answer.status == 200 {
            assert_eq!(access_token(answer), grant.access);
            served += 1;
            continue;
        }
        let refused = answer.expect_error(503, "SoUnavailableException", "");
        let seconds: u32 = refused.header("Retry-After").parse().expect("seconds");
        assert!((1..=36).contains(&seconds), "{seconds}");
    }
    let asked = scene.refreshes();
    tell(&format!("oracle: {asked} requests for {RECORDS} records, {served} served what they had"));
    assert!((3..=8).contains(&asked), "{asked}");
    assert!(records.iter().all(|(grant, ..)| scene.provider.is_living_leaf(&grant.refresh)));
    scene.provider.always(None);
    scene.app.sql("UPDATE provider_states SET retry_at = 0");
    scene.app.sql("UPDATE grants SET retry_at = NULL");
    for (_, key, client) in &records {
        end_access_in(&scene.app.setup, key, -1);
        until("it is served", || {
            scene.app.sql("UPDATE provider_states SET retry_at = 0");
            get(client, key, 0).status == 200
        });
    }
}

/// One caller that saves invalid tokens and reads them again and again does not block the provider for others.
#[test]
fn rubbish_of_one_caller_stops_nobody_else() {
    const READS: usize = 1000;
    for reply in [None, Some(Reply::error(400, "invalid_request")), Some(Reply::error(401, "bad"))]
    {
        let scene = Scene::new(Rules::default(), json!({}));
        scene.app.add_user("mallory");
        let mallory = scene.app.client().with_password("mallory", "CANARY-password");
        let rubbish = Grant { access: "CANARY-x".to_owned(), refresh: "CANARY-y".to_owned() };
        let keys = [0, 1, 2].map(|_| save(&mallory, &rubbish, 0));
        scene.provider.always(reply.clone());
        for read in 0..READS {
            let answer = get(&mallory, &keys[read % keys.len()], 0);
            assert!([424, 502, 503].contains(&answer.status), "{answer:?}");
        }
        let asked = scene.refreshes();
        tell(&format!("oracle: {READS} reads of rubbish made {asked} requests"));
        assert!(asked <= 60, "{asked}");
        scene.provider.always(None);
        let (_, key) = scene.save(0);
        assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), &key, 0))));
        scene.assert_lives(&key);
    }
}

/// A request that takes longer than the deadline is given up, and repeated only after its connection has ended.
#[test]
fn a_provider_that_takes_too_long_is_given_up() {
    for (gate, seconds) in [(Gate::AfterReading, 0), (Gate::AfterProcessing, 3600)] {
        let rules = Rules { grace: Grace::For(Duration::from_secs(3600)), ..Rules::default() };
        let provider = MockProvider::start(rules);
        let settings = settings(&provider, &json!({"replay_within_seconds": seconds}));
        let setup = knowing(Setup::new(), &[settings]).with("GRANTS__DEADLINE_SECONDS", "2");
        let app = setup.with("GRANTS__WAIT_SECONDS", "60").start();
        let grant = provider.grant();
        let key = save(&app.client(), &grant, 0);
        let hold = provider.hold(gate, usize::MAX);
        get(&app.client(), &key, 0).expect_error(503, "SoUnavailableException", "");
        assert_state(&app, &key, "Failing", Some("timeout"));
        let asked = provider.presentations(&grant.refresh);
        assert!(asked == 1 || seconds > 0, "{asked} requests, though it may still be at work");
        // The provider now answers the abandoned request.
        hold.open();
        until("the next reader gets it", || get(&app.client(), &key, 0).status == 200);
        assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
        assert_lives(&provider, &app.setup, &key);
        assert_eq!(provider.max_in_flight(&grant.refresh), 1);
    }
}

/// At a strict provider, the answer to a request that was given up is lost, and the cause reports it.
#[test]
fn an_answer_that_came_too_late_is_named() {
    let provider = MockProvider::start(Rules::default());
    let setup = knowing(Setup::new(), &[settings(&provider, &json!({}))]);
    let app = setup.with("GRANTS__DEADLINE_SECONDS", "2").start();
    let grant = provider.grant();
    let key = save(&app.client(), &grant, 0);
    let hold = provider.hold(Gate::AfterReading, 1);
    get(&app.client(), &key, 0).expect(503);
    hold.open();
    until("it is processed", || !provider.is_living_leaf(&grant.refresh));
    until("the loss is noticed", || get(&app.client(), &key, 0).status == 424);
    assert_state(&app, &key, "Dead", Some("lost_answer"));
    let (lives, _) = oracle(&provider, &app.setup, &key);
    assert!(!lives);
}

/// A provider's own error code that ends a grant, rejects the client or asks for patience, as it is configured.
#[rstest]
#[case::dead(json!({"error": "bad_refresh_token"}), "Dead", Some("invalid_grant"))]
#[case::client(json!({"error": "incorrect_client"}), "Failing", None)]
#[case::busy(json!({"error": "Access Denied"}), "Failing", Some("rate_limited"))]
#[case::not_ok(json!({"ok": false, "error": "token_revoked"}), "Dead", Some("invalid_grant"))]
#[case::not_ok_alone(json!({"ok": false}), "Failing", None)]
#[case::microsoft(
    json!({"error": "invalid_grant", "error_codes": [50173], "error_description": "CANARY-words"}),
    "Dead",
    Some("invalid_grant:50173")
)]
#[case::interaction(json!({"error": "interaction_required"}), "Dead", Some("interaction"))]
fn a_provider_has_its_own_words(
    #[case] body: Value,
    #[case] state: &str,
    #[case] cause: Option<&str>,
    #[values(200, 400)] status: u16,
) {
    let errors = json!({
        "dead": ["bad_refresh_token", "token_revoked"],
        "client": ["incorrect_client"],
        "busy": ["Access Denied"],
        "ok_field": "ok",
    });
    let scene = Scene::new(Rules::default(), json!({ "errors": errors }));
    let (_, key) = scene.save(0);
    scene.provider.always(Some(Reply::json(status, &body)));
    let refused = get(&scene.app.client(), &key, 0);
    assert!([424, 502, 503].contains(&refused.status), "{refused:?}");
    assert_eq!(refused.status == 424, state == "Dead", "{refused:?}");
    assert!(!refused.body.contains("CANARY-words"), "{refused:?}");
    let described = describe(&scene.app, &key);
    assert_eq!(described["GrantState"], state, "{described}");
    if cause.is_some() {
        assert_eq!(described["Cause"].as_str(), cause, "{described}");
    }
    let (lives, _) = scene.oracle(&key);
    assert!(lives, "the provider only said so");
    // A later success counts after every verdict.
    scene.provider.always(None);
    end_pause(&scene.app.setup, &key);
    assert!(scene.provider.is_newest(&access_token(get(&scene.app.client(), &key, 0))));
    assert_state(&scene.app, &key, "Live", None);
}
