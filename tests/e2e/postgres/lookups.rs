//! The look-ups of many callers at the same time need few statements.

use std::{fs, sync::Barrier, thread, time::Duration};

use crate::{
    postgres::{cluster::Cluster, database::programs},
    support::app::{Setup, until},
};

/// Callers that arrive while both read connections are busy are looked up in a batch. A batch reads their credentials,
/// and the applications that they name or that their tokens were made for.
#[test]
fn what_each_call_looks_up_is_looked_up_together() {
    const CALLERS: usize = 48;
    let Some(programs) = programs("look-ups that are counted") else { return };
    let cluster = Cluster::start(&programs, &["log_statement = all", "fsync = off"]);
    let url = cluster.create_database("latchkey");
    let setup = Setup::new().with("DATABASE__URL", &url).with("INSTALLATION", "online");
    let app = setup.with("ONLINE__USER_AGENT", "*").start();
    let token = app.admin(&["app", "add", "crm-sync"]);
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let named = app.client().with_authorization(Some(&ticket));
    let headers = [("SO-AppToken", token.as_str())];
    let made = named.request("GET", "/api/v1/User/currentToken", &headers, b"").key();
    let made_for = app.client().with_authorization(Some(&format!("Bearer {made}")));
    for (client, headers) in [(&named, &headers[..]), (&made_for, &[])] {
        client.who(headers).expect(200);
        let count = |table: &str| {
            let log = fs::read_to_string(cluster.log()).expect("log");
            let looks = |line: &&str| {
                line.contains("SELECT") && line.contains(&format!("FROM \"{table}\""))
            };
            log.lines().filter(looks).count()
        };
        let before = count("applications");
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        let barrier = Barrier::new(CALLERS + 1);
        thread::scope(|scope| {
            scope.spawn(|| {
                cluster.sql(
                    "latchkey",
                    "BEGIN; LOCK TABLE applications IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT",
                )
            });
            let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
                          AND relation = 'applications'::regclass";
            until("it is locked", || cluster.sql("latchkey", locked) == "1");
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    let client = client.clone();
                    barrier.wait();
                    client.who(headers).expect(200);
                });
            }
            barrier.wait();
            until("some wait", || cluster.sql("latchkey", waiting) != "0");
            thread::sleep(Duration::from_millis(500));
        });
        let statements = count("applications") - before;
        assert!(statements > 0 && statements <= CALLERS / 2, "{statements} for {CALLERS} calls");
    }
}
