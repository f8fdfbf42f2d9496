//! Several servers on one database, with the same master key.

use std::{collections::HashSet, fs, sync::Barrier, thread, time::Duration};

use serde_json::json;

use crate::{
    records::idempotency::save_once,
    support::{
        app::{Setup, TestApp, until},
        client::to_save,
        load::{Random, Record},
        master_keys::record,
        outage::{save_during, wait_for_saves},
    },
};

/// The setup of another server on the same database, with the same keys.
pub(crate) fn beside(setup: &Setup) -> Setup {
    let url = setup.database().url().expect("its URL");
    let keys = setup.data().join("keys");
    let keys = keys.to_str().expect("UTF-8");
    Setup::new().with("DATABASE__URL", &url).with("KEYS__DIRECTORY", keys)
}

/// Both servers have each save at once, under load. If one is killed, the other goes on.
#[test]
fn two_servers_share_a_database() {
    let mut first = TestApp::new();
    let second = beside(&first.setup).start();
    let record = Record::default();
    save_during(&[&first.url.clone(), &second.url], &record, || {
        for (one, other) in [(&first, &second), (&second, &first)].repeat(25) {
            let key = one.client().save(&json!({"Provider": "et", "AccessToken": "CANARY-here"}));
            assert_eq!(other.client().access_token(&key).as_deref(), Some("CANARY-here"));
        }
        wait_for_saves(&record, 500);
        first.kill();
        wait_for_saves(&record, 500);
    });
    record.assert_kept(&second);
    record.assert_kept(&first.setup.start());
}

/// CONTRACT 39: a record that was revoked by one server is gone on the other at once, and so is an expired one.
#[test]
fn what_one_server_revokes_the_other_has_no_more() {
    let first = TestApp::new();
    let second = beside(&first.setup).start();
    for (one, other) in [(&first, &second), (&second, &first)].repeat(50) {
        let key = one.client().save(&json!({"Provider": "et", "AccessToken": "CANARY-here"}));
        assert_eq!(other.client().access_token(&key).as_deref(), Some("CANARY-here"));
        assert!(one.client().revoke(&json!({ "Key": key })));
        assert!(other.client().get(&key).is_null());
        assert!(!other.client().revoke(&json!({ "Key": key })));
        assert!(other.client().describe(&json!({ "Key": key }))["Ended"].is_string());
    }
    for (one, other) in [(&first, &second), (&second, &first)].repeat(5) {
        let key = one.client().save(&json!({"Provider": "et", "AccessToken": "CANARY-here"}));
        assert_eq!(other.client().access_token(&key).as_deref(), Some("CANARY-here"));
        first.sql("UPDATE external_tokens SET expires = created WHERE ended IS NULL");
        assert!(one.client().get(&key).is_null() && other.client().get(&key).is_null());
    }
}

/// Two servers end the same records at the same time, in opposite orders, without a deadlock. PostgreSQL would break a
/// deadlock after a second, and roll back the whole batch.
#[test]
fn servers_never_wait_for_each_other_in_a_circle() {
    let first = TestApp::new();
    let second = beside(&first.setup).start();
    let save = || first.client().save(&json!({"Provider": "et", "AccessToken": "CANARY-here"}));
    let (held, keys) = ([save(), save()], Vec::from_iter((0..100).map(|_| save())));
    first.sql("UPDATE external_tokens SET expires = created");
    let [one, other] = held.each_ref().map(|key| record(key));
    let assert_null = |app: &TestApp, key: &str| assert!(app.client().get(key).is_null());
    thread::scope(|scope| {
        scope.spawn(|| {
            first.setup.database().sql(&format!(
                "BEGIN; SELECT id FROM external_tokens WHERE id IN ({one}, {other}) FOR UPDATE;
                 SELECT pg_sleep(3); COMMIT"
            ))
        });
        first.setup.database().wait_for_sleeper();
        // Both writers wait, and the records that are found meanwhile form one batch for each server.
        scope.spawn(|| assert_null(&first, &held[0]));
        scope.spawn(|| assert_null(&second, &held[1]));
        thread::sleep(Duration::from_millis(500));
        for (up, down) in keys.iter().zip(keys.iter().rev()) {
            scope.spawn(|| assert_null(&first, up));
            scope.spawn(|| assert_null(&second, down));
            thread::sleep(Duration::from_millis(5));
        }
    });
    for app in [&first, &second] {
        assert!(!app.log().contains("committing one by one"), "{}", app.log());
    }
}

/// A change by one server counts for the other at once, although it has cached the login.
#[test]
fn what_one_server_refuses_the_other_refuses() {
    let first = TestApp::new();
    let second = beside(&first.setup).start();
    first.add_user("ann");
    let of = |app: &TestApp| app.client().with_password("ann", "CANARY-password");
    let ticket = first.ticket("ann");
    let by_ticket = second.client().with_authorization(Some(&format!("SoTicket {ticket}")));
    for _ in 0..2 {
        of(&first).who(&[]).expect(200);
        of(&second).who(&[]).expect(200);
        by_ticket.who(&[]).expect(200);
    }
    first.admin(&["user", "disable", "ann"]);
    of(&second).who(&[]).expect(401);
    by_ticket.who(&[]).expect(401);
    of(&first).who(&[]).expect(401);
}

/// Two servers start for the first time at once, on an empty database and with one folder for keys. Each of them runs
/// or reports why not. There is one master key, and the printed password works.
#[test]
fn two_first_starts_at_once_make_one_master_key() {
    for _ in 0..5 {
        let one = Setup::new().with("PROFILE", "production");
        let other = beside(&one).with("PROFILE", "production");
        fs::create_dir(one.data()).expect("folder");
        let barrier = Barrier::new(2);
        let start = |setup: &Setup| {
            barrier.wait();
            setup.try_start()
        };
        let started = thread::scope(|scope| {
            let running = [&one, &other].map(|setup| scope.spawn(move || start(setup)));
            running.map(|start| start.join().expect("no panic"))
        });
        for refusal in started.iter().filter_map(|start| start.as_ref().err()) {
            assert!(refusal.contains("latchkey: cannot use the database"), "{refusal}");
        }
        let apps: Vec<TestApp> = started.into_iter().flatten().collect();
        assert!(!apps.is_empty(), "both refused");
        assert!(one.key_file().exists());
        assert_eq!(one.database().number("SELECT count(*) FROM keks"), 1);
        assert_eq!(one.database().number("SELECT count(*) FROM users"), 1);
        let password = |app: &TestApp| {
            if app.greeting.contains("Another server was faster") {
                return None;
            }
            let line = app.greeting.lines().find(|line| line.starts_with("First user: "))?;
            Some(line.strip_prefix("First user: admin, password: ")?.to_owned())
        };
        let passwords: Vec<String> = apps.iter().filter_map(password).collect();
        assert!(!passwords.is_empty(), "nobody can sign in");
        drop(apps);
        for setup in [&one, &other] {
            let app = setup.start();
            for password in &passwords {
                app.client().with_password("admin", password).who(&[]).expect(200);
            }
        }
    }
}

/// The server that made the master key's file is slower than another server that uses the file. The key belongs to the
/// database, and stays.
#[test]
fn a_master_key_that_another_server_took_up_is_kept() {
    let one = Setup::new();
    let other = beside(&one);
    one.run(&["migrate"], "").expect("migrated");
    one.database().sql(
        "CREATE SEQUENCE turn;
         CREATE FUNCTION delay() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN IF nextval(''turn'') = 1 THEN PERFORM pg_sleep(2); END IF; RETURN NEW; END';
         CREATE TRIGGER delay BEFORE INSERT ON keks FOR EACH ROW EXECUTE FUNCTION delay();
         GRANT ALL ON SEQUENCE turn TO PUBLIC;",
    );
    let keys = one.data().join("keys");
    let has_key = || fs::read_dir(&keys).is_ok_and(|mut files| files.next().is_some());
    let (slow, fast) = thread::scope(|scope| {
        let slow = scope.spawn(|| one.start());
        until("there is a key file", has_key);
        (other.start(), slow.join().expect("it starts too"))
    });
    let key = fast.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    assert_eq!(slow.client().access_token(&key).as_deref(), Some("fugit"));
    drop((slow, fast));
    assert_eq!(one.start().client().access_token(&key).as_deref(), Some("fugit"));
}

/// CONTRACT 42: one save that 100 clients repeat to three servers at once is one record, and all clients get its key.
#[test]
fn a_save_that_is_sent_to_many_servers_at_once_is_one() {
    let first = TestApp::new();
    let servers = [beside(&first.setup).start(), beside(&first.setup).start(), first];
    for round in 0..5 {
        let (header, body) = (format!("CANARY-round-{round:08}"), to_save("CANARY-once"));
        let barrier = Barrier::new(100);
        let keys: HashSet<String> = thread::scope(|scope| {
            let clients = (0..100).map(|number| {
                let (client, barrier) = (servers[number % 3].client(), &barrier);
                let (header, body) = (&header, &body);
                scope.spawn(move || {
                    client.who(&[]).expect(200);
                    barrier.wait();
                    save_once(&client, header, body).expect(200).key()
                })
            });
            let clients: Vec<_> = clients.collect();
            clients.into_iter().map(|client| client.join().expect("no panic")).collect()
        });
        assert_eq!(keys.len(), 1, "in round {round}");
        assert_eq!(servers[2].saved_rows(), round + 1);
    }
}

/// Servers whose batches reserve the same headers in different orders do not deadlock.
#[test]
fn saves_in_different_orders_do_not_hold_each_other_up() {
    const HEADERS: usize = 60;
    let first = TestApp::new();
    let servers = [beside(&first.setup).start(), beside(&first.setup).start(), first];
    let mut random = Random::new();
    let answers: Vec<(usize, String)> = thread::scope(|scope| {
        let clients = (0..48).map(|number| {
            let (client, mut random) = (servers[number % 3].client(), random.split());
            scope.spawn(move || {
                let mut headers: Vec<usize> = (0..HEADERS).collect();
                let mut keys = Vec::new();
                while !headers.is_empty() {
                    let header = headers.swap_remove(random.below(headers.len()));
                    let text = format!("CANARY-header-{header:08}");
                    let body = to_save(&format!("CANARY-{header}"));
                    keys.push((header, save_once(&client, &text, &body).expect(200).key()));
                }
                keys
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect()
    });
    assert_eq!(answers.into_iter().collect::<HashSet<_>>().len(), HEADERS);
    assert_eq!(servers[2].saved_rows(), HEADERS);
    for server in &servers {
        assert!(!server.log().contains("one by one"), "{}", server.log());
    }
}
