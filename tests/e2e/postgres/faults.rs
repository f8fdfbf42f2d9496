//! PostgreSQL is killed, restarted, failed over and cut off under load. No acknowledged save is lost. Other calls are
//! rejected in time, and the server recovers without a restart.
//!
//! Invariant: these servers have a PostgreSQL of their own, which writes through to its disk.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    postgres::{cluster::Cluster, database::programs, proxy::Proxy},
    support::{
        app::{Setup, TestApp, until},
        load::Record,
        outage::{save_during, wait_for_refusals, wait_for_saves},
    },
};

/// The time within which every call must be answered, at any fault of the database.
const BOUND: Duration = Duration::from_secs(15);
/// The time within which saves must be acknowledged again after the database is back.
const RECOVERY: Duration = Duration::from_secs(10);

/// A PostgreSQL of its own, with a database `latchkey`.
fn cluster(test: &str) -> Option<Cluster> {
    let cluster = Cluster::start(&programs(test)?, &[]);
    cluster.create_database("latchkey");
    Some(cluster)
}

fn on(url: &str) -> TestApp {
    Setup::new().with("DATABASE__URL", url).start()
}

/// Asserts that calls are rejected, that `/readyz` reports it, and that `/healthz` does not.
fn assert_unavailable(app: &TestApp, record: &Record) {
    wait_for_refusals(record, 10);
    let begun = Instant::now();
    let answer = app.client().post("GetExternalTokens", &json!({ "Key": "lk_CANARY" }));
    let answer = answer.expect_error(503, "SoUnavailableException", "");
    assert_ne!(answer.header("Retry-After"), "");
    assert!(begun.elapsed() < BOUND, "a get took {:?}", begun.elapsed());
    let begun = Instant::now();
    while app.client().request("GET", "/readyz", &[], b"").status != 503 {
        assert!(begun.elapsed() < BOUND, "it says that it is ready");
    }
    assert_alive(app);
}

fn assert_alive(app: &TestApp) {
    let begun = Instant::now();
    app.client().request("GET", "/healthz", &[], b"").expect(200);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// Asserts that saves are acknowledged again soon, and that the server is ready.
fn assert_recovered(app: &TestApp, record: &Record) {
    let begun = Instant::now();
    wait_for_saves(record, 1);
    assert!(begun.elapsed() < RECOVERY, "it took {:?}", begun.elapsed());
    wait_for_saves(record, 200);
    until("it says that it is ready", || {
        app.client().request("GET", "/readyz", &[], b"").status == 200
    });
}

/// SIGKILL for all of PostgreSQL's processes, and a new start.
#[test]
fn a_killed_database_loses_nothing() {
    let Some(cluster) = cluster("a database that is killed") else { return };
    let app = on(&cluster.url("latchkey"));
    let record = Record::of_long_tokens(500);
    let slowest = save_during(&[&app.url], &record, || {
        for _ in 0..2 {
            wait_for_saves(&record, 500);
            cluster.kill();
            assert_unavailable(&app, &record);
            cluster.resume();
            assert_recovered(&app, &record);
        }
    });
    record.assert_kept(&app);
    assert!(slowest < BOUND, "{slowest:?}");
}

/// An orderly restart, as an update does it. PostgreSQL ends each session.
#[test]
fn a_restarted_database_loses_nothing() {
    let Some(cluster) = cluster("a database that is restarted") else { return };
    let app = on(&cluster.url("latchkey"));
    let record = Record::of_long_tokens(500);
    let slowest = save_during(&[&app.url], &record, || {
        for _ in 0..3 {
            wait_for_saves(&record, 500);
            cluster.restart();
            assert_recovered(&app, &record);
        }
        cluster.stop("fast");
        assert_unavailable(&app, &record);
        cluster.resume();
        assert_recovered(&app, &record);
    });
    record.assert_kept(&app);
    assert!(slowest < BOUND, "{slowest:?}");
}

/// The primary is killed and its standby is promoted: the server finds the new primary.
#[test]
fn a_failover_loses_nothing() {
    let Some(primary) = cluster("a failover") else { return };
    let standby = primary.synchronous_standby();
    let app = on(&primary.url_with(&standby, "latchkey"));
    let record = Record::of_long_tokens(500);
    let slowest = save_during(&[&app.url], &record, || {
        wait_for_saves(&record, 500);
        primary.kill();
        assert_unavailable(&app, &record);
        standby.promote();
        assert_recovered(&app, &record);
    });
    record.assert_kept(&app);
    assert!(slowest < BOUND, "{slowest:?}");
}

/// A commit that the standby does not confirm is not acknowledged, even if the wait for it is cancelled. In that case
/// PostgreSQL reports success.
#[test]
fn what_the_standby_does_not_confirm_is_not_acknowledged() {
    let Some(primary) = cluster("a standby that confirms nothing") else { return };
    // The server overrides the default of the role.
    primary.sql("postgres", "ALTER ROLE latchkey SET synchronous_commit = off");
    let standby = primary.synchronous_standby();
    let app = on(&primary.url_with(&standby, "latchkey"));
    let record = Record::of_long_tokens(500);
    let slowest = save_during(&[&app.url], &record, || {
        for is_last in [false, true] {
            wait_for_saves(&record, 500);
            standby.signal_receiver("STOP");
            wait_for_refusals(&record, 1);
            let acknowledged = record.acknowledged();
            // Every connection at least once.
            wait_for_refusals(&record, 100);
            assert_eq!(record.acknowledged(), acknowledged);
            assert_alive(&app);
            if is_last {
                break;
            }
            standby.signal_receiver("CONT");
            assert_recovered(&app, &record);
        }
        primary.kill();
        // The standby loses the data that the network had delivered and it had not read.
        standby.kill();
        standby.resume();
        standby.promote();
        assert_recovered(&app, &record);
    });
    record.assert_kept(&app);
    assert!(slowest < BOUND, "{slowest:?}");
}

/// The network is silent for 30 seconds: connections stay open, and no data arrives.
#[test]
fn a_silent_network_is_survived() {
    let Some(cluster) = cluster("a silent network") else { return };
    let proxy = Proxy::to(cluster.address());
    let app = on(&cluster.url("latchkey").replace(&cluster.address(), &proxy.address()));
    let record = Record::of_long_tokens(500);
    let slowest = save_during(&[&app.url], &record, || {
        wait_for_saves(&record, 500);
        proxy.cut(true);
        let begun = Instant::now();
        assert_unavailable(&app, &record);
        while begun.elapsed() < Duration::from_secs(30) {
            assert_alive(&app);
            thread::sleep(Duration::from_millis(100));
        }
        proxy.cut(false);
        assert_recovered(&app, &record);
    });
    record.assert_kept(&app);
    assert!(slowest < BOUND, "{slowest:?}");
}

/// The primary goes silent instead of rejecting connections: the server gives it up, and finds the next host.
#[test]
fn a_failover_from_a_silent_primary_loses_nothing() {
    let Some(primary) = cluster("a primary that goes silent") else { return };
    let standby = primary.synchronous_standby();
    let proxy = Proxy::to(primary.address());
    let url = primary.url_with(&standby, "latchkey");
    let app = on(&url.replace(&primary.address(), &proxy.address()));
    let record = Record::of_long_tokens(500);
    let slowest = save_during(&[&app.url], &record, || {
        wait_for_saves(&record, 500);
        proxy.cut(true);
        wait_for_refusals(&record, 1);
        primary.kill();
        standby.promote();
        assert_recovered(&app, &record);
    });
    record.assert_kept(&app);
    assert!(slowest < BOUND, "{slowest:?}");
}

/// A problem with the database stops the start. The message names it, without the password.
#[test]
fn without_its_database_the_server_does_not_start() {
    let Some(cluster) = cluster("a database that is away") else { return };
    let refused = |url: &str, said: &str| {
        let refusal = Setup::new().with("DATABASE__URL", url).refusal();
        assert!(refusal.contains("cannot use the database"), "{refusal}");
        assert!(refusal.contains(said), "{refusal}");
    };
    let url = cluster.url("latchkey");
    refused(&url.replace("CANARY-database", "CANARY"), "password");
    refused(&cluster.url("nothing"), "nothing");
    cluster.stop("fast");
    refused(&url, &cluster.address());
}
