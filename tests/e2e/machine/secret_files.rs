//! Secrets that come through pipes, as `<(…)` of a shell makes them.

use std::{fs, path::PathBuf, process::Command, thread};

use crate::support::{
    app::Setup,
    master_keys::{assert_opens, save},
};

/// A pipe in the setup's folder through which this content is sent once.
fn pipe(setup: &Setup, name: &str, content: String) -> PathBuf {
    let path = setup.folder().join(name);
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let to = path.clone();
    thread::spawn(move || fs::write(to, content));
    path
}

/// The server opens each file once and reads it once.
#[test]
fn a_secret_comes_through_a_pipe() {
    let secret = "Q0FOQVJZLW1hc3Rlci1rZXktb2YtMzItYnl0ZXMtISE=";
    let setup = Setup::new().with("KEYS__SOURCE", "secret");
    let keys = pipe(&setup, "keys", format!("\n {secret}\r\n"));
    let certified =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("certificate");
    let certificate = setup.folder().join("server.crt");
    fs::write(&certificate, certified.cert.pem()).expect("written");
    let key = pipe(&setup, "server.key", certified.signing_key.serialize_pem());
    let text = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    let tls = setup
        .clone()
        .with("KEYS__SECRET_FILE", &text(&keys))
        .with("SERVER__TLS__CERTIFICATE", &text(&certificate))
        .with("SERVER__TLS__KEY", &text(&key));
    tls.start().stop();

    let setup = setup.with("KEYS__SECRET", secret);
    let password = pipe(&setup, "password", "CANARY-password\r\n".to_owned());
    let add = ["user", "add", "ann", "--password-file", &text(&password)];
    setup.run(&add, "").expect("added");
    let app = setup.start();
    app.client().with_password("ann", "CANARY-password").who(&[]).expect(200);
    let key = save(&app.client());
    assert_opens(&app, &key);
}
