//! The first start without preparation: the files that the server makes, the users who can sign in, and the output.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rstest::rstest;
use serde_json::json;

use crate::support::{
    app::{Setup, TestApp},
    parts::{has, leave_out},
};

#[test]
fn the_first_start_prepares_everything_for_its_owner_alone() {
    let app = TestApp::new();
    let mode = |path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    let data = app.setup.data();
    assert_eq!(mode(data.clone()), 0o700);
    assert_eq!(mode(data.join("keys")), 0o700);
    assert_eq!(mode(app.setup.key_file()), 0o600);
    assert_eq!(fs::read(app.setup.key_file()).expect("key").len(), 32);
    assert!(app.greeting.contains("User: tje0, password: Tje0 (the sample login"));
    assert!(app.greeting.contains(", master key: data/keys\n"), "{}", app.greeting);
    assert!(!data.join("unsaved").exists(), "no provider is configured");
}

/// The folder of refreshed tokens that the database cannot take is at the configured path. If it cannot be read, the
/// server does not start, because tokens may wait there.
#[test]
fn unsaved_tokens_have_a_folder_of_their_own() {
    let provider = r#"[{"name": "et", "token_endpoint": "https://provider.example/token",
        "client_id": "latchkey", "client_secret": "CANARY-secret"}]"#;
    let setup = Setup::new().with("GRANTS__PROVIDERS", provider);
    let app = setup.with("GRANTS__UNSAVED_DIRECTORY", "waiting").start();
    let folder = app.setup.folder().join("waiting");
    assert!(folder.exists());
    assert!(!app.setup.data().join("unsaved").exists());
    let setup = app.stop();
    fs::remove_dir(&folder).expect("it is empty");
    fs::write(&folder, "").expect("written");
    let refused = setup.try_start().map(drop).expect_err("it is no folder");
    assert!(refused.contains("waiting"), "{refused}");
}

/// The command that the greeting prints works as printed.
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
    let body = r#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#;
    let saved = Command::new("curl")
        .args(["-s", "-u", &format!("admin:{password}"), "-H", "Content-Type: application/json"])
        .args(["-d", body, &format!("{}/api/v1/Agents/User/SaveExternalTokens", app.url)])
        .output();
    match saved {
        Ok(output) => assert!(output.stdout.starts_with(b"\"lk_"), "{output:?}"),
        Err(_) => leave_out("the generated password", "curl"),
    }
    assert!(!app.log().contains(password));
    let again = app.stop().start();
    assert!(!again.greeting.contains("password"), "{}", again.greeting);
}

/// A password from a file is never printed. The file is needed only until a user can sign in.
#[rstest]
#[case::by_default("production", None, "admin")]
#[case::of_a_name("production", Some("ann"), "ann")]
#[case::in_development("development", None, "admin")]
fn the_first_password_comes_from_a_file(
    #[case] profile: &str,
    #[case] login: Option<&str>,
    #[case] expected: &str,
) {
    let setup = Setup::new().with("PROFILE", profile);
    let setup =
        login.into_iter().fold(setup, |setup, login| setup.with("FIRST_USER__LOGIN", login));
    let setup = setup.with("FIRST_USER__PASSWORD_FILE", "password");
    let refusal = |setup: &Setup| {
        let refusal = setup.refusal();
        assert!(refusal.contains("first_user.password_file"), "{refusal}");
    };
    refusal(&setup);
    let file = setup.folder().join("password");
    fs::write(&file, "short\n").expect("file");
    refusal(&setup);
    fs::write(&file, "CANARY pass word\nmore\n").expect("file");
    let app = setup.start();
    assert!(!app.greeting.contains("password"), "{}", app.greeting);
    app.client().with_password(expected, "CANARY pass word").who(&[]).expect(200);
    let setup = app.stop();
    fs::remove_file(file).expect("it was used");
    let app = setup.start();
    app.client().with_password(expected, "CANARY pass word").who(&[]).expect(200);
    app.client().who(&[]).expect(401);
}

/// As in README: the first user exists before the first start, which then prints no password.
#[test]
fn a_command_makes_the_first_user() {
    let setup = Setup::new().with("PROFILE", "production");
    fs::write(setup.folder().join("password"), "CANARY-password\n").expect("file");
    setup.run(&["migrate"], "").expect("it makes the database");
    let add = ["user", "add", "admin", "--administrator", "--password-file", "password"];
    setup.run(&add, "").expect("it makes the user");
    let app = setup.start();
    assert!(!app.greeting.contains("First user"), "{}", app.greeting);
    app.client().with_password("admin", "CANARY-password").who(&[]).expect(200);
}

/// The server warns of files that others on the machine can read or change, and prints the command that fixes it.
#[test]
fn files_that_others_can_read_are_reported() {
    let mode = |path: PathBuf, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    let setup = TestApp::new().stop();
    let file = |name: &str| setup.folder().join(name);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("certificate");
    fs::write(file("server.crt"), made.cert.pem()).expect("write");
    fs::write(file("server.key"), made.signing_key.serialize_pem()).expect("write");
    fs::write(file("password"), "CANARY-password").expect("write");
    fs::write(file("plain.toml"), "[log]\nfilter = 'info'").expect("write");
    let secret = STANDARD.encode((0..32).collect::<Vec<u8>>());
    fs::write(file("secret.toml"), format!("[keys]\nsecret = '{secret}'")).expect("write");
    for (name, bits) in
        [("data", 0o777), ("server.key", 0o644), ("password", 0o640), ("secret.toml", 0o666)]
    {
        mode(file(name), bits);
    }
    let setup = setup
        .with("SERVER__TLS__CERTIFICATE", "server.crt")
        .with("SERVER__TLS__KEY", "server.key")
        .with("FIRST_USER__PASSWORD_FILE", "password");
    let told = |config: &str| {
        fs::remove_file(setup.folder().join("log")).expect("a new log");
        setup.clone().arguments(&["--config", config]).start().log()
    };
    let log = told("secret.toml");
    for command in ["chmod 700 'data'", "chmod 600 'server.key'", "chmod 600 'secret.toml'"] {
        assert!(log.contains(command), "{command} is not in: {log}");
    }
    assert!(!log.contains("server.crt") && !log.contains("'password'"), "{log}");
    mode(setup.data(), 0o700);
    mode(setup.folder().join("server.key"), 0o600);
    let log = told("plain.toml");
    assert!(!log.contains("chmod 600 '") && !log.contains("chmod 700 '"), "{log}");
}

/// The sample login is public, so it never exists on a server that others can reach, with or without a proxy. The
/// server neither makes it nor accepts a database that has it.
#[rstest]
#[case::behind_a_proxy("127.0.0.1:0")]
#[case::on_every_address("0.0.0.0:0")]
fn the_sample_login_is_not_exposed(#[case] address: &str) {
    let exposed = |setup: Setup| {
        let setup = setup.with("SERVER__LISTEN", address).with("SERVER__BEHIND_PROXY", "true");
        setup.with("SERVER__TRUSTED_PROXIES", "127.0.0.1")
    };
    let new = exposed(Setup::new());
    let known = exposed(TestApp::new().stop().with("PROFILE", "production"));
    for setup in [&new, &known] {
        let refusal = setup.refusal();
        assert!(refusal.contains("the sample login tje0 would let everybody in"), "{refusal}");
    }
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

#[test]
fn a_database_that_is_newer_or_older_is_refused() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let setup = app.stop();
    let alter = |sql: &str| assert_eq!(setup.database().sql(sql), 1, "{sql}");
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
    new.start().client().who(&[]).expect(200);
}
