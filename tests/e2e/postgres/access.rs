//! The rights, the encoding and the connections that PostgreSQL grants a server. If one is missing, the error says how
//! to fix it.

use serde_json::json;

use crate::support::{
    app::{Setup, TestApp, until},
    client::to_save,
    load::Record,
    outage::{save_during, wait_for_refusals, wait_for_saves},
};

/// A new role on the database of a setup: its name, and the setup with its URL.
fn guest(setup: Setup) -> (String, Setup) {
    let database = setup.database().text("SELECT current_database()");
    let name = format!("guest_of_{database}");
    // Roles belong to the cluster, and outlive the database.
    setup.database().query(&format!("CREATE ROLE {name} LOGIN PASSWORD 'CANARY-database'"));
    let url = setup.database().url().expect("its URL");
    let url = url.replace("postgres://latchkey:", &format!("postgres://{name}:"));
    (name, setup.with("DATABASE__URL", &url))
}

/// Since version 15, PostgreSQL does not let a role make tables in `public` by default.
#[test]
fn a_role_that_may_not_create_is_refused_at_once_and_works_once_there_are_tables() {
    let owner = Setup::new();
    let (name, guest) = guest(owner.clone());
    let Err(log) = guest.try_start() else { panic!("it started") };
    assert!(log.contains("grant CREATE on the schema to this role"), "{log}");
    assert!(log.contains("make it the owner of the database"), "{log}");
    assert!(!log.contains("trying the migrations again") && !log.contains("disk"), "{log}");

    owner.run(&["migrate"], "").expect("migrated");
    let refusal = guest.refusal();
    assert!(refusal.contains("grant this role what it lacks"), "{refusal}");
    let grant =
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}");
    owner.database().query(&grant);
    for auto_migrate in ["false", "true"] {
        let app = guest.clone().with("DATABASE__AUTO_MIGRATE", auto_migrate).start();
        let key = app.client().save(&json!({"Provider": "et", "AccessToken": "CANARY-here"}));
        assert_eq!(app.client().access_token(&key).as_deref(), Some("CANARY-here"));
        assert!(app.client().revoke(&json!({ "Key": key })));
    }
}

/// A database with an encoding that lacks characters is rejected, because saves with these characters would fail.
#[test]
fn a_database_of_another_encoding_is_refused() {
    let setup = Setup::new();
    let name = setup.database().text("SELECT 'latin_' || current_database()");
    for encoding in ["LATIN1", "SQL_ASCII"] {
        setup.database().query(&format!(
            "CREATE DATABASE {name} OWNER latchkey ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        ));
        let url = setup.database().url().expect("its URL");
        let url = format!("{}/{name}", url.rsplit_once('/').expect("a path").0);
        let setup = setup.clone().with("DATABASE__URL", &url);
        for refusal in [setup.refusal(), setup.run(&["verify"], "").expect_err("it is refused")] {
            assert!(refusal.contains(encoding) && refusal.contains("ENCODING 'UTF8'"), "{refusal}");
        }
        setup.database().query(&format!("DROP DATABASE {name}"));
    }
}

/// If PostgreSQL rejects one save because of its data, only that save fails, and the client is not asked to retry.
#[test]
fn refused_data_is_no_outage() {
    let app = TestApp::new();
    app.setup.database().query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.provider = 'odd' THEN RAISE EXCEPTION 'refused' USING ERRCODE = '22021'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON external_tokens
             FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let record = Record::default();
    save_during(&[&app.url], &record, || {
        for _ in 0..20 {
            let odd = json!({"TokenManagementInfo": {"Provider": "odd", "AccessToken": "CANARY"}});
            app.client().post("SaveExternalTokens", &odd).expect(500);
        }
        wait_for_saves(&record, 10);
    });
    assert_eq!(record.refused() + record.cut_off(), 0, "others are saved");
    assert!(!app.log().contains("the database is unavailable"), "{}", app.log());
    for text in ["a\u{0}b", "\u{1F600}", "\u{FFFF}"] {
        let odd = json!({"TokenManagementInfo": {"Provider": text, "AccessToken": "CANARY"}});
        let status = app.client().post("SaveExternalTokens", &odd).status;
        assert!(status == 200 || status == 400, "{text:?}: {status}");
        let status = app.client().post_records("List", &json!({ "Provider": text })).status;
        assert!(status == 200 || status == 400, "{text:?}: {status}");
    }
}

/// The server opens at most the configured number of connections, at any load.
#[test]
fn a_server_takes_as_many_connections_as_it_is_allowed() {
    for connections in ["2", "6"] {
        let setup = Setup::new().with("DATABASE__CONNECTIONS", connections);
        let app = setup.start();
        let record = Record::default();
        let count = "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'latchkey'";
        let allowed: i64 = connections.parse().expect("a number");
        save_during(&[&app.url], &record, || {
            for _ in 0..20 {
                wait_for_saves(&record, 10);
                assert!(app.number(count) <= allowed, "{connections}");
            }
            until("all of them are used", || {
                app.client().post("GetExternalTokens", &json!({ "Key": null }));
                app.number(count) >= 2
            });
        });
        record.assert_kept(&app);
        assert!(!app.log().contains("ERROR"), "{}", app.log());
    }
    for wrong in ["1", "0", "65", "many"] {
        let refusal = Setup::new().with("DATABASE__CONNECTIONS", wrong).refusal();
        assert!(refusal.contains("database.connections"), "{refusal}");
    }
}

/// If PostgreSQL has no free connection, a start fails with that reason. A running server rejects calls until there is
/// one.
#[test]
fn a_server_without_connections_says_so_and_recovers() {
    let (name, setup) = guest(Setup::new());
    let database = setup.database().text("SELECT current_database()");
    setup.database().query(&format!("ALTER DATABASE {database} OWNER TO {name}"));
    setup.database().query(&format!("GRANT ALL ON SCHEMA public TO {name}"));
    let limit = |count: i32| {
        setup.database().query(&format!("ALTER ROLE {name} CONNECTION LIMIT {count}"));
    };
    for count in [0, 1] {
        limit(count);
        let refusal = setup.refusal();
        assert!(refusal.contains("it has no connection left for this server"), "{refusal}");
        assert!(refusal.contains("max_connections"), "{refusal}");
    }
    limit(-1);
    let app = setup.start();
    let record = Record::default();
    save_during(&[&app.url], &record, || {
        wait_for_saves(&record, 50);
        limit(0);
        let end = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{name}'"
        );
        setup.database().query(&end);
        wait_for_refusals(&record, 50);
        let refused = app.client().post("SaveExternalTokens", &to_save("CANARY"));
        refused.expect_error(503, "SoUnavailableException", "");
        limit(-1);
        wait_for_saves(&record, 50);
    });
    record.assert_kept(&app);
}
