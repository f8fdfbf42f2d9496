//! SuperOffice's own TypeScript client, unchanged, against the running server: versions 12.4 and 10.2.9.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use model::{RecordId, RetrievalKey};

use crate::support::{
    app::{Setup, TestApp},
    parts::{has, leave_out},
};

/// CONTRACT 2, 3, O1, O2, O8, O16: `authenticateWithPassword`, `saveExternalTokensAsync`,
/// `getExternalTokensAsync`, `getAccessTokenAsync`, and `currentPrincipal` through the client's converter.
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

/// CONTRACT 26, 27: `authenticateWithTicket`, and a ticket as a user name.
#[test]
fn the_official_client_comes_with_a_ticket() {
    let Some(folder) = client() else { return };
    let app = TestApp::new();
    pass_both(&folder, &["schemes.mjs", &app.url, &app.ticket("tje0"), "--onsite"]);
}

/// CONTRACT 27, 28, 30: `authenticateWithTicket`, `authenticateWithToken`, `applicationToken`, against an Online
/// installation.
#[test]
fn the_official_client_is_a_partner_application() {
    let Some(folder) = client() else { return };
    let setup = Setup::new().with("INSTALLATION", "online");
    let app = setup.with("ONLINE__USER_AGENT", "default/partner").start();
    let application = app.admin(&["app", "add", "partner"]);
    let ticket = app.ticket("tje0");
    let by_ticket = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
    let headers = [("SO-AppToken", application.as_str())];
    let token = by_ticket.request("GET", "/api/v1/User/currentToken", &headers, b"").key();
    pass_both(&folder, &["schemes.mjs", &app.url, &ticket, &token, &application]);
}

/// CONTRACT 29: in a real browser, on the server's own pages, with only the session's cookie and the XSRF value for
/// scripts.
#[test]
fn the_official_client_has_a_session_in_a_browser() {
    let Some(folder) = client() else { return };
    let Some(chromium) = ["chromium", "chromium-browser"].into_iter().find(|name| has(name)) else {
        return leave_out("the browser", "Chromium (Debian's package `chromium`)");
    };
    let path = Command::new("sh").args(["-c", &format!("command -v {chromium}")]).output();
    let path = String::from_utf8(path.expect("sh").stdout).expect("UTF-8");
    let app = TestApp::new();
    pass(&folder, &["browser.mjs", &app.url, "tje0", "Tje0", path.trim()]);
}

/// Runs one of the client's scripts against a new server.
fn run(script: &str, arguments: &[&str]) {
    if let Some(folder) = client() {
        let app = TestApp::new();
        pass_both(&folder, &[&[script, &app.url], arguments].concat());
    }
}

/// Runs a script with both versions of the client, and asserts that its checks pass.
fn pass_both(folder: &Path, arguments: &[&str]) {
    for package in ["@superoffice/webapi", "superoffice-webapi-10"] {
        let mut node = Command::new("node");
        assert_passes(node.env("WEBAPI", package).args(arguments).current_dir(folder));
    }
}

/// Runs a script, and asserts that its checks pass.
pub(crate) fn pass(folder: &Path, arguments: &[&str]) {
    assert_passes(Command::new("node").args(arguments).current_dir(folder));
}

fn assert_passes(node: &mut Command) {
    let output = node.output().expect("node");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{node:?}: {told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("checks passed"), "{told}");
}

/// The folder of the scripts with their packages; `None`, with a notice, if they cannot be installed.
pub(crate) fn client() -> Option<PathBuf> {
    if !has("node") || !has("npm") {
        leave_out("the official client", "Node and npm");
        return None;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("official-client");
    if !install(&folder) {
        leave_out("the official client", "`npm ci` in tests/official-client, which failed");
        return None;
    }
    Some(folder)
}

/// Installs the scripts' packages, once for all tests.
fn install(folder: &Path) -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| npm_ci(folder))
}

/// Installs the packages of a folder's lock file, if they are not there.
pub(crate) fn npm_ci(folder: &Path) -> bool {
    // npm writes this file at the end. A newer lock file needs other packages.
    let installed = fs::metadata(folder.join("node_modules/.package-lock.json"));
    let wanted = fs::metadata(folder.join("package-lock.json"));
    let time = |found: io::Result<fs::Metadata>| found.and_then(|file| file.modified()).ok();
    time(installed) >= time(wanted) || {
        let install = Command::new("npm").arg("ci").current_dir(folder).output().expect("npm");
        install.status.success()
    }
}
