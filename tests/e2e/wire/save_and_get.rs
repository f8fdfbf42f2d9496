//! The main task: tokens are saved for a key, and the key retrieves them.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::app::{Setup, TestApp};

/// CONTRACT 2, O1: the documented sample, byte for byte.
#[test]
fn the_documented_sample_is_answered_verbatim() {
    let app = TestApp::new();
    let body = r#"{
  "TokenManagementInfo": {
    "Provider": "et",
    "AccessToken": "fugit",
    "RefreshToken": "odit",
    "TableRight": null,
    "FieldProperties": {
      "fieldName": {
        "FieldRight": null,
        "FieldType": "System.String",
        "FieldLength": 938
      }
    }
  }
}"#;
    let request = format!(
        "POST /api/v1/Agents/User/SaveExternalTokens?$select=name,department,category/id HTTP/1.1\r\n\
         Host: {}\r\n\
         Authorization: Basic dGplMDpUamUw\r\n\
         Accept: application/json; charset=utf-8\r\n\
         Accept-Language: en\r\n\
         Content-Type: application/json; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        app.authority(),
        body.len()
    );
    let answer = app.raw(&request);
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("HTTP/1.1 200 OK"));
    assert!(lines.any(|line| line == "content-type: application/json; charset=utf-8"), "{head}");
    let Value::String(key) = serde_json::from_str(body).expect("JSON") else {
        panic!("{body} is no string")
    };
    let saved = app.client().get(&key);
    assert_eq!(saved["Provider"], "et");
    assert_eq!(saved["AccessToken"], "fugit");
    assert_eq!(saved["RefreshToken"], "odit");
}

/// CONTRACT 3, 6, O2: PascalCase, with the owner's rights.
#[test]
fn what_comes_back_is_written_exactly_as_documented() {
    let app = TestApp::new();
    let claims = r#"{"sub":"1","n":{"deep":[1]}}"#;
    let carrier =
        json!({"Provider": "et", "AccessToken": "fugit", "RefreshToken": "odit", "Claims": claims});
    let key = app.client().save(&carrier);
    let property = |length: usize, mask: &str, reason: &str| {
        json!({
            "FieldRight": {"Mask": mask, "Reason": reason},
            "FieldType": "System.String",
            "FieldLength": length
        })
    };
    let optional = property(65536, "Update", "");
    let expected = json!({
        "Provider": "et",
        "AccessToken": "fugit",
        "RefreshToken": "odit",
        "Claims": claims,
        "TableRight": {"Mask": "FULL", "Reason": ""},
        "FieldProperties": {
            "Provider": property(255, "Update, UIHintMandatory", "[SR_ACCESS_MANDATORY]"),
            "AccessToken": optional,
            "RefreshToken": optional,
            "Claims": optional
        }
    });
    assert_eq!(app.client().get(&key), expected);
}

/// CONTRACT 3: the official client writes names in camelCase. Other clients may use any case.
#[rstest]
#[case("tokenManagementInfo", "provider", "accessToken", "key")]
#[case("TOKENMANAGEMENTINFO", "PROVIDER", "ACCESSTOKEN", "KEY")]
#[case("TokenManagementInfo", "Provider", "AccessToken", "Key")]
fn names_are_read_in_any_case(
    #[case] carrier: &str,
    #[case] provider: &str,
    #[case] access_token: &str,
    #[case] key: &str,
) {
    let app = TestApp::new();
    let body = json!({carrier: {provider: "et", access_token: "fugit"}});
    let saved = app.client().post("SaveExternalTokens", &body).expect(200).json();
    let got = app.client().post("GetExternalTokens", &json!({ key: saved })).expect(200).json();
    assert_eq!(got["AccessToken"], "fugit");
    assert_eq!(got["RefreshToken"], Value::Null);
}

/// CONTRACT 4, 9: rights and unknown properties are ignored. Of equal names the last one counts.
#[test]
fn what_is_not_the_carriers_own_is_ignored() {
    let app = TestApp::new();
    let body = r#"{"Unknown":[1],"TokenManagementInfo":{"AccessToken":"first","Provider":"et",
        "TableRight":{"Mask":"None"},"FieldProperties":"odd","accessTOKEN":"last","X":{}}}"#;
    let key = app.client().post_text("SaveExternalTokens", body).expect(200).json();
    let got = app.client().get(key.as_str().expect("key"));
    assert_eq!(got["AccessToken"], "last");
    assert_eq!(got["TableRight"]["Mask"], "FULL");
}

/// CONTRACT 7: a token is kept byte for byte, up to the limit.
#[rstest]
#[case::one_byte("x".to_owned())]
#[case::json_escapes("\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}".to_owned())]
#[case::any_plane("åß漢字😀\u{10ffff}\u{feff}\u{202e}e\u{301}".to_owned())]
#[case::spaces("  leading and trailing \n".to_owned())]
#[case::sealed_block("x".repeat(1023))]
#[case::at_the_limit("å".repeat(32_768))]
fn tokens_come_back_byte_for_byte(#[case] token: String) {
    let app = TestApp::new();
    let carrier = json!({
        "Provider": token.replace('\0', "").chars().take(255).collect::<String>(),
        "AccessToken": token, "RefreshToken": token, "Claims": token
    });
    let got = app.client().get(&app.client().save(&carrier));
    for field in ["Provider", "AccessToken", "RefreshToken", "Claims"] {
        assert_eq!(got[field], carrier[field], "{field}");
    }
}

/// CONTRACT 7: an access token alone, or a refresh token alone. A missing value is null.
#[rstest]
#[case(json!({"Provider": "et", "AccessToken": "fugit"}), ["fugit", ""])]
#[case(json!({"Provider": "et", "RefreshToken": "odit", "AccessToken": null}), ["", "odit"])]
fn one_token_is_enough(#[case] carrier: Value, #[case] expected: [&str; 2]) {
    let app = TestApp::new();
    let got = app.client().get(&app.client().save(&carrier));
    let text = |field: &str| got[field].as_str().unwrap_or_default().to_owned();
    assert_eq!([text("AccessToken"), text("RefreshToken")], expected);
    assert_eq!(got["Claims"], Value::Null);
}

/// CONTRACT 7, 35: a 400 that names the property, and never its value.
#[rstest]
#[case::empty_body("", "TokenManagementInfo is required")]
#[case::null_body("null", "TokenManagementInfo is required")]
#[case::no_carrier("{}", "TokenManagementInfo is required")]
#[case::null_carrier(r#"{"TokenManagementInfo":null}"#, "TokenManagementInfo is required")]
#[case::array("[]", "The body must be an object, not an array")]
#[case::string(r#""CANARY""#, "The body must be an object, not a string")]
#[case::carrier_type(
    r#"{"TokenManagementInfo":"CANARY"}"#,
    "TokenManagementInfo must be an object, not a string"
)]
#[case::no_provider(
    r#"{"TokenManagementInfo":{"AccessToken":"CANARY"}}"#,
    "TokenManagementInfo.Provider is required"
)]
#[case::nul_in_provider(
    r#"{"TokenManagementInfo":{"Provider":"e\u0000t","AccessToken":"CANARY"}}"#,
    "TokenManagementInfo.Provider must not have the character U+0000"
)]
#[case::empty_provider(
    r#"{"TokenManagementInfo":{"Provider":"","AccessToken":"CANARY"}}"#,
    "TokenManagementInfo.Provider is required"
)]
#[case::provider_type(
    r#"{"TokenManagementInfo":{"Provider":7,"AccessToken":"CANARY"}}"#,
    "TokenManagementInfo.Provider must be a string, not a number"
)]
#[case::no_token(
    r#"{"TokenManagementInfo":{"Provider":"et","Claims":"CANARY"}}"#,
    "TokenManagementInfo.AccessToken or TokenManagementInfo.RefreshToken is required"
)]
#[case::token_type(
    r#"{"TokenManagementInfo":{"Provider":"et","RefreshToken":["CANARY"]}}"#,
    "TokenManagementInfo.RefreshToken must be a string, not an array"
)]
#[case::claims_type(
    r#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"x","Claims":{"CANARY":1}}}"#,
    "TokenManagementInfo.Claims must be a string, not an object"
)]
#[case::malformed(r#"{"TokenManagementInfo":{"Provider":"CANARY"#, "The body is not valid JSON")]
#[case::trailing(r#"{"TokenManagementInfo":null} CANARY"#, "The body is not valid JSON")]
fn an_invalid_carrier_is_refused_by_name(#[case] body: &str, #[case] message: &str) {
    let app = TestApp::new();
    let answer = app.client().post_text("SaveExternalTokens", body);
    let answer = answer.expect_error(400, "ArgumentException", message);
    assert!(!answer.body.contains("CANARY"), "{}", answer.body);
}

/// CONTRACT 7: limits, including configured ones: characters for the provider, bytes for the others.
#[test]
fn what_is_over_a_limit_is_refused_by_name() {
    let app = Setup::new().with("LIMITS__TOKEN_BYTES", "10").start();
    let save = |provider: &str, access: &str, refresh: &str, claims: &str| {
        let carrier = json!({
            "Provider": provider, "AccessToken": access, "RefreshToken": refresh, "Claims": claims
        });
        app.client().post("SaveExternalTokens", &json!({ "TokenManagementInfo": carrier }))
    };
    let at_limit = "ååååå";
    save(&"å".repeat(255), at_limit, at_limit, at_limit).expect(200);
    let over = "åååååx";
    let provider = save(&"å".repeat(256), "x", "", "");
    provider.expect_error(400, "ArgumentException", "Provider is longer than 255 characters");
    let access = save("et", over, "x", "");
    access.expect_error(400, "ArgumentException", "AccessToken is longer than 10 bytes");
    let refresh = save("et", "x", over, "");
    refresh.expect_error(400, "ArgumentException", "RefreshToken is longer than 10 bytes");
    let claims = save("et", "x", "x", over);
    claims.expect_error(400, "ArgumentException", "Claims is longer than 10 bytes");
}

/// CONTRACT 8: null, with 200, for a key that does not exist and for one with a wrong secret.
#[test]
fn a_key_that_retrieves_nothing_is_answered_with_null() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let saved = model::RetrievalKey::parse(&key).expect("key").record();
    let unknown = model::RecordId::from_i64(saved.as_i64() + 1).expect("id");
    for id in [saved, unknown] {
        let forged = model::RetrievalKey::new(id, &[7; 32]);
        let answer = app.client().post("GetExternalTokens", &json!({"Key": forged.expose()}));
        assert_eq!(answer.expect(200).body, "null");
    }
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
}

/// CONTRACT 8: a wrong shape or checksum is a 400 that names `Key`.
#[test]
fn a_mistyped_key_is_refused() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let last = if key.ends_with('0') { '1' } else { '0' };
    let mistyped = format!("{}{last}", &key[..key.len() - 1]);
    let get = |body: Value| app.client().post("GetExternalTokens", &body);
    let checksum = get(json!({ "Key": mistyped }));
    checksum.expect_error(400, "ArgumentException", "Key is mistyped: its checksum is wrong");
    let long = format!("lk_{}", "x".repeat(1 << 16));
    for no_key in ["lk_", "lk_\0", &key[..62], &key[..10], &format!("{key}0"), &long] {
        for body in [json!({ "Key": no_key }), json!({"Key": format!("\"{no_key}\"")})] {
            let answer = get(body.clone());
            let answer = answer.expect_error(400, "ArgumentException", "Key is not a key");
            let length = no_key.chars().count();
            let told = format!("The text has {length} characters; a key has 63.");
            let answer = answer.json()["MessageDetail"].take();
            assert!(answer.as_str().is_some_and(|detail| detail.starts_with(&told)), "{answer}");
            for operation in ["Describe", "Revoke"] {
                app.client().post_records(operation, &body).expect(400);
            }
        }
    }
    get(json!({})).expect_error(400, "ArgumentException", "Key is required");
    for empty in ["", " ", "\"\"", " \" \" "] {
        get(json!({ "Key": empty })).expect_error(400, "ArgumentException", "Key is required");
    }
    get(json!({"Key": null})).expect_error(400, "ArgumentException", "Key is required");
    get(json!({"Key": 1})).expect_error(400, "ArgumentException", "Key must be a string");
}

/// CONTRACT 8: white space around a key, as in pretty-printed XML and pasted lines, is ignored, and so are quotes.
#[test]
fn a_key_may_have_white_space_and_quotes_around_it() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    for written in [format!("\n  {key} \r\n"), format!("\"{key}\""), format!(" \" {key}\n\"\n")] {
        assert_eq!(app.client().access_token(&written).as_deref(), Some("fugit"), "{written}");
        assert!(app.client().describe(&json!({ "Key": written })).is_object(), "{written}");
    }
    let id = format!("\"{}\"", &key[3..14]);
    assert!(app.client().describe(&json!({ "Id": id })).is_object());
    assert!(app.client().revoke(&json!({"Key": format!("\"{key}\"")})));
}

/// CONTRACT 8, 39: a text without the prefix of keys is no key of this server, mistyped or not. It retrieves nothing,
/// like the sample in the documentation.
#[test]
fn what_is_no_key_of_this_server_retrieves_nothing() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let long = "x".repeat(1 << 16);
    for no_key in
        ["nam", "6dd8a1f4-5f0b-4f0c", "LK_0", "lk", &key[1..], "nam\0", "\"nam\"", "å", &long]
    {
        let body = json!({ "Key": no_key });
        assert_eq!(app.client().post("GetExternalTokens", &body).expect(200).body, "null");
        assert_eq!(app.client().post_records("Describe", &body).expect(200).body, "null");
        assert_eq!(app.client().post_records("Revoke", &body).expect(200).body, "false");
    }
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
}

/// Every save makes a new record, and changes no other.
#[test]
fn equal_carriers_get_different_keys() {
    let app = TestApp::new();
    let carrier = json!({"Provider": "et", "AccessToken": "fugit", "RefreshToken": "odit"});
    let (one, two) = (app.client().save(&carrier), app.client().save(&carrier));
    assert!(one != two);
    assert_eq!(app.client().get(&one), app.client().get(&two));
    assert!(one.len() <= 64 && one.starts_with("lk_"), "{one}");
}
