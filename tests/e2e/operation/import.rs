//! `latchkey import`: the records that it saves, the lines that it rejects, and its state after a kill.
//!
//! Invariant: the test judges a line by the tokens that its key retrieves from a server, not by the command's output.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::scene::get,
    support::{
        app::{Setup, TestApp, assert_no_secret},
        load::tell,
    },
};

/// A row of the file of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: usize,
    pub(super) id: String,
    pub(super) record: String,
    pub(super) key: String,
}

/// Reads the file of keys. No id in these tests is quoted there.
pub(super) fn keys(path: &Path) -> Vec<Row> {
    let text = fs::read_to_string(path).expect("the file of keys");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("line,id,record,key,check"));
    let row = |line: &str| {
        let [line, id, record, key, _check] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let line = line.parse().expect("a number");
        Row { line, id: id.to_owned(), record: record.to_owned(), key: key.to_owned() }
    };
    lines.map(row).collect()
}

fn import(setup: &Setup, arguments: &[&str]) -> Result<String, String> {
    let told = setup.run(&[&["import"], arguments].concat(), "");
    let (Ok(text) | Err(text)) = &told;
    assert_no_secret(text);
    told
}

fn write(setup: &Setup, name: &str, text: impl AsRef<[u8]>) {
    fs::write(setup.folder().join(name), text).expect("written");
}

/// This number of lines, owned by the sample user.
fn many(count: usize) -> String {
    let line = |number| {
        let line = json!({
            "id": format!("own-{number}"), "provider": "et", "owner": "tje0",
            "access_token": format!("CANARY-access-{number}"),
            "refresh_token": format!("CANARY-refresh-{number}"), "expires_in": 3600,
        });
        format!("{line}\n")
    };
    (1..=count).map(line).collect()
}

/// An import while a server runs, with every property of a line, in both formats.
#[rstest]
#[case::jsonl("tokens.jsonl", concat!(
    "\u{feff}", r#"{"id": "a-1", "provider": "et", "owner": "tje0", "access_token": "CANARY, \"one\"\nå","#,
    r#" "refresh_token": "odit", "claims": {"sub": "42"}, "access_expires": "2099-01-31T12:00:00+01:00"}"#,
    "\r\n \n",
    r#"{"provider": "te", "owner": "ann", "access_token": "CANARY-two", "claims": null, "expires_in": 3600}"#,
))]
#[case::csv("tokens.csv", concat!(
    "\u{feff}id,provider,owner,access_token,refresh_token,claims,access_expires,expires_in\r\n",
    "a-1,et,tje0,\"CANARY, \"\"one\"\"\nå\",odit,\"{\"\"sub\"\":\"\"42\"\"}\",4073540400,\r\n",
    "\r\n",
    ",te,ann,CANARY-two,,,,3600",
))]
fn what_a_line_says_is_saved(#[case] name: &str, #[case] text: &str) {
    let app = TestApp::new();
    app.add_user("ann");
    write(&app.setup, name, text);
    let checked = import(&app.setup, &[name, "--check"]).expect("it is right");
    assert_eq!(checked, "2 lines can be saved\n");
    assert_eq!(app.saved_rows(), 0);
    let arguments = [name, "--keys", "keys.csv", "--output", "json"];
    let report = import(&app.setup, &arguments).expect("it is saved");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report, json!({"lines": 2, "saved": 2, "before": 0, "keys": "keys.csv"}));

    let path = app.setup.folder().join("keys.csv");
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let rows = keys(&path);
    let second_line = if name.ends_with("csv") { 5 } else { 3 };
    let found: Vec<_> = rows.iter().map(|row| (row.line, row.id.as_str())).collect();
    let first_line = if name.ends_with("csv") { 2 } else { 1 };
    assert_eq!(found, [(first_line, "a-1"), (second_line, "")]);
    let first = app.client().get(&rows[0].key);
    assert_eq!(first["AccessToken"], "CANARY, \"one\"\nå");
    assert_eq!(
        (&first["RefreshToken"], &first["Claims"]),
        (&json!("odit"), &json!(r#"{"sub":"42"}"#))
    );
    let described = app.client().describe(&json!({ "Key": rows[0].key }));
    assert_eq!(described["Id"], rows[0].record, "{described}");
    assert_eq!(described["AccessTokenExpires"], "2099-01-31T11:00:00", "{described}");
    let ann = app.client().with_password("ann", "CANARY-password");
    let second = ann.get(&rows[1].key);
    assert_eq!((&second["Provider"], &second["AccessToken"]), (&json!("te"), &json!("CANARY-two")));
    assert_eq!(
        (&second["RefreshToken"], &second["TableRight"]["Mask"]),
        (&Value::Null, &json!("FULL"))
    );
    assert!(app.files_with("CANARY-two").is_empty(), "it is sealed");
}

/// Every invalid line is reported before anything is saved, by its number and property, and never by its value.
#[test]
fn bad_lines_are_named_before_anything_is_saved() {
    let setup = Setup::new().with("LIMITS__TOKEN_BYTES", "30");
    let setup = setup.start().stop();
    let good = r#"{"provider": "et", "owner": "tje0", "access_token": "CANARY"}"#;
    let with = |more: &str| good.replace('}', &format!(", {more}}}"));
    let long = "x".repeat(31);
    let lines = [
        (good.to_owned(), ""),
        ("CANARY".to_owned(), "it is not a JSON object"),
        (r#"["CANARY"]"#.to_owned(), "it is not a JSON object"),
        (with(r#""acces_token": "CANARY""#), "it has an unknown property; known are id, provider,"),
        (good.replace("\"et\"", "null"), "provider is required"),
        (good.replace("\"et\"", "\"\""), "provider is required"),
        (good.replace("\"et\"", "7"), "provider must be a text"),
        (good.replace("CANARY", ""), "access_token or refresh_token is required"),
        (with(&format!(r#""refresh_token": "{long}""#)), "refresh_token is longer than 30 bytes"),
        (with(&format!(r#""claims": {{"a": "{long}"}}"#)), "claims is longer than 30 bytes"),
        (with(&format!(r#""scope": "{long}""#)), "scope is longer than 30 bytes"),
        (good.replace("tje0", "CANARY"), "owner is not a user of the tenant"),
        (good.replace("\"tje0\"", "null"), "owner is required"),
        (with(r#""tenant": "CANARY""#), "tenant is not a tenant of this installation"),
        (with(r#""expires_in": -1"#), "expires_in must be from 0 to 315360000"),
        (with(r#""expires_in": "CANARY""#), "expires_in must be a whole number"),
        (
            with(r#""expires_in": 1, "access_expires": 1"#),
            "set expires_in or access_expires, not both",
        ),
        (with(r#""access_expires": "2027-01-31T12:00:00""#), "access_expires must be like"),
        (with(r#""parameters": {"shop": 7}"#), "parameters must be an object of texts"),
        (with(r#""parameters": {"shop": "CANARY"}"#), "parameters need a provider in"),
        (with(r#""id": "CANARY\n""#), "id must have at most 255 bytes, and no control"),
    ];
    let text: Vec<_> = lines.iter().map(|(line, _)| line.as_str()).collect();
    write(&setup, "tokens.jsonl", text.join("\n"));
    for arguments in [&["tokens.jsonl", "--check"][..], &["tokens.jsonl", "--keys", "keys.csv"]] {
        let told = import(&setup, arguments).expect_err("bad lines");
        for (index, (line, fault)) in lines.iter().enumerate() {
            let named = format!("line {}: {fault}", index + 1);
            let is_named = told.lines().any(|told| told.starts_with(&named));
            assert_eq!(is_named, !fault.is_empty(), "{line}: {named} is not in {told}");
        }
        assert!(told.contains("20 lines cannot be saved; this run saved nothing"), "{told}");
        assert!(!setup.folder().join("keys.csv").exists());
    }
    for (name, text, fault) in [
        ("1.csv", "et,tje0,CANARY\n", "line 1: column 1 does not have the name of a property"),
        ("2.csv", "provider,owner,provider\n", "line 1: column 3 has the same name as another one"),
        ("3.csv", "provider,owner\net,tje0,CANARY\n", "line 2: it has more or fewer cells"),
        (
            "4.csv",
            "provider,parameters.a,parameters\net,b,{}\n",
            "line 1: parameters are in one column and in columns of their own",
        ),
        ("5.csv", "", "0 lines"),
    ] {
        write(&setup, name, text);
        let (Ok(told) | Err(told)) = import(&setup, &[name, "--check"]);
        assert!(told.contains(fault), "{name}: {told}");
    }
    write(
        &setup,
        "6.csv",
        [b"provider,owner,access_token\net,tje0,\"".as_slice(), &[b'x'; 200_000]].concat(),
    );
    let told = import(&setup, &["6.csv", "--check"]).expect_err("a quote that is never closed");
    assert!(told.contains("is there a quote that is not closed?"), "{told}");
    write(&setup, "7.jsonl", vec![b' '; 200_000]);
    let told = import(&setup, &["7.jsonl", "--check"]).expect_err("a long line");
    assert!(told.contains("line 1 is longer than"), "{told}");
    write(&setup, "8.csv", b"provider,owner,access_token\net,tje0,\xe5\n");
    let told = import(&setup, &["8.csv", "--check"]).expect_err("another encoding");
    assert!(told.contains("line 2: it is not UTF-8"), "{told}");
    for (arguments, fault) in [
        (&["missing.csv", "--check"][..], "cannot read missing.csv"),
        (&["tokens", "--check"], "add --format jsonl or --format csv"),
        (&["tokens.jsonl"], "--keys <FILE>"),
    ] {
        let told = import(&setup, arguments).expect_err(fault);
        assert!(told.contains(fault), "{told}");
    }
    let app = setup.start();
    assert_eq!(app.saved_rows(), 0);
}

/// Parameters of a configured provider are checked as by a save, and kept.
#[test]
fn parameters_are_those_of_the_provider() {
    let provider = json!([{
        "name": "shop", "client_id": "c", "client_secret": "CANARY",
        "token_endpoint": "https://{shop}.example.com/token",
        "parameters": {"shop": {"values": ["acme", "other"]}},
    }]);
    let setup = Setup::new().with("GRANTS__PROVIDERS", &provider.to_string());
    let setup = setup.start().stop();
    let csv = |shop: &str| {
        format!("provider,refresh_token,parameters.shop\nshop,CANARY-refresh,{shop}\n")
    };
    write(&setup, "tokens.csv", csv("another"));
    let arguments = ["tokens.csv", "--owner", "tje0", "--keys", "keys.csv"];
    let told = import(&setup, &arguments).expect_err("it is not in the list");
    assert!(told.contains("line 2: parameters: shop has a value that is not allowed"), "{told}");
    write(&setup, "tokens.csv", csv("acme"));
    import(&setup, &arguments).expect("it is saved");
    let app = setup.start();
    let rows = keys(&setup.folder().join("keys.csv"));
    let reason = get(&app.client(), &rows[0].key, 0).expect(503).json();
    assert!(reason["Message"].as_str().expect("a text").contains("(network)"), "{reason}");
}

/// If paths name tenants, each line belongs to one tenant.
#[test]
fn a_line_is_of_its_tenant() {
    let setup = Setup::new().with("TENANTS", "path");
    let app = setup.start();
    for tenant in ["cust1", "cust2"] {
        app.admin(&["user", "add", "ann", "--tenant", tenant, "--password-stdin"]);
    }
    write(
        &app.setup,
        "tokens.csv",
        "provider,owner,tenant,access_token\net,ann,Cust1,CANARY-1\net,ann,,CANARY-2\n",
    );
    let told = import(&app.setup, &["tokens.csv", "--check"]).expect_err("the second has none");
    assert!(told.contains("line 3: tenant is required where paths name tenants"), "{told}");
    let arguments = ["tokens.csv", "--keys", "keys.csv", "--tenant", "cust2"];
    import(&app.setup, &arguments).expect("it is saved");
    let tenants = "SELECT count(*) FROM external_tokens WHERE tenant = ";
    let count = |tenant: &str| app.number(&format!("{tenants}'{tenant}'"));
    assert_eq!((count("cust1"), count("cust2")), (1, 1));
}

/// A file of keys is never overwritten, serves one import at a time, and only its owner can read it.
#[test]
fn a_file_of_keys_is_not_overwritten() {
    let setup = TestApp::new().stop();
    let path = setup.folder().join("keys.csv");
    write(&setup, "tokens.jsonl", many(3));
    let first = ["tokens.jsonl", "--keys", "keys.csv"];
    let again = ["tokens.jsonl", "--keys", "keys.csv", "--resume"];
    let told = import(&setup, &again).expect_err("there is none");
    assert!(told.contains("cannot open keys.csv"), "{told}");
    let told =
        import(&setup, &["tokens.jsonl", "--keys", "missing/keys.csv"]).expect_err("no folder");
    assert!(told.contains("cannot create missing/keys.csv"), "{told}");
    import(&setup, &first).expect("it is saved");
    let rows = keys(&path);
    let told = import(&setup, &first).expect_err("it is there");
    assert!(told.contains("keys.csv already exists, and is not overwritten"), "{told}");
    let done = import(&setup, &again).expect("nothing is left to do");
    assert_eq!(done, "saved 0 records, after 3 of a run before; their keys are in keys.csv\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
    let told = import(&setup, &again).expect_err("others can read it");
    assert!(told.contains("other users can use keys.csv"), "{told}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");

    // A different line, fewer lines, and an unrelated file.
    write(&setup, "tokens.jsonl", many(3).replace("CANARY-access-2", "CANARY-other"));
    let told = import(&setup, &again).expect_err("another line");
    assert!(told.contains("line 2 is not the line that the file of keys has there"), "{told}");
    write(&setup, "tokens.jsonl", many(2));
    let told = import(&setup, &again).expect_err("fewer lines");
    assert!(told.contains("the file ends before line 3"), "{told}");
    write(&setup, "tokens.jsonl", many(3));
    let told = import(&setup, &["tokens.jsonl", "--keys", "tokens.jsonl", "--resume"]);
    let told = told.expect_err("no file of keys");
    assert!(
        told.contains("other users can use") || told.contains("is not a file of keys"),
        "{told}"
    );
    assert_eq!(keys(&path), rows);
    // A key after a damaged one is not dropped.
    let text = fs::read_to_string(&path).expect("it is there");
    let damaged = text.replace(&rows[1].record, "another");
    fs::write(&path, &damaged).expect("written");
    let told = import(&setup, &again).expect_err("it is damaged");
    assert!(told.contains("keys.csv is damaged in line 3; repair that line"), "{told}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), damaged);
    let app = setup.start();
    assert_eq!(app.saved_rows(), 3);
}

/// A resumed import drops an incomplete last row of the file of keys, and saves a missing record under its key.
#[test]
fn what_was_cut_off_is_made_good() {
    let setup = TestApp::new().stop();
    let path = setup.folder().join("keys.csv");
    write(&setup, "tokens.jsonl", many(400));
    import(&setup, &["tokens.jsonl", "--keys", "keys.csv"]).expect("it is saved");
    let rows = keys(&path);
    // As after a power failure before the second batch was committed and the file was complete.
    let text = fs::read_to_string(&path).expect("it is there");
    let cut = text.len() - 40 * rows[0].key.len() + 7;
    fs::write(&path, &text[..cut]).expect("cut");
    let app = setup.start();
    let gone = app.sql("DELETE FROM external_tokens WHERE id IN (SELECT id FROM external_tokens ORDER BY id DESC LIMIT 100)");
    assert_eq!(gone, 100);
    let again = ["tokens.jsonl", "--keys", "keys.csv", "--resume", "--output", "json"];
    let report = import(&app.setup, &again).expect("it goes on");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    tell(&format!("after a cut: {report}"));
    assert_eq!((&report["lines"], &report["saved"]), (&json!(400), &json!(100)), "{report}");
    assert_eq!(app.saved_rows(), 400);
    assert_all_retrieved(&app, &path, 400);
}

/// Records of an earlier batch that are missing from the database, for example after a restore, are saved under their
/// keys. A last row without its newline is still a key.
#[test]
fn every_key_is_looked_for() {
    let setup = TestApp::new().stop();
    let path = setup.folder().join("keys.csv");
    write(&setup, "tokens.jsonl", many(300));
    import(&setup, &["tokens.jsonl", "--keys", "keys.csv"]).expect("it is saved");
    let text = fs::read_to_string(&path).expect("it is there");
    fs::write(&path, text.trim_end()).expect("written");
    let app = setup.start();
    let gone =
        app.sql("DELETE FROM external_tokens WHERE id = (SELECT min(id) FROM external_tokens)");
    assert_eq!(gone, 1);
    let again = ["tokens.jsonl", "--keys", "keys.csv", "--resume", "--output", "json"];
    let report = import(&app.setup, &again).expect("it goes on");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((&report["before"], &report["saved"]), (&json!(299), &json!(1)), "{report}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), text);
    assert_all_retrieved(&app, &path, 300);

    // A damaged row may contain a key that opens a record.
    let damaged = text.trim_end().rsplit_once(',').expect("a row").0.to_owned() + ",?\n";
    fs::write(&path, damaged).expect("written");
    let refusal = import(&app.setup, &again).expect_err("it is refused");
    assert!(refusal.contains("is damaged in line 301"), "{refusal}");
    // An import that ended before it wrote the file's head can be resumed.
    fs::write(&path, &text[..7]).expect("written");
    app.sql("DELETE FROM external_tokens");
    import(&app.setup, &again).expect("it goes on");
    assert_all_retrieved(&app, &path, 300);
}

/// SIGKILL at a random moment: the repeated import saves every line once, and each key retrieves its line.
#[test]
fn an_import_that_was_killed_goes_on() {
    const LINES: usize = 2000;
    let app = TestApp::new();
    let path = app.setup.folder().join("keys.csv");
    write(&app.setup, "tokens.jsonl", many(LINES));
    let mut arguments = vec!["import", "tokens.jsonl", "--keys", "keys.csv"];
    let mut kills = 0;
    for share in [1, 4, 7, 10] {
        let mut command = app.setup.clone().arguments(&arguments).command();
        let mut process =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let wanted = LINES * share / 12;
        let begun = Instant::now();
        let rows = || fs::read_to_string(&path).map_or(0, |text| text.lines().count());
        while rows() < wanted && begun.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(1));
        }
        kills += usize::from(process.try_wait().expect("it is known").is_none());
        process.kill().expect("killed");
        process.wait().expect("it ended");
        if path.exists() && arguments.len() == 4 {
            arguments.push("--resume");
        }
        tell(&format!("killed with {} rows of keys and {} records", rows(), app.saved_rows()));
    }
    assert!(kills >= 2, "{kills} of 4 were killed while they ran");
    app.admin(&arguments);
    assert_eq!(app.saved_rows(), LINES);
    assert_all_retrieved(&app, &path, LINES);
}

/// Thousands of lines are imported in many batches. Each batch is on disk before the next one begins.
#[test]
fn thousands_of_lines_are_imported() {
    const LINES: usize = 5000;
    let app = TestApp::new();
    write(&app.setup, "tokens.jsonl", many(LINES));
    import(&app.setup, &["tokens.jsonl", "--keys", "keys.csv"]).expect("it is saved");
    assert_eq!(app.saved_rows(), LINES);
    let rows = keys(&app.setup.folder().join("keys.csv"));
    assert_eq!(rows.len(), LINES);
    for row in rows.iter().step_by(97) {
        let token = format!("CANARY-access-{}", row.line);
        assert_eq!(app.client().access_token(&row.key), Some(token));
    }
}

/// Asserts that every line has a key, and that the key retrieves the line's tokens.
fn assert_all_retrieved(app: &TestApp, path: &Path, count: usize) {
    let rows = keys(path);
    assert_eq!(rows.len(), count);
    let parts = rows.chunks(count.div_ceil(4));
    thread::scope(|scope| {
        for part in parts {
            let client = app.client();
            scope.spawn(move || {
                for row in part {
                    let number = row.line;
                    assert_eq!(row.id, format!("own-{number}"));
                    let token = client.access_token(&row.key);
                    assert_eq!(token, Some(format!("CANARY-access-{number}")));
                }
            });
        }
    });
}

/// The quota of an owner stops the import before the batch. The resumed import loses nothing.
#[test]
fn an_owner_has_no_more_records_than_it_may() {
    let setup = TestApp::new().stop();
    write(&setup, "tokens.jsonl", many(300));
    let few = setup.clone().with("RECORDS__PER_USER", "290");
    let told = import(&few, &["tokens.jsonl", "--keys", "keys.csv"]).expect_err("too many");
    assert!(told.contains("stopped after 256 records: the owner of line 257"), "{told}");
    assert_eq!(keys(&setup.folder().join("keys.csv")).len(), 256);
    let told = import(&few, &["tokens.jsonl", "--keys", "keys.csv", "--resume"]);
    told.expect_err("still too many");
    import(&setup, &["tokens.jsonl", "--keys", "keys.csv", "--resume"]).expect("it goes on");
    let app = setup.start();
    assert_eq!(app.saved_rows(), 300);
    assert_all_retrieved(&app, &setup.folder().join("keys.csv"), 300);
}

/// Standard input is read only once. An invalid line stops the import, and the resumed import saves the lines before
/// it.
#[test]
fn standard_input_is_imported_as_it_comes() {
    let setup = TestApp::new().stop();
    let arguments = ["import", "-", "--format", "jsonl", "--keys", "keys.csv"];
    let bad = format!("{}{{}}\n", many(300));
    let told = setup.run(&arguments, &bad).expect_err("the last line is bad");
    assert!(
        told.contains("line 301: provider is required; the lines before it were saved"),
        "{told}"
    );
    let again = [&arguments[..], &["--resume"]].concat();
    let done = setup.run(&again, &many(301)).expect("it goes on");
    assert!(done.starts_with("saved 45 records, after 256 of a run before"), "{done}");
    let app = setup.start();
    assert_all_retrieved(&app, &setup.folder().join("keys.csv"), 301);
}
