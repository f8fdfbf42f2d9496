//! `latchkey verify`: the properties of a database that it proves, while a server runs.

use std::fs;

use model::{RecordId, RetrievalKey};
use serde_json::{Value, json};

use crate::{
    Database,
    support::{
        app::{Setup, TestApp, until},
        load::{Random, Record},
        master_keys::{fill, ids, start_rotation},
    },
};

fn save(app: &TestApp) -> i64 {
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    RetrievalKey::parse(&key).expect("key").record().as_i64()
}

/// The report of the command, and whether it succeeded.
fn verify(setup: &Setup) -> (Value, bool) {
    let mut command = setup.clone().arguments(&["verify", "--output", "json"]).command();
    let output = command.output().expect("it runs");
    let told = serde_json::from_slice(&output.stdout);
    (told.unwrap_or_else(|error| panic!("{error}: {output:?}")), output.status.success())
}

#[test]
fn it_says_what_it_proved() {
    let app = TestApp::new();
    let ids = [(); 3].map(|()| save(&app));
    app.sql(&format!(
        "UPDATE external_tokens SET ended = 5, kek_id = '', wrapped_dek = {0}, sealed = {0} \
         WHERE id = {1}",
        Database::zeros("0"),
        ids[0]
    ));
    app.sql(&format!("UPDATE external_tokens SET expires = 5 WHERE id = {}", ids[1]));
    app.sql(&format!(
        "INSERT INTO grants SELECT id, {}, 'live', 1, NULL, 0, NULL, 1, NULL, 1, 1, NULL, 1, NULL, NULL, 0 \
         FROM external_tokens WHERE ended IS NULL",
        Database::zeros("32")
    ));
    let told = app.admin(&["verify"]);
    assert!(!told.contains("not in the database"), "{told}");
    for line in [
        "1 master key: all there and the right ones",
        "2 records: every data key opens under its master key; only callers can open the tokens \
         themselves",
        "ended, without tokens: 1 record",
        "1 user",
        "2 grants",
    ] {
        assert!(told.lines().any(|said| said == line), "no {line:?} in {told}");
    }
    let (report, is_proved) = verify(&app.setup);
    assert!(is_proved);
    for (name, value) in [
        ("master_keys", 1),
        ("records", 2),
        ("ended", 1),
        ("users", 1),
        ("grants", 2),
        ("unsaved", 0),
    ] {
        assert_eq!(report[name], value, "{report}");
    }
    assert_eq!(report["damaged"], json!([]));
}

/// The report says that new tokens in the configured folder, which wait for the database, were not verified.
#[test]
fn it_says_how_many_tokens_wait_in_files() {
    let setup = TestApp::new().stop().with("GRANTS__UNSAVED_DIRECTORY", "waiting");
    assert_eq!(verify(&setup).0["unsaved"], 0);
    let folder = setup.folder().join("waiting");
    assert!(!folder.exists(), "it makes nothing");
    fs::create_dir(&folder).expect("folder");
    let record = RecordId::from_i64(7).expect("an id").text();
    for name in
        [format!("{record}.1.unsaved"), format!("{record}.2.unsaved"), "probe.tmp".to_owned()]
    {
        fs::write(folder.join(name), b"").expect("written");
    }
    assert_eq!(verify(&setup).0["unsaved"], 2);
    let told = setup.run(&["verify"], "").expect("proved");
    let line = "not in the database yet: new tokens in 2 files, which a server commits";
    assert!(told.lines().any(|said| said == line), "{told}");
}

/// Each damaged record is named by its id, and the others are not.
#[test]
fn a_damaged_record_is_named() {
    let app = TestApp::new();
    let good = save(&app);
    let forgeries = [
        "wrapped_dek = substr(wrapped_dek, 2)",
        &format!("wrapped_dek = {}", Database::zeros("62")),
        &format!("wrapped_dek = (SELECT wrapped_dek FROM external_tokens WHERE id = {good})"),
        "tenant = 'other'",
        "provider = 'other'",
        "provider = ''",
        "generation = generation + 1",
        "kek_id = 'other'",
    ];
    let mut bad = Vec::new();
    for forgery in forgeries {
        let id = save(&app);
        assert_eq!(app.sql(&format!("UPDATE external_tokens SET {forgery} WHERE id = {id}")), 1);
        bad.push(RecordId::from_i64(id).expect("an id").text());
    }
    save(&app);
    let (report, is_proved) = verify(&app.setup);
    assert!(!is_proved);
    assert_eq!(report["damaged"], json!(bad));
    assert_eq!(report["records"], bad.len() + 2);
    let refusal = app.setup.run(&["verify"], "").expect_err("damaged");
    assert!(
        refusal.contains("8 records are damaged: another program changed the data"),
        "{refusal}"
    );
}

/// More records than one page has, and more that are saved meanwhile.
#[test]
fn it_works_under_load() {
    let app = TestApp::new();
    let record = Record::default();
    record.load(&app.url.clone(), 8, &mut Random::new(), || {
        until("2,500 saves", || record.acknowledged() >= 2500);
        for _ in 0..3 {
            let before = record.acknowledged() as u64;
            let (report, is_proved) = verify(&app.setup);
            assert!(is_proved && report["records"].as_u64() >= Some(before), "{before}: {report}");
        }
    });
    let kept = record.acknowledged() as u64;
    assert_eq!(verify(&app.setup).0["records"].as_u64(), Some(kept));
}

/// Meanwhile records are moved to a master key that the command does not know at its start, and other records end.
#[test]
fn it_works_beside_a_rotation_and_revocations() {
    let app = TestApp::new();
    fill(&app, 3000);
    let client = app.client();
    let revoked: Vec<String> =
        (0..20).map(|_| client.save(&json!({"Provider": "et", "AccessToken": "fugit"}))).collect();
    let old = ids(&app.setup).remove(0);
    let rotation = start_rotation(&app.setup);
    let mut proofs = 0;
    for key in &revoked {
        assert!(client.revoke(&json!({ "Key": key })));
        let (report, is_proved) = verify(&app.setup);
        assert!(is_proved, "{report}");
        proofs += usize::from(records_under(&app, &old) > 0);
    }
    assert!(proofs > 0, "records were moved meanwhile");
    let rotation = rotation.wait_with_output().expect("it ends");
    assert!(rotation.status.success(), "{rotation:?}");
    until("all are moved", || records_under(&app, &old) == 0);
    let (report, is_proved) = verify(&app.setup);
    assert!(is_proved && report["master_keys"] == 2 && report["ended"] == 20, "{report}");
}

fn records_under(app: &TestApp, kek: &str) -> i64 {
    app.number(&format!("SELECT count(*) FROM external_tokens WHERE kek_id = '{kek}'"))
}

/// Without the right master keys nothing is proved.
#[test]
fn without_the_right_master_key_nothing_is_proved() {
    let setup = TestApp::new().stop();
    let file = setup.key_file();
    let refused = |said: &str| {
        let refusal = setup.run(&["verify"], "").expect_err("it is refused");
        assert!(refusal.starts_with("latchkey: cannot verify the database "), "{refusal}");
        assert!(refusal.contains(said), "{refusal}");
    };
    let right = fs::read(&file).expect("key");
    let other: Vec<u8> = right.iter().map(|byte| byte ^ 1).collect();
    fs::write(&file, other).expect("written");
    refused("is not the master key that the database is sealed under");
    fs::remove_file(file).expect("removed");
    refused("is missing; restore that file");
}

/// Without a database nothing is made.
#[test]
fn where_nothing_was_sealed_nothing_is_proved() {
    let setup = Setup::new();
    let refusal = setup.run(&["verify"], "").expect_err("it is refused");
    let told = ["there is no database at", "nothing was ever sealed in it"];
    assert!(told.iter().any(|told| refusal.contains(told)), "{refusal}");
    assert!(!setup.data().exists());
}
