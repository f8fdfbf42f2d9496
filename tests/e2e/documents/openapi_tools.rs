//! The OpenAPI document as other programs read it: linters, a tester that calls the server by it, and clients that
//! are generated from it.
//!
//! Invariant: each tool is of a pinned version, and a finding of any is a failure.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::{Value, json};

use crate::{
    grants::token_endpoint::with_endpoint,
    support::{
        app::{Setup, TestApp},
        parts::{has, leave_out},
    },
    wire::official_client::{npm_ci, pass},
};

/// So that a run finds what the run before found.
const SEED: &str = "7";

/// CONTRACT O7: neither redocly nor spectral has an error or a warning.
#[test]
fn the_linters_find_nothing() {
    let Some(folder) = node_tools() else { return };
    let (_app, document, _scratch) = document();
    let document = document.to_str().expect("UTF-8");
    let redocly =
        npx(&folder, &["redocly", "lint", "--config=redocly.yaml", "--format=json", document]);
    assert_passes(&redocly);
    let told: Value = serde_json::from_slice(&redocly.stdout).expect("JSON");
    assert_eq!((&told["totals"]["errors"], &told["totals"]["warnings"]), (&json!(0), &json!(0)));
    let severity = "--fail-severity=hint";
    assert_passes(&npx(&folder, &["spectral", "lint", "-r", "spectral.yaml", severity, document]));
}

/// CONTRACT O7, 7, 8, 14, 34, 35, 38, 39: a valid request is accepted, an invalid one is refused, and every answer
/// is one that the document has.
#[test]
fn schemathesis_finds_nothing() {
    let Some(tools) = python_tools() else { return };
    let (app, document, scratch) = document();
    let configuration = clients().join("schemathesis.toml");
    let mut command = Command::new(tools.join("bin/schemathesis"));
    command.arg("--config-file").arg(configuration).arg("run").arg(document);
    command.args(["--url", &app.url, "--checks", "all", "--seed", SEED, "--max-examples", "10"]);
    command.args(["--header", "Authorization: Basic dGplMDpUamUw", "--no-color"]);
    // Where it finds its hooks, and where it leaves notes.
    let command = command.env("PYTHONPATH", clients()).current_dir(scratch.path());
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().expect("schemathesis");
    assert_passes(&output);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("Test cases:") && !told.contains("unique failures"), "{told}");
}

/// CONTRACT O1, O2, O7, 9, 11, 12: openapi-python-client's client saves in JSON, as a form and as a merge patch.
#[test]
fn a_python_client_saves_and_gets() {
    let Some(tools) = python_tools() else { return };
    let (app, document, scratch) = document();
    let mut command = Command::new(tools.join("bin/openapi-python-client"));
    command.args(["generate", "--meta", "none", "--output-path", "latchkey_client", "--path"]);
    let configuration = clients().join("openapi-python-client.yaml");
    let command = command.arg(document).arg("--config").arg(configuration);
    assert_passes(&command.current_dir(scratch.path()).output().expect("openapi-python-client"));
    let mut client = Command::new(tools.join("bin/python"));
    client.arg("python_client.py").arg(scratch.path()).arg(&app.url).current_dir(clients());
    let output = client.env("PYTHONDONTWRITEBYTECODE", "1").output().expect("Python");
    assert_passes(&output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("checks passed"), "{output:?}");
}

/// CONTRACT O1, O2, O7, O9, O11: the clients of openapi-typescript and of @hey-api/openapi-ts have types by which
/// calls compile, and save and get.
#[test]
fn typescript_clients_save_and_get() {
    let Some(folder) = node_tools() else { return };
    let (app, document, _scratch) = document();
    let document = document.to_str().expect("UTF-8");
    let _ = fs::remove_dir_all(folder.join("generated"));
    let types = ["openapi-typescript", document, "--output", "generated/schema.d.ts"];
    assert_passes(&npx(&folder, &types));
    let hey_api = ["openapi-ts", "--input", document, "--output", "generated/hey-api"];
    let client = ["--client", "@hey-api/client-fetch", "--no-log-file", "--silent"];
    assert_passes(&npx(&folder, &[&hey_api[..], &client[..]].concat()));
    assert_passes(&npx(&folder, &["tsc", "--project", "tsconfig.json"]));
    pass(&folder, &["typescript.mjs", &app.url]);
}

/// A server, its document in a file, and the folder of that.
fn document() -> (TestApp, PathBuf, tempfile::TempDir) {
    // Otherwise a fast machine tries more wrong passwords in a minute than are answered.
    let setup = with_endpoint(Setup::new()).with("AUTH__THROTTLE__PER_USER", "10000");
    let app = setup.with("AUTH__THROTTLE__PER_ADDRESS", "100000").start();
    let visitor = app.client().with_authorization(None);
    let document = visitor.request("GET", "/api/openapi.json", &[], b"").expect(200);
    let scratch = tempfile::tempdir().expect("temporary folder");
    let file = scratch.path().join("openapi.json");
    fs::write(&file, &document.body).expect("a file");
    (app, file, scratch)
}

/// The folder of the tools' configurations and of the clients' scripts.
fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("generated-clients")
}

/// Runs a program of the folder's packages.
pub(super) fn npx(folder: &Path, arguments: &[&str]) -> Output {
    let (program, arguments) = arguments.split_first().expect("a program");
    let mut command = Command::new(folder.join("node_modules/.bin").join(program));
    command.args(arguments).current_dir(folder);
    // No look for newer versions, and no report of use, to another host.
    command.env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true").env("REDOCLY_TELEMETRY", "off");
    command.output().expect("it runs")
}

pub(super) fn assert_passes(output: &Output) {
    let (told, warned) = (&output.stdout, &output.stderr);
    let told = format!("{}{}", String::from_utf8_lossy(told), String::from_utf8_lossy(warned));
    assert!(output.status.success(), "{told}");
}

/// The folder of the tools that need Node; `None`, said aloud, where they cannot be had.
pub(super) fn node_tools() -> Option<PathBuf> {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    if !has("node") || !has("npm") {
        leave_out("what reads the OpenAPI document", "Node and npm");
        return None;
    }
    let folder = clients();
    if !*INSTALLED.get_or_init(|| npm_ci(&folder)) {
        leave_out(
            "what reads the OpenAPI document",
            "`npm ci` in tests/generated-clients, which failed",
        );
        return None;
    }
    Some(folder)
}

/// The virtual environment of the tools that need Python; `None`, said aloud, where it cannot be had.
fn python_tools() -> Option<PathBuf> {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    if !has("python3") {
        leave_out("what reads the OpenAPI document", "Python 3");
        return None;
    }
    let script = clients().join("install-python");
    let install = || Command::new(script).output().is_ok_and(|output| output.status.success());
    if !*INSTALLED.get_or_init(install) {
        let missing =
            "tests/generated-clients/install-python, which failed (Debian: `python3-venv`)";
        leave_out("what reads the OpenAPI document", missing);
        return None;
    }
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/openapi-tools"))
}
