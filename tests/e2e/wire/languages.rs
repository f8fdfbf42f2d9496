//! Languages, cultures and time zones on the wire (CONTRACT 18–24).
//!
//! Invariant: tokens, claims and keys are the same in every language.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    client::Answer,
};

const GET: &str = "/api/v1/Agents/User/GetExternalTokens";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const PROVIDER: &str = r#"NO:"Leverandør";US:"Supplier";GE:"Lieferant";JP:"サプライヤー""#;

/// A JWT that is never verified; it expired on 3 November 2025, 14:05 UTC.
fn expired_token() -> String {
    jwt(1_762_178_700)
}

fn jwt(expiry: i64) -> String {
    let claims = BASE64_URL_SAFE_NO_PAD.encode(json!({"sub": "CANARY", "exp": expiry}).to_string());
    format!("e30.{claims}.c2lnbmF0dXJl")
}

fn get(app: &TestApp, key: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({ "Key": key }).to_string();
    app.client().request("POST", GET, &[&[JSON], headers].concat(), body.as_bytes())
}

fn reason(answer: &Value) -> &str {
    answer["FieldProperties"]["AccessToken"]["FieldRight"]["Reason"].as_str().expect("a reason")
}

/// CONTRACT 18, 19, 20: references and multi-language values, with and without a language.
#[rstest]
#[case(&[], None)]
#[case(&[("Accept-Language", "nb-NO, en;q=0.5")], Some("Leverandør"))]
#[case(&[("Accept-Language", "en-us; en-gb")], Some("Supplier"))]
#[case(&[("Accept-Language", "de;q=0.1, pt")], Some("Lieferant"))]
#[case(&[("Accept-Language", "ja")], Some("サプライヤー"))]
#[case(&[("Accept-Language", "sv")], Some("Supplier"))]
#[case(&[("Accept-Language", "pt")], None)]
#[case(&[("Accept-Language", "*")], None)]
#[case(&[("Accept-Language", "en"), ("SO-Language", "no")], Some("Leverandør"))]
#[case(&[("Accept-Language", "en"), ("SO-Language", "pt")], None)]
#[case(&[("Accept-Language", "en"), ("SO-Language", "")], None)]
#[case(&[("Accept-Language", "en"), ("SO-Language", "*")], None)]
#[case(&[("Accept-Language", "en"), ("SO-Language", "x")], None)]
#[case(&[("Accept-Language", "en"), ("SO-Language", "-")], None)]
fn values_for_people_are_translated(
    #[case] headers: &[(&str, &str)],
    #[case] expected: Option<&str>,
) {
    let app = TestApp::new();
    let fields = json!({
        "Provider": PROVIDER, "AccessToken": expired_token(), "RefreshToken": PROVIDER,
        "Claims": "[SR_NOT_OWNER]"
    });
    let key = app.client().save(&fields);
    let answer = get(&app, &key, headers).expect(200).json();
    assert_eq!(answer["Provider"], expected.unwrap_or(PROVIDER));
    for untouched in ["AccessToken", "RefreshToken", "Claims"] {
        assert_eq!(answer[untouched], fields[untouched], "{untouched}");
    }
    match expected {
        None => assert_eq!(reason(&answer), "[SR_ACCESS_TOKEN_EXPIRED]: 2025-11-03T14:05:00"),
        Some(_) => assert!(!reason(&answer).contains("SR_"), "{}", reason(&answer)),
    }
}

/// CONTRACT 19: references in a stored value. An unknown reference stays unchanged.
#[test]
fn references_are_resolved_where_people_read_them() {
    let app = TestApp::new();
    let provider = "[SR_NOT_OWNER] [SR_SINGULAR_CONTACT]";
    let key = app.client().save(&json!({"Provider": provider, "AccessToken": "fugit"}));
    assert_eq!(get(&app, &key, &[]).json()["Provider"], provider);
    let english = get(&app, &key, &[("Accept-Language", "en")]).json();
    let expected = "You are not the owner of these tokens. [SR_SINGULAR_CONTACT]";
    assert_eq!(english["Provider"], expected);
}

/// CONTRACT 21, 22, 23: the notice in each language. Its date follows the language or the culture of the request, and
/// its time zone.
#[rstest]
#[case("en", None, None, "November 3, 2025 at 2:05\u{202f}PM")]
#[case("en-GB", None, None, "3 November 2025 at 14:05")]
#[case("nb-NO", None, None, "3. november 2025 kl. 14:05")]
#[case("sv", None, None, "3 november 2025 kl. 14:05")]
#[case("da", None, None, "3. november 2025 kl. 14.05")]
#[case("de", None, None, "3. November 2025 um 14:05")]
#[case("nl", None, None, "3 november 2025 om 14:05")]
#[case("fr", None, None, "3 novembre 2025 à 14:05")]
#[case("fi", None, None, "3. marraskuuta 2025 klo 14.05")]
#[case("en", Some("de-DE"), None, "3. November 2025 um 14:05")]
#[case("en", Some(""), None, "November 3, 2025 at 2:05\u{202f}PM")]
#[case("en-GB", None, Some("NO"), "3 November 2025 at 15:05")]
#[case("en-GB", None, Some("261,includeTZOffset"), "3 November 2025 at 15:05 (UTC+01:00)")]
#[case("en-GB", None, Some("US-HI"), "3 November 2025 at 04:05")]
#[case("en-GB", None, Some("Asia/Kathmandu"), "3 November 2025 at 19:50")]
fn dates_are_those_of_language_culture_and_zone(
    #[case] language: &str,
    #[case] culture: Option<&str>,
    #[case] time_zone: Option<&str>,
    #[case] expected: &str,
) {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": expired_token()}));
    let mut headers = vec![("SO-Language", language)];
    headers.extend(culture.map(|culture| ("SO-Culture", culture)));
    headers.extend(time_zone.map(|zone| ("SO-TimeZone", zone)));
    let answer = get(&app, &key, &headers).expect(200).json();
    assert!(reason(&answer).contains(expected), "{}", reason(&answer));
}

/// CONTRACT 6, 23: a token that will expire, and one without an end.
#[test]
fn a_token_that_will_expire_is_reported() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": jwt(4_102_444_800)}));
    let english = [("Accept-Language", "en-GB")];
    let answer = get(&app, &key, &english).expect(200).json();
    assert_eq!(reason(&answer), "The access token expires on 1 January 2100 at 00:00.");
    assert_eq!(answer["TableRight"]["Reason"], "");
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    assert_eq!(reason(&get(&app, &key, &english).expect(200).json()), "");
}

/// CONTRACT 23: without a language dates are neutral. The answer names the time zone that was used, and the server's
/// own zone is the configured one.
#[rstest]
#[case("UTC", None, "UTC", "2025-11-03T14:05:00")]
#[case("UTC", Some("includeTZOffset"), "UTC", "2025-11-03T14:05:00Z")]
#[case("UTC", Some("no"), "NO", "2025-11-03T15:05:00")]
#[case("UTC", Some("NO, includeTZOffset"), "NO", "2025-11-03T15:05:00+01:00")]
#[case("UTC", Some("460"), "US-NY", "2025-11-03T09:05:00")]
#[case("UTC", Some("europe/paris"), "Europe/Paris", "2025-11-03T15:05:00")]
#[case("UTC", Some("AR-NQ"), "AR-NQ", "2025-11-03T11:05:00")]
#[case("UTC", Some("BR"), "BR", "2025-11-03T11:05:00")]
#[case("UTC", Some("W. Europe Standard Time"), "Europe/Berlin", "2025-11-03T15:05:00")]
#[case("US-NY", None, "US-NY", "2025-11-03T09:05:00")]
#[case("US-NY", Some(""), "US-NY", "2025-11-03T09:05:00")]
#[case("Europe/Oslo", Some("UTC"), "UTC", "2025-11-03T14:05:00")]
fn the_zone_that_was_used_is_named(
    #[case] base: &str,
    #[case] wanted: Option<&str>,
    #[case] told: &str,
    #[case] date: &str,
) {
    let app = Setup::new().with("BASE_TIME_ZONE", base).start();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": expired_token()}));
    let headers: Vec<_> = wanted.map(|zone| ("SO-TimeZone", zone)).into_iter().collect();
    let answer = get(&app, &key, &headers).expect(200);
    assert_eq!(answer.header("SO-TimeZone"), told);
    assert_eq!(reason(&answer.json()), format!("[SR_ACCESS_TOKEN_EXPIRED]: {date}"));
}

/// CONTRACT 22, 23: an unknown zone is rejected if the answer has dates. For an unknown culture that of the language is
/// used.
#[test]
fn an_unknown_zone_is_refused_and_an_unknown_culture_ignored() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": expired_token()}));
    for zone in ["XX", "US-XX", "9999", "NO, DK", "../../etc/passwd"] {
        let answer = get(&app, &key, &[("SO-TimeZone", zone)]);
        let message = "SO-TimeZone is not a known time zone";
        let answer = answer.expect_error(400, "ArgumentException", message);
        let detail = answer.json()["MessageDetail"].take();
        let detail = detail.as_str().expect("text");
        assert!(detail.contains("W. Europe Standard Time. Request id: "), "{detail}");
    }
    let date = |culture: &str| {
        let headers = [("SO-Culture", culture), ("Accept-Language", "en-GB")];
        reason(&get(&app, &key, &headers).expect(200).json()).to_owned()
    };
    for culture in ["CANARY CANARY", "nb_NO", "*", "-", "se-NO", "xx-YY", "1"] {
        assert!(date(culture).contains("3 November 2025 at 14:05"), "{culture}");
    }
    for culture in ["en-us; en-gb", "xx-YY, en-us", "*; en-US"] {
        assert!(date(culture).contains("November 3, 2025 at"), "{culture}");
    }
}

/// CONTRACT 19, 21, 34: an error in each language, and each type.
#[test]
fn errors_are_worded_in_every_language_and_type() {
    let app = TestApp::new();
    let mut told = Vec::new();
    for language in ["en", "nb", "sv", "da", "de", "nl", "fr", "fi"] {
        for (media_type, is_xml) in [
            ("application/json", false),
            ("text/xml", true),
            ("application/merge-patch+json", false),
        ] {
            let headers = [("Accept-Language", language), ("Accept", media_type)];
            let answer = get(&app, "lk_", &headers).expect(400);
            assert_eq!(answer.header("Content-Type"), format!("{media_type}; charset=utf-8"));
            if is_xml {
                let start = "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Error>true</Error>\
                             <ErrorType>ArgumentException</ErrorType><ErrorMessage>";
                assert!(answer.body.starts_with(start), "{}", answer.body);
            } else {
                let body = answer.json();
                assert_eq!(body["ErrorMessage"], body["Message"]);
                let id = answer.header("X-Request-Id");
                assert!(body["MessageDetail"].as_str().is_some_and(|told| told.contains(id)));
                told.push(body["Message"].to_string());
            }
        }
    }
    assert!(told[0].contains("Key is not a key of this server"), "{}", told[0]);
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 8, "{told:?}");
}

/// CONTRACT 5, 21: the message that a field is mandatory is in each language, and a reference without a language.
#[test]
fn a_mandatory_field_is_named_in_every_language() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let told = |headers: &[(&str, &str)]| {
        let right = get(&app, &key, headers).expect(200).json();
        let right = &right["FieldProperties"]["Provider"]["FieldRight"];
        assert_eq!(right["Mask"], "Update, UIHintMandatory");
        right["Reason"].as_str().expect("text").to_owned()
    };
    assert_eq!(told(&[]), "[SR_ACCESS_MANDATORY]");
    let languages = ["en", "nb", "sv", "da", "de", "nl", "fr", "fi"];
    let mut words = languages.map(|language| told(&[("Accept-Language", language)])).to_vec();
    assert_eq!(words[0], "This field is mandatory.");
    words.sort();
    words.dedup();
    assert_eq!(words.len(), languages.len(), "{words:?}");
}

/// CONTRACT 19, 22: without a language errors are in English. Numbers in them follow the culture.
#[test]
fn numbers_in_errors_are_those_of_the_culture() {
    let app = TestApp::new();
    let body =
        json!({"TokenManagementInfo": {"Provider": "et", "AccessToken": "x".repeat(70_000)}});
    let path = "/api/v1/Agents/User/SaveExternalTokens";
    for (headers, expected) in [
        (&[JSON][..], "is longer than 65536 bytes."),
        (&[JSON, ("SO-Language", "*")], "is longer than 65536 bytes."),
        (&[JSON, ("SO-Language", "en")], "is longer than 65,536 bytes."),
        (&[JSON, ("SO-Language", "en"), ("SO-Culture", "de")], "is longer than 65.536 bytes."),
        (&[JSON, ("SO-Language", "en"), ("SO-Culture", "se-NO")], "is longer than 65,536 bytes."),
        (&[JSON, ("SO-Language", "nb")], "65\u{a0}536"),
    ] {
        let answer = app.client().request("POST", path, headers, body.to_string().as_bytes());
        answer.expect_error(400, "ArgumentException", expected);
    }
}
