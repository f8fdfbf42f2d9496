//! Starting: the first time with nothing prepared, again, and not at all.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use diesel::{RunQueryDsl as _, connection::SimpleConnection as _, sql_query};
use rstest::rstest;
use serde_json::json;

use crate::{
    app::{Setup, TestApp},
    parts::{has, leave_out},
};

fn carrier() -> serde_json::Value {
    json!({"Provider": "et", "AccessToken": "fugit"})
}

#[test]
fn the_first_start_prepares_everything_for_its_owner_alone() {
    let app = TestApp::new();
    let mode = |path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    let data = app.setup.data();
    assert_eq!(mode(data.clone()), 0o700);
    assert_eq!(mode(data.join("keys")), 0o700);
    assert_eq!(mode(app.setup.key_file()), 0o600);
    for file in ["latchkey.db", "latchkey.db-wal", "latchkey.db.lock"] {
        assert_eq!(mode(data.join(file)), 0o600, "{file}");
    }
    assert_eq!(fs::read(app.setup.key_file()).expect("key").len(), 32);
    assert!(app.greeting.contains("User: tje0, password: Tje0 (the sample login"));
    assert!(app.greeting.contains("Database: data/latchkey.db, master key: data/keys\n"));
}

/// The line that the greeting prints works as printed.
#[test]
fn the_printed_curl_line_works() {
    if !has("curl") {
        return leave_out("the printed curl line", "curl");
    }
    let app = TestApp::new();
    let line = app.greeting.lines().find(|line| line.starts_with("curl ")).expect("a curl line");
    let output = Command::new("sh").args(["-c", line]).output().expect("sh");
    let key: String = serde_json::from_slice(&output.stdout).expect("a key");
    let got = app.client().get(&key);
    assert_eq!(
        (got["Provider"].as_str(), got["AccessToken"].as_str()),
        (Some("et"), Some("fugit"))
    );
    assert_eq!(got["RefreshToken"], "odit");
}

#[test]
fn outside_development_a_password_is_generated_and_shown_once() {
    let app = Setup::new().with("PROFILE", "production").start();
    let line = app.greeting.lines().find(|line| line.starts_with("First user: ")).expect("a user");
    let password = line.strip_prefix("First user: admin, password: ").expect("its password");
    app.client().post("GetExternalTokens", &json!({})).expect(401);
    let body = json!({ "TokenManagementInfo": carrier() }).to_string();
    let saved = Command::new("curl")
        .args(["-s", "-u", &format!("admin:{password}"), "-H", "Content-Type: application/json"])
        .args(["-d", &body, &format!("{}/api/v1/Agents/User/SaveExternalTokens", app.url)])
        .output();
    match saved {
        Ok(output) => assert!(output.stdout.starts_with(b"\"lk_"), "{output:?}"),
        Err(_) => leave_out("the generated password", "curl"),
    }
    assert!(!app.log().contains(password));
    let again = app.stop().start();
    assert!(!again.greeting.contains("password"), "{}", again.greeting);
}

#[test]
fn a_second_server_on_the_same_database_is_refused() {
    let app = TestApp::new();
    let key = app.client().save(&carrier());
    let refusal = app.setup.refusal();
    assert!(refusal.contains("another server is using the database"), "{refusal}");
    let migrate = app.setup.clone().arguments(&["migrate"]).refusal();
    assert!(migrate.contains("another server is using the database"), "{migrate}");
    let link = app.setup.folder().join("link");
    std::os::unix::fs::symlink(app.setup.data().join("latchkey.db"), link).expect("link");
    let linked = app.setup.clone().with("DATABASE__URL", "sqlite:link").refusal();
    assert!(linked.contains("another server is using the database"), "{linked}");
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address").to_string();
    let setup = Setup::new().with("SERVER__LISTEN", &address);
    let refusal = setup.refusal();
    let said = format!("cannot listen on server.listen = \"{address}\": Address already in use");
    assert!(refusal.contains(&said), "{refusal}");
    assert!(refusal.ends_with("stop what is using it, or take another port"), "{refusal}");
    assert!(!setup.data().exists());
}

/// A master key that is missing, short, wrong, weak or exposed stops the start with the file's name
/// and what to do, and changes nothing.
#[test]
fn without_the_right_master_key_there_is_no_start() {
    let app = TestApp::new();
    let key = app.client().save(&carrier());
    let setup = app.stop();
    let (file, database) = (setup.key_file(), setup.data().join("latchkey.db"));
    let (right, before) = (fs::read(&file).expect("key"), fs::read(&database).expect("database"));
    let other: Vec<u8> = right.iter().map(|byte| byte ^ 1).collect();
    let refused = |said: &str| {
        let refusal = setup.refusal();
        assert!(refusal.contains(said), "{refusal}");
        assert!(refusal.contains("cannot use the database data/latchkey.db: "), "{refusal}");
        assert!(refusal.contains(file.file_name().and_then(|f| f.to_str()).expect("name")));
        assert!(fs::read(&database).expect("database") == before, "{said}: it was changed");
    };

    fs::write(&file, other).expect("write");
    refused("is not the master key that the database is sealed under; restore the right file");
    fs::write(&file, &right[..31]).expect("write");
    refused("is no master key: it has 31 bytes and must have 32 random ones");
    fs::write(&file, [right.as_slice(), b"\n"].concat()).expect("write");
    refused("is no master key: it has 33 bytes");
    fs::write(&file, [0; 32]).expect("write");
    refused("is no master key");
    fs::write(&file, b"").expect("write");
    refused("is no master key: it has 0 bytes");
    fs::write(&file, &right).expect("write");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("chmod");
    refused("can be read by other users; run `chmod 600`");
    fs::remove_file(&file).expect("remove");
    refused("is missing; restore that file from its backup");
    let migrate = setup.clone().arguments(&["migrate"]).refusal();
    assert!(migrate.contains("is missing; restore that file"), "{migrate}");
    assert!(!file.exists(), "no new key was made in its place");

    fs::write(&file, &right).expect("write");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("chmod");
    let app = setup.start();
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
}

/// A first start that was cut short after it made its key is taken up; of two keys none is guessed.
#[test]
fn a_key_without_a_database_is_used() {
    let setup = Setup::new();
    let keys = setup.data().join("keys");
    fs::create_dir_all(&keys).expect("folder");
    let write = |name: &str| {
        let path = keys.join(name);
        fs::write(&path, (0..32).collect::<Vec<u8>>()).expect("write");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
        path
    };
    let own = write("kek-0123456789abcdef.key");
    let second = write("kek-fedcba9876543210.key");
    let refusal = setup.refusal();
    assert!(refusal.contains("holds more than one master key"), "{refusal}");
    fs::remove_file(second).expect("remove");
    let app = setup.start();
    app.client().save(&carrier());
    assert_eq!(app.setup.key_file(), own);
}

#[test]
fn a_database_that_is_newer_or_older_is_refused() {
    let app = TestApp::new();
    let key = app.client().save(&carrier());
    let setup = app.stop();
    let alter = |sql: &str| {
        assert_eq!(sql_query(sql).execute(&mut setup.open_database()).expect(sql), 1);
    };
    alter("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')");
    let refusal = setup.refusal();
    assert!(refusal.contains("newer version (migration 99990101000000 is unknown"), "{refusal}");
    let refusal = setup.clone().arguments(&["migrate"]).refusal();
    assert!(refusal.contains("newer version"), "{refusal}");
    alter("DELETE FROM __diesel_schema_migrations WHERE version = '99990101000000'");
    let app = setup.clone().with("DATABASE__AUTO_MIGRATE", "false").start();
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));

    let new = Setup::new().with("DATABASE__AUTO_MIGRATE", "false");
    let refusal = new.refusal();
    assert!(refusal.contains("run `latchkey migrate`"), "{refusal}");
    let told = new.clone().arguments(&["migrate"]).output();
    assert!(told.contains("ran 2026-11-23-140000_create_tables"), "{told}");
    new.start().client().save(&carrier());
}

#[test]
fn a_mistake_in_the_configuration_is_named() {
    let refused = |key: &str, value: &str, said: &str| {
        let setup = Setup::new().with(key, value);
        let refusal = setup.refusal();
        assert!(refusal.contains(said), "{refusal}");
        assert!(!setup.data().exists());
    };
    refused("SERVER__LISTENS", "127.0.0.1:1", "in the environment is not valid: unknown field");
    refused("DATABASE", "postgres://u:CANARY@h/d", "expected struct Database for key `database`");
    refused("LIMITS__BODY_BYTES", "65536", "limits.body_bytes must be more than");
    refused("LIMITS__BODY_SECONDS", "0", "must be at least 1");
    refused("SERVER__LISTEN", "nowhere", "server.listen");
    refused("LIMITS__TOKEN_BYTES", "-1", "limits.token_bytes");
    refused("DATABASE__URL", "postgres://CANARY@localhost/x", "database.url must be `sqlite:`");
    refused("LOG__FILTER", "=,=", "log.filter is not valid");
    refused("PROFILE", "../x", "profile may have only letters");
    refused("DATA_DIRECTORY", "/dev/null/x", "cannot create /dev/null; check the path");
    refused("SERVER__LISTEN", "0.0.0.0:0", "set server.tls, or server.behind_proxy = true");
    let file = Setup::new();
    fs::write(file.folder().join("odd.toml"), "server = { port = 80 }").expect("file");
    let unknown = file.arguments(&["--config", "odd.toml"]).refusal();
    assert!(unknown.contains("in odd.toml is not valid: unknown field `port`"), "{unknown}");
    for broken in ["database.url = 'postgres://u:CANARY@h", "database = 'postgres://u:CANARY@h'"] {
        let file = Setup::new().arguments(&["--config", "broken.toml"]);
        fs::write(file.folder().join("broken.toml"), broken).expect("file");
        let refusal = file.refusal();
        assert!(refusal.contains("line 1") || refusal.contains("`database`"), "{refusal}");
    }
    let missing = Setup::new().arguments(&["--config", "missing.toml"]).refusal();
    assert!(missing.contains("missing.toml"), "{missing}");
}

/// A setting that would be ignored for its underscore is refused.
#[test]
fn a_single_underscore_is_told() {
    let setup = Setup::new().variable("LATCHKEY_SERVER_LISTEN", "127.0.0.1:1");
    let refusal = setup.refusal();
    assert!(refusal.contains("with two underscores, LATCHKEY__SERVER__LISTEN"), "{refusal}");
    // Kubernetes sets such names in every container beside a service that is called `latchkey`.
    Setup::new().variable("LATCHKEY_PORT", "tcp://10.0.0.1:80").start();
}

/// The sample login, which everybody knows, is never where others can reach the server: neither made
/// there nor brought there, behind a proxy or without one.
#[rstest]
#[case::behind_a_proxy("127.0.0.1:0")]
#[case::on_every_address("0.0.0.0:0")]
fn the_sample_login_is_not_exposed(#[case] address: &str) {
    let exposed =
        |setup: Setup| setup.with("SERVER__LISTEN", address).with("SERVER__BEHIND_PROXY", "true");
    let new = exposed(Setup::new());
    let known = exposed(TestApp::new().stop().with("PROFILE", "production"));
    for setup in [&new, &known] {
        let refusal = setup.refusal();
        assert!(refusal.contains("the sample login tje0 would let everybody in"), "{refusal}");
    }
    assert!(!new.data().exists(), "nothing is made");
    let app = new.with("PROFILE", "production").start();
    assert!(app.greeting.contains("First user: admin"));
}

#[test]
fn a_password_that_cannot_be_shown_makes_no_user() {
    let setup = Setup::new().with("PROFILE", "production");
    let full = fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let status = setup.command().stdout(full).stderr(Stdio::null()).status();
    assert_eq!(status.expect("runs").code(), Some(1));
    assert!(setup.start().greeting.contains("First user: admin, password: "));
}

/// A file that is no database, or another program's, is refused and left as it is: its bytes, who may
/// read it, and a write-ahead log that its own program has yet to take up.
#[test]
fn a_foreign_file_in_the_databases_place_is_left_alone() {
    let setup = Setup::new();
    fs::create_dir(setup.data()).expect("folder");
    let file = |name: &str| setup.data().join(name);
    let is_left_alone = || {
        let state = |name: &str| {
            let mode = fs::metadata(file(name)).ok().map(|metadata| metadata.permissions().mode());
            (fs::read(file(name)).ok(), mode)
        };
        let before = (state("latchkey.db"), state("latchkey.db-wal"));
        let refusal = setup.refusal();
        assert!(refusal.contains("it is no database of this server"), "{refusal}");
        assert!(before == (state("latchkey.db"), state("latchkey.db-wal")), "it was changed");
    };
    let open_to_all = |name: &str| {
        fs::set_permissions(file(name), Permissions::from_mode(0o664)).expect("chmod");
    };

    fs::write(file("latchkey.db"), "no database at all, but somebody's own file").expect("file");
    open_to_all("latchkey.db");
    is_left_alone();

    fs::remove_file(file("latchkey.db")).expect("remove");
    let sql = "PRAGMA journal_mode = WAL; CREATE TABLE theirs (id INTEGER);";
    let mut theirs = setup.open_database();
    theirs.batch_execute(sql).expect("their database");
    for name in ["latchkey.db", "latchkey.db-wal"] {
        fs::copy(file(name), file(&format!("{name}.copy"))).expect("copy");
    }
    drop(theirs);
    for name in ["latchkey.db", "latchkey.db-wal"] {
        fs::rename(file(&format!("{name}.copy")), file(name)).expect("as after a crash");
        open_to_all(name);
    }
    is_left_alone();
}

/// A second name for the file would mean a second lock and a second write-ahead log.
#[test]
fn a_database_with_a_hard_link_is_refused() {
    let setup = TestApp::new().stop();
    let link = setup.folder().join("link.db");
    fs::hard_link(setup.data().join("latchkey.db"), &link).expect("link");
    for setup in [setup.clone(), setup.clone().with("DATABASE__URL", "sqlite:link.db")] {
        let refusal = setup.refusal();
        assert!(refusal.contains("it has 2 names (hard links)"), "{refusal}");
    }
    fs::remove_file(link).expect("remove");
    setup.start().client().save(&carrier());
}

/// A restored copy that others can read is taken, and others are shut out of all its files.
#[test]
fn a_database_that_others_can_read_is_closed_to_them() {
    let mut app = TestApp::new();
    let key = app.client().save(&carrier());
    app.kill();
    let files = ["latchkey.db", "latchkey.db-wal", "latchkey.db-shm"];
    for file in files {
        let path = app.setup.data().join(file);
        fs::set_permissions(path, Permissions::from_mode(0o644)).expect("chmod");
    }
    let app = app.setup.start();
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
    for file in files {
        let mode = fs::metadata(app.setup.data().join(file)).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

/// A lock is not taken for damage, which would end in a restored backup.
#[test]
fn a_locked_database_is_told_from_a_damaged_one() {
    let setup = TestApp::new().stop();
    let mut visitor = setup.open_database();
    let lock =
        "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; UPDATE users SET updated = updated";
    visitor.batch_execute(lock).expect("lock");
    let refusal = setup.refusal();
    assert!(refusal.contains("another program has locked it: let that program end"), "{refusal}");
    drop(visitor);

    let database = setup.data().join("latchkey.db");
    let mut bytes = fs::read(&database).expect("database");
    bytes[100..4096].fill(0xff);
    fs::write(&database, bytes).expect("damage");
    let refusal = setup.refusal();
    assert!(refusal.contains("if it is damaged, restore it from its backup"), "{refusal}");
}

/// Defaults, the profile's file, the given file and the environment, each over the one before.
#[test]
fn configuration_comes_in_layers_and_is_shown_without_secrets() {
    let setup = Setup::new().with("PROFILE", "staging").with("LIMITS__BODY_BYTES", "4444");
    fs::create_dir(setup.folder().join("config")).expect("folder");
    fs::write(
        setup.folder().join("config/staging.toml"),
        "data_directory = 'two'\n[limits]\ntoken_bytes = 222\nbody_bytes = 2222\n",
    )
    .expect("profile");
    fs::write(
        setup.folder().join("given.toml"),
        "data_directory = 'three'\n[limits]\nbody_bytes = 3333\n[database]\nurl = 'postgres://u:CANARY@h/d'\n",
    )
    .expect("file");
    let setup = setup.arguments(&["--config", "given.toml", "config"]);
    let shown = setup.clone().arguments(&["show"]).output();
    for line in [
        "profile = \"staging\"",
        "data_directory = \"three\"",
        "token_bytes = 222",
        "body_bytes = 4444",
        "auto_migrate = true",
        "directory = \"three/keys\"",
        "url = \"(set)\"",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in: {shown}");
    }
    assert!(!shown.contains("CANARY"), "{shown}");
    let check = setup.clone().arguments(&["check"]).refusal();
    assert!(check.contains("database.url must be `sqlite:`"), "{check}");
    let check = setup.with("DATABASE__URL", "sqlite:x.db").arguments(&["check"]).output();
    assert!(check.starts_with("the configuration is valid; "), "{check}");
}

/// With `server.tls` the server speaks HTTPS, and the printed line trusts its certificate.
#[test]
fn tls_is_served_from_pem_files() {
    let setup = Setup::new()
        .with("SERVER__TLS__CERTIFICATE", "server.crt")
        .with("SERVER__TLS__KEY", "server.key");
    let refusal = setup.refusal();
    assert!(refusal.contains("cannot read server.tls: server.crt"), "{refusal}");

    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("certificate");
    fs::write(setup.folder().join("server.crt"), made.cert.pem()).expect("write");
    fs::write(setup.folder().join("server.key"), "no key").expect("write");
    let refusal = setup.clone().arguments(&["config", "check"]).refusal();
    assert!(refusal.contains("server.key is no PEM private key"), "{refusal}");
    let refusal = setup.refusal();
    assert!(refusal.contains("server.key is no PEM private key"), "{refusal}");
    fs::write(setup.folder().join("server.key"), made.signing_key.serialize_pem()).expect("write");

    if !has("curl") {
        return leave_out("TLS", "curl");
    }
    let app = setup.start();
    assert!(app.url.starts_with("https://"), "{}", app.url);
    let line = app.greeting.lines().find(|line| line.starts_with("curl ")).expect("a curl line");
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", line]).current_dir(setup.folder()).output().expect("sh");
    assert!(output.stdout.starts_with(b"\"lk_"), "{output:?}");
}
