//! SuperOffice's own TypeScript client, unchanged, against the running server.

use std::{path::Path, process::Command};

use model::{RecordId, RetrievalKey};

use crate::{
    app::TestApp,
    parts::{has, leave_out},
};

/// CONTRACT 2, 3, O1, O2: `authenticateWithPassword`, `saveExternalTokensAsync`,
/// `getExternalTokensAsync`.
#[test]
fn the_official_client_saves_and_gets() {
    const TEST: &str = "the official client";
    if !has("node") || !has("npm") {
        return leave_out(TEST, "Node and npm");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("official-client");
    if !folder.join("node_modules").exists() {
        let install = Command::new("npm").arg("ci").current_dir(&folder).output().expect("npm");
        if !install.status.success() {
            return leave_out(TEST, "`npm ci` in tests/official-client, which failed");
        }
    }
    let app = TestApp::new();
    let unknown = RetrievalKey::new(RecordId::at(0, 0), &[7; 32]);
    let output = Command::new("node")
        .args(["round-trip.mjs", &app.url, unknown.expose()])
        .current_dir(&folder)
        .output()
        .expect("node");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("checks passed"), "{told}");
}
