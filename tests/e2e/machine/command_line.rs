//! The command line as shells, supervisors and programs use it: health, version, errors, completions, the manual.
//!
//! Invariant: none of these commands needs a database.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use crate::support::{
    app::{BINARY, Setup, TestApp, until},
    parts::{has, leave_out},
};

fn output_of(setup: &Setup, arguments: &[&str]) -> Output {
    setup.clone().arguments(arguments).command().output().expect("it runs")
}

/// The exit code, and standard error.
fn failure(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let output = output_of(setup, arguments);
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

/// The setup of a running server, with its port as `server.listen`.
fn listening(app: &TestApp, listen: &str) -> Setup {
    let port = app.authority().rsplit_once(':').expect("a port").1;
    app.setup.clone().with("SERVER__LISTEN", &format!("{listen}:{port}"))
}

/// The health of a server is an exit code, with and without TLS.
#[test]
fn a_server_is_healthy_while_it_runs() {
    let app = TestApp::new();
    for listen in ["127.0.0.1", "localhost"] {
        let setup = listening(&app, listen);
        let told = setup.run(&["healthcheck"], "").expect("healthy");
        assert_eq!(told, format!("{}/healthz answers 200\n", app.url));
        setup.run(&["healthcheck", "--ready"], "").expect("ready");
    }
    // The wildcard address is asked on this machine.
    let wildcard = listening(&app, "0.0.0.0").with("SERVER__BEHIND_PROXY", "true");
    let wildcard = wildcard.with("SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let told = wildcard.run(&["healthcheck", "--output", "json"], "").expect("healthy");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        (&told["url"], &told["status"]),
        (&format!("{}/healthz", app.url).into(), &200.into())
    );
    let url = format!("{}/nothing", app.url);
    let (code, told) = failure(&app.setup, &["healthcheck", "--url", &url]);
    assert_eq!(code, Some(1));
    assert!(told.contains(&format!("{url} answers ")), "{told}");
    let (code, told) = failure(&app.setup, &["healthcheck", "--url", "ftp://127.0.0.1"]);
    assert!(code == Some(1) && told.contains("--url must be like"), "{told}");
    let (_, told) = failure(&app.setup, &["healthcheck"]);
    assert!(told.contains("server.listen has no fixed port"), "{told}");

    let setup = listening(&app, "127.0.0.1");
    app.sql("ALTER TABLE keks RENAME TO hidden");
    setup.run(&["healthcheck"], "").expect("it runs");
    // A check counts for a second.
    until("it is not ready", || setup.run(&["healthcheck", "--ready"], "").is_err());
    let (code, told) = failure(&setup, &["healthcheck", "--ready"]);
    assert!(code == Some(1) && told.contains("/readyz answers 50"), "{told}");
    app.sql("ALTER TABLE hidden RENAME TO keks");
    app.stop();
    let (code, told) = failure(&setup, &["healthcheck"]);
    assert!(code == Some(1) && told.contains("/healthz does not answer"), "{told}");
}

/// A server that accepts connections and does not answer is not healthy.
#[test]
fn a_server_that_hangs_is_not_healthy() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}/healthz", silent.local_addr().expect("an address"));
    let setup = Setup::new();
    let (code, told) = failure(&setup, &["healthcheck", "--timeout", "1", "--url", &url]);
    assert!(code == Some(1) && told.contains("does not answer"), "{told}");
}

/// The certificate of a server need not have the name of the loopback address.
#[test]
fn a_server_with_tls_is_healthy() {
    let parameters = CertificateParams::new(["latchkey.example.com".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let setup = Setup::new();
    fs::write(setup.folder().join("tls.crt"), certificate.pem()).expect("written");
    fs::write(setup.folder().join("tls.pem"), key.serialize_pem()).expect("written");
    let setup =
        setup.with("SERVER__TLS__CERTIFICATE", "tls.crt").with("SERVER__TLS__KEY", "tls.pem");
    let app = setup.start();
    let told = listening(&app, "127.0.0.1").run(&["healthcheck"], "").expect("healthy");
    assert_eq!(told, format!("{}/healthz answers 200\n", app.url));
    assert!(app.url.starts_with("https://"));
    let plain = format!("{}/healthz", app.url.replace("https", "http"));
    let (code, told) = failure(&app.setup, &["healthcheck", "--url", &plain]);
    assert!(
        code == Some(1) && told.contains("does not answer") || told.contains("answers 4"),
        "{told}"
    );
}

/// A failure is an exit code, and with `--output json` an object: of a command that fails, and of arguments that cannot
/// be read.
#[test]
fn a_failure_is_a_code_and_a_reason() {
    let setup = Setup::new();
    let error = |arguments: &[&str]| {
        let (code, told) = failure(&setup, arguments);
        let last = told.lines().last().expect("a line");
        let object: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{told}"));
        (code, object["error"].as_str().expect("a reason").to_owned())
    };
    let (code, reason) = error(&["user", "disable", "a:b", "--output", "json"]);
    assert!(code == Some(1) && reason.contains("`a:b` is not a valid login"), "{reason}");
    let (code, reason) = error(&["user", "suspend", "ann", "--output=json"]);
    assert!(code == Some(2) && reason.contains("unrecognized subcommand 'suspend'"), "{reason}");
    let (code, told) = failure(&setup, &["user", "disable", "a:b"]);
    assert!(code == Some(1) && told.starts_with("latchkey: `a:b` is not"), "{told}");
    let (code, told) = failure(&setup, &["user", "suspend", "ann"]);
    assert!(code == Some(2) && told.starts_with("error: unrecognized"), "{told}");
    let help = output_of(&setup, &["help", "user", "--output", "json"]);
    assert!(help.status.code().is_some() && !setup.data().exists());
}

/// The text of `--version` from the build script, in a folder that is a clone or a tarball.
fn version_of(folder: &Path, variables: &[(&str, &str)]) -> String {
    let script = Command::new(folder.join("build-script"))
        .current_dir(folder.join("crates/server"))
        .env_remove("LATCHKEY_COMMIT")
        .env_remove("SOURCE_DATE_EPOCH")
        .env("CARGO_PKG_VERSION", "1.2.3")
        .env("PROFILE", "release")
        .envs(variables.iter().copied())
        .output()
        .expect("the build script runs");
    assert!(script.status.success());
    let told = String::from_utf8(script.stdout).expect("UTF-8");
    let version =
        told.lines().find_map(|line| line.strip_prefix("cargo::rustc-env=LATCHKEY_VERSION="));
    version.unwrap_or_else(|| panic!("{told}")).to_owned()
}

/// `--version` has the commit and its date if they are known. A tarball gives the same text each time.
#[test]
fn the_version_names_the_commit() {
    let told = output_of(&Setup::new(), &["--version"]).stdout;
    let told = String::from_utf8(told).expect("UTF-8");
    assert!(told.starts_with(concat!("latchkey ", env!("CARGO_PKG_VERSION"))), "{told}");
    for program in ["git", "rustc"] {
        if !has(program) {
            return leave_out("the_version_names_the_commit", program);
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("crates/server")).expect("a folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/server/build.rs");
    let built = Command::new("rustc")
        .args(["--edition", "2024", "-o"])
        .arg(folder.path().join("build-script"))
        .arg(script)
        .status();
    assert!(built.expect("rustc").success());
    assert_eq!(version_of(folder.path(), &[]), "1.2.3", "a tarball");
    let known = [("LATCHKEY_COMMIT", "abc"), ("SOURCE_DATE_EPOCH", "1709164800")];
    assert_eq!(version_of(folder.path(), &known), "1.2.3 (abc, 2024-02-29)");
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=ann", "-c", "user.email=ann@example.com"])
            .args(arguments)
            .env("GIT_COMMITTER_DATE", "2026-11-28T12:00:00Z")
            .current_dir(folder.path())
            .output()
            .expect("git");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("UTF-8").trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["commit", "--quiet", "--allow-empty", "--message", "Begin"]);
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(version_of(folder.path(), &[]), format!("1.2.3 ({commit}, 2026-11-28)"));
}

/// Shells complete commands and options, and `man` has a page for each command.
#[test]
fn shells_and_man_know_the_commands() {
    let setup = Setup::new();
    for (shell, part) in [
        ("bash", "complete -F _latchkey"),
        ("zsh", "#compdef latchkey"),
        ("fish", "complete -c latchkey"),
    ] {
        let script = setup.run(&["completions", shell], "").expect("a script");
        assert!(script.contains(part) && script.contains("healthcheck"), "{shell}");
    }
    if has("bash") {
        let completed = Command::new("bash")
            .args([
                "-euc",
                "source <(\"$0\" completions bash); COMP_WORDS=(latchkey rec); COMP_CWORD=1; \
                    _latchkey latchkey rec latchkey; echo \"${COMPREPLY[@]}\"",
                BINARY,
            ])
            .output()
            .expect("bash");
        assert_eq!(String::from_utf8_lossy(&completed.stdout), "records\n");
    } else {
        leave_out("shells_and_man_know_the_commands", "bash");
    }
    let folder = setup.folder().join("man");
    let text = folder.to_str().expect("UTF-8");
    let (code, told) = failure(&setup, &["man", text]);
    assert!(code == Some(1) && told.contains("cannot write the pages to"), "{told}");
    fs::create_dir(&folder).expect("a folder");
    setup.run(&["man", text], "").expect("pages");
    for page in ["latchkey.1", "latchkey-records-revoke.1", "latchkey-healthcheck.1"] {
        let page = fs::read_to_string(folder.join(page)).expect(page);
        assert!(page.contains(".TH ") && page.contains("SYNOPSIS"), "{page}");
    }
}
