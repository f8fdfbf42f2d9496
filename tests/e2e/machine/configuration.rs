//! The configuration: its layers, its mistakes, and its listener.

use std::{ffi::OsStr, fs, net::TcpListener, os::unix::ffi::OsStrExt as _, process::Command};

use crate::support::{
    app::Setup,
    parts::{has, leave_out},
};

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
    refused("LIMITS__BODIES_BYTES", "1", "limits.bodies_bytes must be at least limits.body_bytes");
    refused("LIMITS__BODY_SECONDS", "0", "limits.body_seconds must be from 1 to 3600");
    refused("SERVER__CONNECTIONS", "0", "server.connections must be at least 1");
    refused("LIMITS__IDEMPOTENCY_KEYS_PER_USER", "0", "limits.idempotency_keys_per_user must be");
    refused("RECORDS__PER_USER", "0", "records.per_user must be at least 1");
    refused("AUTH__CREDENTIALS_PER_USER", "9", "auth.credentials_per_user must be from 10");
    refused("SERVER__LISTEN", "nowhere", "\"localhost:8080\"");
    refused("SERVER__LISTEN", "http://127.0.0.1:8080", "\"localhost:8080\"");
    refused("SERVER__LISTEN", "nowhere.invalid:1", "the name nowhere.invalid has no address");
    refused("SERVER__LISTEN", ":0", "set server.tls, or server.behind_proxy = true");
    refused("LIMITS__TOKEN_BYTES", "-1", "limits.token_bytes");
    refused("DATABASE__URL", "mysql://CANARY@localhost/x", "database.url must be `sqlite:`");
    refused("RECORDS__EXPIRE_AFTER_DAYS", "0", "records.expire_after_days must be from 1");
    refused("RECORDS__PROVIDERS", "et 30", "records.providers");
    refused("BACKUP__KEEP", "0", "backup.keep must be from 1 to 1000");
    refused("BACKUP__EVERY_HOURS", "8761", "backup.every_hours must be from 1 to 8760");
    refused("LOG__FILTER", "=,=", "log.filter is not valid");
    refused("LOG__FORMAT", "xml", "log.format");
    refused("LOG__BUFFER_BYTES", "65535", "log.buffer_bytes must be from 65536 to 1073741824");
    refused("SERVER__TLS_RELOAD_SECONDS", "0", "server.tls_reload_seconds must be at least 1");
    refused("SERVER__DRAIN_SECONDS", "3601", "server.drain_seconds must be at most 3600");
    refused("METRICS__LISTEN", "9464", "such as \"127.0.0.1:8080\"");
    refused(
        "METRICS__LISTEN",
        "nowhere.invalid:1",
        "metrics.listen = \"nowhere.invalid:1\": the name",
    );
    refused("METRICS__COUNT_SECONDS", "0", "metrics.count_seconds must be from 1 to 3600");
    refused("PROFILE", "../x", "profile may have only letters");
    refused("DATA_DIRECTORY", "/dev/null/x", "cannot create /dev/null; check the path");
    refused("SERVER__LISTEN", "0.0.0.0:0", "set server.tls, or server.behind_proxy = true");
    let server = Setup::new().with("BACKUP__DIRECTORY", "backups");
    let refusal = server.with("DATABASE__URL", "postgres://u@127.0.0.1:1/d").refusal();
    assert!(refusal.contains("such as pg_dump or pg_basebackup; leave it out"), "{refusal}");
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

/// A variable with a misplaced underscore is rejected, because otherwise it would be ignored.
#[test]
fn a_single_underscore_is_reported() {
    let setup = Setup::new().variable("LATCHKEY_SERVER_LISTEN", "127.0.0.1:1");
    let refusal = setup.refusal();
    assert!(refusal.contains("with two underscores, LATCHKEY__SERVER__LISTEN"), "{refusal}");
    // Kubernetes sets such names in every container if a service is called `latchkey`.
    let app = Setup::new()
        .variable("LATCHKEY_PORT", "tcp://10.0.0.1:80")
        .variable("LATCHKEY_URL_OF_MINE", "x")
        .variable("LATCHKEY_LISTEN", "127.0.0.1:1")
        .start();
    let log = app.log();
    assert!(!log.contains("LATCHKEY_PORT"), "{log}");
    assert!(log.contains("LATCHKEY_LISTEN is not read"), "{log}");
    assert!(log.contains("is LATCHKEY__SERVER__LISTEN meant?"), "{log}");
}

/// White space that files and editors leave around a value is removed, and an empty variable counts as unset.
#[test]
fn white_space_around_a_variable_is_dropped() {
    let setup = Setup::new()
        .with("SERVER__LISTEN", " 127.0.0.1:0\n")
        .with("DATA_DIRECTORY", "data\r\n")
        .with("SERVER__TLS__CERTIFICATE", "")
        .with("SERVER__TLS__KEY", " \n")
        .with("LIMITS__BODY_SECONDS", "\t9\n")
        .with("AUTH__SCHEMES__BEARER", " true ")
        .with("ONLINE__USER_AGENT", " a/b , c/d\n")
        .with("RECORDS__EXPIRE_AFTER_DAYS", "");
    let shown = setup.clone().arguments(&["config", "show"]).output();
    for line in ["listen = \"127.0.0.1:0\"", "body_seconds = 9", "bearer = true"] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in: {shown}");
    }
    assert!(!shown.contains("expire_after_days") && !shown.contains("[server.tls]"), "{shown}");
    let app = setup.start();
    let data = app.setup.folder().join("data");
    assert!(data.is_dir());
    // The URL of a database server would be read in the same way.
    let url = app.setup.clone().with("DATABASE__URL", "sqlite:data/latchkey.db\n");
    let shown = url.arguments(&["config", "show"]).output();
    assert!(shown.contains("url = \"sqlite:data/latchkey.db\"\n"), "{shown}");
}

/// The URL may be in a file that ends with a newline. It must not be in two places.
#[test]
fn the_url_of_the_database_comes_from_a_file() {
    let setup = Setup::new().with("DATABASE__URL", "").with("DATABASE__URL_FILE", "url");
    let refused = |setup: &Setup, said: &str| {
        let refusal = setup.refusal();
        assert!(refusal.contains(said), "{refusal}");
        assert!(!setup.data().exists());
    };
    refused(&setup, "cannot read database.url_file");
    let file = setup.folder().join("url");
    fs::write(&file, " \n").expect("file");
    refused(&setup, "database.url_file: url is empty");
    fs::write(&file, "postgres://u:CANARY@h/d?sslmode=x").expect("file");
    refused(&setup, "database.url");
    fs::write(&file, "\u{feff}sqlite:elsewhere/x.db\r\n").expect("file");
    let both = setup.clone().with("DATABASE__URL", "sqlite:y.db");
    refused(&both, "set database.url or database.url_file, not both");
    let app = setup.start();
    app.client().save(&crate::support::client::to_save("fugit")["TokenManagementInfo"]);
    assert!(app.setup.folder().join("elsewhere/x.db").exists());
    let module = "LATCHKEY__KEYS__PKCS11";
    let both = Setup::new()
        .variable(&format!("{module}__MODULE"), "m")
        .variable(&format!("{module}__TOKEN"), "t")
        .variable(&format!("{module}__KEY"), "k")
        .variable(&format!("{module}__PIN"), "CANARY")
        .variable(&format!("{module}__PIN_FILE"), "pin");
    refused(&both, "set keys.pkcs11.pin or keys.pkcs11.pin_file, not both");
}

/// A value that is not UTF-8 is named by its variable and not shown.
#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    let setup = Setup::new();
    let mut command = setup.command();
    command.env("LATCHKEY__KEYS__SECRET", OsStr::from_bytes(b"CANARY\xff"));
    let output = command.output().expect("runs");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(told.contains("the value of LATCHKEY__KEYS__SECRET is not UTF-8"), "{told}");
    assert!(!told.contains("CANARY"), "{told}");
}

/// `LATCHKEY_CONFIG` has the effect of `--config`, which overrides it. A listener may be on `localhost`.
#[test]
fn a_variable_names_the_file() {
    let setup = Setup::new().with("SERVER__LISTEN", "");
    let file = |name: &str, text: &str| fs::write(setup.folder().join(name), text).expect("file");
    file("one.toml", "data_directory = 'one'\n[server]\nlisten = 'localhost:0'");
    file("two.toml", "data_directory = 'two'");
    let setup = setup.variable("LATCHKEY_CONFIG", "one.toml\n");
    let app = setup.start();
    assert!(app.url.starts_with("http://127.0.0.1:"), "{}", app.url);
    assert!(setup.folder().join("one").is_dir());
    let shown = setup.clone().arguments(&["--config", "two.toml", "config", "show"]).output();
    assert!(shown.contains("data_directory = \"two\""), "{shown}");
    let missing = Setup::new().variable("LATCHKEY_CONFIG", "missing.toml").refusal();
    assert!(missing.contains("missing.toml"), "{missing}");
}

/// Defaults, the profile's file, the given file and the environment: each overrides the one before.
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
        "url = \"postgres://h:5432/d\"",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in: {shown}");
    }
    assert!(!shown.contains("CANARY"), "{shown}");
    let wrong = setup.clone().with("DATABASE__URL", "postgres://u:CANARY@h/d?sslmode=x");
    let check = wrong.arguments(&["check"]).refusal();
    assert!(
        check.contains("database.url cannot be read as the URL of a PostgreSQL database"),
        "{check}"
    );
    let check = setup.with("DATABASE__URL", "sqlite:x.db").arguments(&["check"]).output();
    assert!(check.starts_with("the configuration is valid; "), "{check}");
}

/// With `server.tls` the server speaks HTTPS, and the printed command trusts its certificate.
#[test]
fn tls_is_served_from_pem_files() {
    let setup = Setup::new()
        .with("SERVER__TLS__CERTIFICATE", "server.crt")
        .with("SERVER__TLS__KEY", "server.key");
    let refusal = setup.refusal();
    assert!(refusal.contains("cannot read server.tls.certificate: server.crt"), "{refusal}");

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
