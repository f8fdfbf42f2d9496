//! SuperOffice's own TypeScript client, unchanged, against the running server.

use std::{path::Path, process::Command, sync::OnceLock};

use model::{RecordId, RetrievalKey};

use crate::{
    app::TestApp,
    parts::{has, leave_out},
};

/// CONTRACT 2, 3, O1, O2: `authenticateWithPassword`, `saveExternalTokensAsync`,
/// `getExternalTokensAsync`.
#[test]
fn the_official_client_saves_and_gets() {
    let unknown = RetrievalKey::new(RecordId::at(0, 0), &[7; 32]);
    run("round-trip.mjs", &[unknown.expose()]);
}

/// CONTRACT 18, 19, 22, 23, 24: `languageCode`, `cultureCode`, `timezone`, `timezoneInclude`,
/// `ResourceParsing.DoNotParse`.
#[test]
fn the_official_client_asks_for_languages_and_time_zones() {
    run("preferences.mjs", &[]);
}

/// Runs one of the client's scripts against a new server.
fn run(script: &str, arguments: &[&str]) {
    if !has("node") || !has("npm") {
        return leave_out("the official client", "Node and npm");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("official-client");
    if !install(&folder) {
        return leave_out("the official client", "`npm ci` in tests/official-client, which failed");
    }
    let app = TestApp::new();
    let output = Command::new("node")
        .args([script, &app.url])
        .args(arguments)
        .current_dir(&folder)
        .output()
        .expect("node");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("checks passed"), "{told}");
}

/// Installs the client, once, however many tests need it.
fn install(folder: &Path) -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        folder.join("node_modules").exists() || {
            let install = Command::new("npm").arg("ci").current_dir(folder).output().expect("npm");
            install.status.success()
        }
    })
}
