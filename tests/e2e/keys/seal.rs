//! The data that a thief of the database gets, and the limits of a forger.

use serde_json::json;

use crate::{Database, support::app::TestApp};

/// Changes one row directly in the database.
fn tamper(app: &TestApp, sql: &str) {
    assert_eq!(app.sql(sql), 1, "{sql}");
}

/// `strings` over every file of the data folder, in use and at rest, finds neither token nor key.
#[test]
fn no_file_holds_a_token_a_key_or_a_password() {
    let app = TestApp::new();
    let carrier = json!({
        "Provider": "plain-provider",
        "AccessToken": "CANARY-access", "RefreshToken": "CANARY-refresh", "Claims": "CANARY-claims"
    });
    let keys: Vec<String> = (0..50).map(|_| app.client().save(&carrier)).collect();
    app.client().get(&keys[0]);
    let assert_sealed = |app: &TestApp| {
        assert!(!app.files_with("plain-provider").is_empty(), "the search finds what is plain");
        let mut secrets = vec!["CANARY", "Tje0", "lk_"];
        secrets.extend(keys.iter().map(|key| &key[14..57]));
        for secret in secrets {
            assert_eq!(app.files_with(secret), Vec::<std::path::PathBuf>::new(), "{secret}");
        }
    };
    assert_sealed(&app);
    let app = app.stop().start();
    assert_sealed(&app);
    assert_eq!(app.client().access_token(&keys[49]).as_deref(), Some("CANARY-access"));
}

/// A row that was changed or copied is a 500 that reveals nothing. Its neighbours still work.
#[test]
fn a_damaged_row_does_not_open_and_harms_no_other() {
    let app = TestApp::new();
    let save = |token: &str| {
        let key = app.client().save(&json!({"Provider": "et", "AccessToken": token}));
        let id = model::RetrievalKey::parse(&key).expect("key").record().as_i64();
        (key, id)
    };
    let (good, good_id) = save("CANARY-good");
    let forgeries = [
        &format!("sealed = {}", Database::zeros("length(sealed)")),
        &format!("sealed = {}", Database::zeros("0")),
        "wrapped_dek = substr(wrapped_dek, 2)",
        "provider = 'other'",
        "provider = ''",
        "generation = generation + 1",
        "kek_id = 'other'",
        &format!("sealed = (SELECT sealed FROM external_tokens WHERE id = {good_id})"),
        &format!("wrapped_dek = (SELECT wrapped_dek FROM external_tokens WHERE id = {good_id})"),
    ];
    for forgery in forgeries {
        let (key, id) = save("CANARY-bad");
        tamper(&app, &format!("UPDATE external_tokens SET {forgery} WHERE id = {id}"));
        let answer = app.client().post("GetExternalTokens", &json!({ "Key": key }));
        let answer = answer.expect_error(500, "SoServerException", "its log has the cause");
        let id = &key[3..14];
        assert!(!answer.body.contains(id), "{}", answer.body);
        app.logged(&[&format!("record {id} is damaged")]);
    }
    assert_eq!(app.client().access_token(&good).as_deref(), Some("CANARY-good"));
}

/// CONTRACT 8: with the digest of another key, or in another tenant, a record counts as unknown.
#[test]
fn a_record_under_a_foreign_digest_or_tenant_is_not_there() {
    let app = TestApp::new();
    let digest = format!("key_digest = {}", Database::zeros("32"));
    for forgery in [digest.as_str(), "tenant = 'Cust12345'"] {
        let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
        let id = model::RetrievalKey::parse(&key).expect("key").record().as_i64();
        tamper(&app, &format!("UPDATE external_tokens SET {forgery} WHERE id = {id}"));
        let answer = app.client().post("GetExternalTokens", &json!({ "Key": key }));
        assert_eq!(answer.expect(200).body, "null", "{forgery}");
    }
}

/// Readiness fails when the master key no longer opens its sentinel.
#[test]
fn a_lost_sentinel_is_not_ready() {
    let app = TestApp::new();
    tamper(&app, &format!("UPDATE keks SET sentinel = {}", Database::zeros("36")));
    app.client().request("GET", "/readyz", &[], b"").expect(500);
    app.client().request("GET", "/healthz", &[], b"").expect(200);
}

/// A user who was disabled, or whose password was changed, is rejected at once.
#[test]
fn a_change_of_the_user_counts_at_once() {
    let app = TestApp::new();
    app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    tamper(&app, "UPDATE users SET is_disabled = TRUE");
    app.client().post("GetExternalTokens", &json!({})).expect(401);
    tamper(&app, "UPDATE users SET is_disabled = FALSE");
    app.client().post("GetExternalTokens", &json!({})).expect(400);
    tamper(&app, "UPDATE users SET password_hash = '$argon2id$nonsense'");
    app.client().post("GetExternalTokens", &json!({})).expect(401);
}

/// CONTRACT 6: another caller of the tenant who holds the key may read, and the answer's mask says so.
#[test]
fn who_is_not_the_owner_may_read() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    tamper(&app, "UPDATE external_tokens SET owner = 'somebody else'");
    let mask = |app: &TestApp| app.client().get(&key)["TableRight"]["Mask"].clone();
    assert_eq!(mask(&app), "FULL", "an administrator");
    tamper(&app, "UPDATE users SET is_administrator = FALSE");
    assert_eq!(mask(&app), "Select", "another user");
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
}
