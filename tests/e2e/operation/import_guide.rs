//! The commands of docs/import.md, run as they are printed there.
//!
//! Invariant: every printed command is run.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::Command,
    thread,
};

use serde_json::{Value, json};

use super::import::keys;
use crate::support::{
    app::{BINARY, TestApp},
    parts::{has, leave_out},
};

const GUIDE: &str = include_str!("../../../docs/import.md");

/// The block that begins with this comment.
fn block(name: &str) -> &'static str {
    let begin = format!("```sh\n# {name}\n");
    let found = GUIDE.split_once(&begin).unwrap_or_else(|| panic!("no block {name}"));
    found.1.split("\n```").next().expect("an end")
}

fn table() -> &'static str {
    GUIDE.split_once("```sql\n").expect("a table").1.split("\n```").next().expect("an end")
}

/// Runs blocks of the guide in the server's folder, where `latchkey` is the one under test.
fn run(app: &TestApp, script: &str, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new("bash");
    let latchkey = app.setup.command();
    let environment = latchkey.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.envs(environment).envs(variables.iter().copied());
    let script = format!("set -euo pipefail\nlatchkey() {{ {BINARY} \"$@\"; }}\n{script}");
    let output = command.current_dir(app.setup.folder()).args(["-c", &script]).output();
    let output = output.expect("bash");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Rows of the table, as SQL.
const ROWS: &str = "INSERT INTO oauth_tokens VALUES \
    ('7', 'tje0', 'CANARY, \"7\"', 'CANARY-refresh-7', '2099-01-31 12:00:00', NULL), \
    ('8', 'tje0', 'CANARY-8', NULL, NULL, NULL)";

#[test]
fn a_table_moves_in() {
    let app = TestApp::new();
    let url = app.setup.database().url();
    let (name, script) = match &url {
        None => ("SQLite", format!("sqlite3 app.db '{}' \"$ROWS\"", table())),
        Some(_) => ("PostgreSQL", format!("psql \"$SOURCE\" -q -c '{}' -c \"$ROWS\"", table())),
    };
    let program = if url.is_some() { "psql" } else { "sqlite3" };
    if !has(program) {
        return leave_out("docs/import.md", program);
    }
    let shown = match &url {
        None => "sqlite3 app.db 'SELECT id, latchkey_key FROM oauth_tokens ORDER BY id'".to_owned(),
        Some(_) => {
            "psql \"$SOURCE\" -At -c 'SELECT id, latchkey_key FROM oauth_tokens ORDER BY id'"
                .to_owned()
        }
    };
    let blocks =
        [&script, block(name), block("Import"), block(&format!("{name} keys")), &shown].join("\n");
    let source = url.clone().unwrap_or_default();
    let told = run(&app, &blocks, &[("SOURCE", &source), ("ROWS", ROWS)]);
    assert!(told.contains("2 lines can be saved"), "{told}");
    assert!(!app.setup.folder().join("tokens.csv").exists());
    let rows = keys(&app.setup.folder().join("keys.csv"));
    for (row, token) in rows.iter().zip(["CANARY, \"7\"", "CANARY-8"]) {
        assert!(told.contains(&format!("{}|{}", row.id, row.key)), "{told}");
        assert_eq!(app.client().access_token(&row.key).as_deref(), Some(token));
    }
    let described = app.client().describe(&json!({ "Key": rows[0].key }));
    assert_eq!(described["AccessTokenExpires"], "2099-01-31T12:00:00", "{described}");
}

/// Nango's API, as far as the guide uses it.
fn nango() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("connection");
            let mut lines = BufReader::new(stream.try_clone().expect("clone")).lines();
            let lines: Vec<String> = lines
                .by_ref()
                .map(|line| line.expect("text"))
                .take_while(|line| !line.is_empty())
                .collect();
            let is_known = lines.iter().any(|line| line == "Authorization: Bearer CANARY-nango");
            let path = lines[0].split(' ').nth(1).expect("a path");
            let body = if is_known { answer(path) } else { json!({"error": "no key"}) };
            let (body, status) = (body.to_string(), if is_known { 200 } else { 401 });
            let head = format!(
                "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}",
                body.len()
            );
            let _ = write!(stream, "{head}\r\n\r\n{body}");
        }
    });
    url
}

/// Made-up values in the shapes that Nango's API documents.
fn answer(path: &str) -> Value {
    let connection = |id: &str, credentials: Value| {
        json!({
            "id": 1, "connection_id": id, "provider_config_key": "google mail", "provider": "google",
            "errors": [], "metadata": {}, "connection_config": {}, "tags": {},
            "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z",
            "end_user": {"id": "tje0", "email": "a@example.com"}, "credentials": credentials,
        })
    };
    match path {
        "/connections" => json!({"connections": [
            connection("user/1", Value::Null), connection("key", Value::Null),
        ]}),
        "/connections/user%2F1?provider_config_key=google%20mail" => connection(
            "user/1",
            json!({
                "type": "OAUTH2", "access_token": "CANARY-1", "refresh_token": "CANARY-refresh-1",
                "expires_at": "2099-01-31T12:00:00.000Z", "raw": {"scope": "mail"},
            }),
        ),
        "/connections/key?provider_config_key=google%20mail" => {
            connection("key", json!({"type": "API_KEY", "apiKey": "CANARY"}))
        }
        other => panic!("{other}"),
    }
}

#[test]
fn connections_of_nango_move_in() {
    for program in ["curl", "jq"] {
        if !has(program) {
            return leave_out("docs/import.md, Nango", program);
        }
    }
    let app = TestApp::new();
    let url = nango();
    // A repeat with a new export resumes the import, and finds nothing to do.
    let blocks = ["Nango", "Import", "Nango", "Resume"].map(block);
    let script = blocks.join("\n").replace("tokens.csv", "tokens.jsonl");
    let told = run(&app, &script, &[("NANGO_URL", &url), ("NANGO_SECRET_KEY", "CANARY-nango")]);
    assert!(told.contains("1 line can be saved"), "{told}");
    let rows = keys(&app.setup.folder().join("keys.csv"));
    assert_eq!((rows.len(), rows[0].id.as_str()), (1, "user/1"));
    let got = app.client().get(&rows[0].key);
    assert_eq!(
        (&got["Provider"], &got["AccessToken"]),
        (&json!("google mail"), &json!("CANARY-1"))
    );
    assert_eq!(got["RefreshToken"], "CANARY-refresh-1");
    assert!(told.contains("saved 0 records, after 1 of a run before"), "{told}");
}
