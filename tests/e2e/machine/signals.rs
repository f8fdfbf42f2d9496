//! Signals that do not stop the server: SIGHUP makes it read some files again, SIGUSR1 and SIGUSR2 have no effect.

use std::{fs, thread, time::Duration};

use serde_json::json;

use crate::support::{
    app::{Setup, TestApp, until},
    issuer::{self, Issuer},
    load::{Random, Record},
    master_keys::{ids, start_rotation},
};

/// The number of times that the log contains this text.
fn count(app: &TestApp, text: &str) -> usize {
    app.log().matches(text).count()
}

/// A server under load gets SIGHUP, SIGUSR1 and SIGUSR2 while its master key is rotated. No call fails.
#[test]
fn signals_under_load_and_in_a_rotation_drop_nothing() {
    let app = TestApp::new();
    let (saved, mut random) = (Record::default(), Random::new());
    saved.load(&app.url, 4, &mut random, || {
        until("saves", || saved.acknowledged() > 100);
        let mut rotation = start_rotation(&app.setup);
        until("it is done", || {
            for signal in ["HUP", "USR1", "USR2"] {
                app.signal(signal);
            }
            thread::sleep(Duration::from_millis(20));
            rotation.try_wait().expect("a process").is_some_and(|status| status.success())
        });
    });
    assert!(count(&app, "SIGHUP: reading") > 1, "{}", app.log());
    assert_eq!((saved.refused(), saved.cut_off()), (0, 0));
    assert_eq!(ids(&app.setup).len(), 2);
    saved.assert_kept(&app);
}

/// SIGHUP applies a changed `log.filter`. If the configuration cannot be read, the filter stays.
#[test]
fn sighup_reads_the_filter_of_the_log_again() {
    let setup = Setup::new().arguments(&["--config", "latchkey.toml"]);
    let file = setup.folder().join("latchkey.toml");
    fs::write(&file, "").expect("write");
    let app = setup.start();
    let client = app.client();
    let probes = || count(&app, "http.route=\"/healthz\"");
    let save = |name: &str| {
        let before = count(&app, "SaveExternalTokens");
        client.save(&json!({"Provider": name, "AccessToken": "fugit"}));
        until("it is logged", || count(&app, "SaveExternalTokens") > before);
    };
    client.request("GET", "/healthz", &[], b"").expect(200);
    save("et");
    assert_eq!(probes(), 0, "not at INFO: {}", app.log());

    fs::write(&file, "log.filter = 'debug'").expect("write");
    app.signal("HUP");
    until("probes are logged", || {
        client.request("GET", "/healthz", &[], b"").expect(200);
        probes() > 0
    });
    for (broken, said) in [
        ("log.filter = '=,='", "log.filter is not valid"),
        ("log.filters = 'info'", "unknown field `filters`"),
        ("log.filter = 'info", "latchkey.toml is not valid"),
    ] {
        fs::write(&file, broken).expect("write");
        app.signal("HUP");
        app.logged(&["WARN", "log.filter stays", said]);
        let before = probes();
        client.request("GET", "/healthz", &[], b"").expect(200);
        until("probes are still logged", || probes() > before);
    }
}

/// SIGHUP reads the file of the issuer's keys. If it is invalid, the old keys stay in force.
#[test]
fn sighup_reads_the_keys_of_bearer_tokens_again() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let setup = issuer::trusting(Setup::new(), &[&old]);
    let app = setup.start();
    let status = |issuer: &Issuer| {
        let token = format!("Bearer {}", issuer.token(&json!({})));
        app.client().with_authorization(Some(&token)).who(&[]).status
    };
    assert_eq!(status(&old), 200);
    fs::write(setup.folder().join("jwks.json"), "{").expect("write");
    app.signal("HUP");
    app.logged(&["WARN", "auth.bearer.jwks"]);
    assert_eq!(status(&old), 200);
    issuer::write_keys(&setup, &[&new]);
    app.signal("HUP");
    until("the old key is withdrawn", || status(&old) == 401);
    assert_eq!(status(&new), 200);
}
