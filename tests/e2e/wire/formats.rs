//! The seven types of requests and the six of answers (CONTRACT 9–16).
//!
//! Invariant: a carrier that is saved in one type is answered in every other type.

use std::cell::Cell;

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use quick_xml::{
    Reader, XmlVersion,
    escape::{escape, resolve_predefined_entity},
    events::Event,
};
use rstest::rstest;
use serde_json::{Map, Value, json};

use crate::support::{
    app::TestApp,
    client::{Answer, Client},
    parts::rounds,
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const GET: &str = "/api/v1/Agents/User/GetExternalTokens";

/// The types of requests.
pub(crate) const READ: [&str; 7] = [
    "application/json",
    "text/json",
    "application/xml",
    "text/xml",
    "application/x-www-form-urlencoded",
    "application/json-patch+json",
    "application/merge-patch+json",
];
const WRITTEN: [&str; 6] = [
    "application/json",
    "text/json",
    "application/xml",
    "text/xml",
    "application/json-patch+json",
    "application/merge-patch+json",
];
const FIELDS: [&str; 4] = ["Provider", "AccessToken", "RefreshToken", "Claims"];

fn post(client: &Client, path: &str, content_type: &str, accept: &str, body: &[u8]) -> Answer {
    client.request("POST", path, &[("Content-Type", content_type), ("Accept", accept)], body)
}

fn is_xml(media_type: &str) -> bool {
    media_type.ends_with("/xml")
}

/// Encodes a request in a type. `outer` contains the members.
pub(crate) fn encode(media_type: &str, outer: &str, members: &Map<String, Value>) -> Vec<u8> {
    let given = || members.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    let text = match media_type {
        "application/json-patch+json" => {
            let mut operations =
                vec![json!({"op": "add", "path": format!("/{outer}"), "value": {}})];
            operations.extend(given().map(|(name, value)| {
                json!({"op": "add", "path": format!("/{outer}/{name}"), "value": value})
            }));
            Value::from(operations).to_string()
        }
        "application/x-www-form-urlencoded" => {
            let fields = given().map(|(name, value)| format!("{outer}.{name}={}", percent(value)));
            fields.collect::<Vec<_>>().join("&")
        }
        xml if is_xml(xml) => {
            let elements = given().map(|(name, value)| {
                format!("<{name}>{}</{name}>", escape(value).replace('\r', "&#13;"))
            });
            format!("<Request><{outer}>{}</{outer}></Request>", elements.collect::<String>())
        }
        _ => json!({ outer: members }).to_string(),
    };
    text.into_bytes()
}

fn percent(value: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}

/// The leaves of an answer, by path, so that answers in all types can be compared. Null is left out.
fn leaves(answer: &Answer, media_type: &str) -> Vec<(String, String)> {
    assert_eq!(answer.header("Content-Type"), format!("{media_type}; charset=utf-8"));
    let mut leaves = Vec::new();
    if is_xml(media_type) {
        xml_leaves(&answer.body, &mut leaves);
    } else {
        json_leaves("", &answer.json(), &mut leaves);
    }
    leaves.sort();
    leaves
}

fn json_leaves(path: &str, value: &Value, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, member) in members {
                json_leaves(&format!("{path}/{name}"), member, leaves);
            }
        }
        Value::String(text) => leaves.push((path.to_owned(), text.clone())),
        other => leaves.push((path.to_owned(), other.to_string())),
    }
}

fn xml_leaves(document: &str, leaves: &mut Vec<(String, String)>) {
    let mut reader = Reader::from_str(document);
    let (mut path, mut text, mut is_leaf) = (Vec::new(), String::new(), false);
    loop {
        match reader.read_event().expect(document) {
            Event::Start(start) => {
                path.push(start.name().as_ref().to_owned());
                text.clear();
                is_leaf = true;
            }
            Event::Text(part) => text.push_str(&part.xml_content(XmlVersion::Explicit1_0)),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().expect(document) {
                Some(character) => text.push(character),
                None => text.push_str(resolve_predefined_entity(&reference).expect(document)),
            },
            Event::End(_) => {
                if is_leaf {
                    let names = path[1..].iter().map(|name| format!("/{name}"));
                    leaves.push((names.collect(), text.clone()));
                }
                is_leaf = false;
                path.pop();
            }
            Event::Eof => return,
            _ => {}
        }
    }
}

/// Whether XML can contain the value, by XML 1.0 §2.2.
fn xml_can_hold(value: &Value) -> bool {
    let is_char = |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    value.as_str().is_none_or(|text| text.chars().all(is_char))
}

/// CONTRACT 9–13, 16: a request in each of the seven types; CONTRACT 15, 16: an answer in each of the six. A thousand
/// carriers with any Unicode (on PostgreSQL a hundred) are saved and answered in the same way, or rejected.
#[test]
fn every_type_carries_the_same() {
    let app = TestApp::new();
    let client = app.client();
    let text = || {
        prop_oneof![
            6 => "(?s).{0,30}",
            2 => "[ -~]{0,60}",
            1 => "[\u{0}-\u{1f}\u{7f}-\u{9f}\r\n<>&'\"%+=.\\[\\]\u{fffe}\u{feff}]{0,12}",
        ]
    };
    let carrier = (
        text()
            .prop_filter("a provider", |provider| !provider.is_empty() && !provider.contains('\0')),
        proptest::option::of(text()),
        text().prop_filter("a token", |token| !token.is_empty()),
        proptest::option::of(text()),
    );
    let refused = Cell::new(0_u32);
    // The reading of a body does not depend on the database. On PostgreSQL the test only needs to show that any Unicode
    // is kept.
    let cases = rounds(if app.setup.database().url().is_some() { 100 } else { 1000 }) as u32;
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&carrier, |(provider, access, refresh, claims)| {
        let values = [Some(provider), access, Some(refresh), claims];
        let named = FIELDS.iter().map(ToString::to_string).zip(values.map(Value::from));
        let carrier: Map<String, Value> = named.collect();
        let fits_xml = carrier.values().all(xml_can_hold);
        refused.set(refused.get() + u32::from(!fits_xml));
        let mut last_key = String::new();
        for media_type in READ {
            let body = encode(media_type, "TokenManagementInfo", &carrier);
            let answer = post(&client, SAVE, media_type, "application/json", &body);
            if is_xml(media_type) && !fits_xml {
                answer.expect_error(400, "ArgumentException", "not valid XML");
                continue;
            }
            last_key = answer.expect(200).key();
            let got = client.get(&last_key);
            for field in FIELDS {
                prop_assert_eq!(&got[field], &carrier[field], "{} in {}", field, media_type);
            }
        }
        let body = json!({ "Key": last_key }).to_string();
        let expected = post(&client, GET, READ[0], WRITTEN[0], body.as_bytes());
        let expected = leaves(&expected, WRITTEN[0]);
        for media_type in WRITTEN {
            let answer = post(&client, GET, READ[0], media_type, body.as_bytes());
            if is_xml(media_type) && !fits_xml {
                answer.expect_error(406, "NotSupportedException", "XML cannot hold");
            } else {
                let answered = leaves(&answer.expect(200), media_type);
                prop_assert_eq!(&answered, &expected, "{}", media_type);
            }
        }
        Ok::<(), TestCaseError>(())
    });
    outcome.expect("every type carries the same");
    let refused = refused.get();
    // With few cases, all may be of one kind.
    let is_mixed = cases < 100 || (cases / 20..cases - cases / 20).contains(&refused);
    assert!(is_mixed, "{refused} of {cases} did not fit into XML");
}

/// CONTRACT 8, 10, 15: the key, and null, in each type of answer; the request for a key in each type.
#[test]
fn a_key_and_null_are_answered_in_every_type() {
    let app = TestApp::new();
    let client = app.client();
    let unknown = model::RetrievalKey::new(model::RecordId::at(0, 0), &[7; 32]);
    for (media_type, expected) in WRITTEN.map(|written| {
        let nil = "<?xml version=\"1.0\" encoding=\"utf-8\"?><TokenManagementInfo \
                   xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:nil=\"true\"/>";
        (written, if is_xml(written) { nil } else { "null" })
    }) {
        let carrier = json!({"TokenManagementInfo": {"Provider": "et", "AccessToken": "fugit"}});
        let answer =
            post(&client, SAVE, READ[0], media_type, carrier.to_string().as_bytes()).expect(200);
        let key = leaves(&answer, media_type).remove(0).1;
        assert!(key.starts_with("lk_"), "{answer:?}");
        if is_xml(media_type) {
            let expected =
                format!(r#"<?xml version="1.0" encoding="utf-8"?><string>{key}</string>"#);
            assert_eq!(answer.body, expected);
        }
        let request = json!({"Key": unknown.expose()}).to_string();
        let answer = post(&client, GET, READ[0], media_type, request.as_bytes()).expect(200);
        assert_eq!(answer.body, expected);
        for (read, body) in [
            ("application/xml", format!("<q:Any xmlns:q='urn:q'><q:KEY>{key}</q:KEY></q:Any>")),
            ("application/x-www-form-urlencoded", format!("key={key}")),
            (
                "application/json-patch+json",
                format!(r#"[{{"op":"add","path":"/KEY","value":"{key}"}}]"#),
            ),
            ("application/json-patch+json", format!(r#"{{"Key":"{key}"}}"#)),
            ("application/merge-patch+json", format!(r#"{{"kEY":"{key}","Other":null}}"#)),
        ] {
            let got = post(&client, GET, read, media_type, body.as_bytes()).expect(200);
            let token = ("/AccessToken".to_owned(), "fugit".to_owned());
            assert!(leaves(&got, media_type).contains(&token), "{read}");
        }
    }
}

/// CONTRACT 10: the exact XML of a carrier: without a namespace, and without nulls.
#[test]
fn a_carrier_in_xml() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "<fugit>&\r\n"}));
    let body = json!({ "Key": key }).to_string();
    let path = format!("{GET}?$select=Provider,AccessToken,RefreshToken,TableRight");
    let answer = post(&app.client(), &path, READ[0], "text/xml", body.as_bytes()).expect(200);
    assert_eq!(
        answer.body,
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><TokenManagementInfo><Provider>et</Provider>\
         <AccessToken>&lt;fugit&gt;&amp;&#13;\n</AccessToken>\
         <TableRight><Mask>FULL</Mask><Reason></Reason></TableRight></TokenManagementInfo>"
    );
}

/// CONTRACT 11: the three spellings of a form.
#[rstest]
#[case("TokenManagementInfo.Provider=et&TokenManagementInfo.AccessToken=fu+git%26")]
#[case("TokenManagementInfo%5BProvider%5D=et&tokenmanagementinfo[ACCESSTOKEN]=fu%20git%26")]
#[case("provider=et&accessToken=fu+git%26")]
#[case("provider=et&TokenManagementInfo.accessToken=fu+git%26&Unknown[x]=1")]
fn a_form_is_read_in_each_spelling(#[case] form: &str) {
    let app = TestApp::new();
    let answer = post(&app.client(), SAVE, READ[4], READ[0], form.as_bytes()).expect(200);
    assert_eq!(app.client().access_token(&answer.key()).as_deref(), Some("fu git&"));
}

/// CONTRACT 12: patches as SuperOffice's pages write them: without the slash before paths, and with `replace` for
/// members that do not exist yet.
#[rstest]
#[case(
    r#"[{"op":"replace","path":"TokenManagementInfo/Provider","value":"et"},
    {"op":"replace","path":"TokenManagementInfo/AccessToken","value":"fugit"}]"#
)]
#[case(
    r#"[{"op":"replace","path":"/tokenManagementInfo","value":{"Provider":"et"}},
    {"op":"replace","path":"/tokenManagementInfo/accessToken","value":"fugit"}]"#
)]
#[case(
    r#"[{"op":"add","path":"TokenManagementInfo","value":{"Provider":"et","x":"fugit"}},
    {"op":"move","from":"TokenManagementInfo/X","path":"TokenManagementInfo/AccessToken"}]"#
)]
fn a_patch_is_read_as_superoffice_writes_it(#[case] patch: &str) {
    let app = TestApp::new();
    let answer =
        post(&app.client(), SAVE, "application/json-patch+json", READ[0], patch.as_bytes());
    assert_eq!(app.client().access_token(&answer.expect(200).key()).as_deref(), Some("fugit"));
}

/// Each copy adds the whole value to its own depths.
const COPIES: &str = r#"[{"op":"add","path":"/","value":{}},{"op":"copy","from":"","path":"//"},
    {"op":"copy","from":"","path":"////"},{"op":"copy","from":"","path":"////////"},
    {"op":"copy","from":"","path":"////////////////"},
    {"op":"copy","from":"","path":"////////////////////////////////"}]"#;

/// CONTRACT 9, 10, 12, 13, 35: each invalid input has its error, which repeats nothing of the input.
#[rstest]
#[case::odd_instruction("text/xml", "<?ååå=\"CANARY\"?><a/>", "Key is required")]
#[case::endless_copies("application/json-patch+json", COPIES, "nested more than 32 levels deep")]
#[case::many_values("text/json", &format!("[{}1]", "1,".repeat(20_000)), "more than 20000 values")]
#[case::laughs("text/xml", "<!DOCTYPE x [<!ENTITY CANARY 'x'>]><x>&CANARY;</x>", "document type")]
#[case::external(
    "text/xml",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
    "document type"
)]
#[case::unknown_entity(
    "text/xml",
    "<x><Key>&CANARY;</Key></x>",
    "other than the five that XML defines (byte 16)"
)]
#[case::deep_xml("text/xml", &"<CANARY>".repeat(10_000), "nested more than 32 levels deep")]
#[case::deep_json("text/json", &"[".repeat(10_000), "nested more than 32 levels deep")]
#[case::surrogate("text/json", r#"{"Key":"\ud800"}"#, "not valid JSON (line 1, column ")]
#[case::form_surrogate("application/x-www-form-urlencoded", "Key=%ED%A0%80", "not valid utf-8")]
#[case::mixed("text/xml", "<x>CANARY<Key/></x>", "mixes text and elements")]
#[case::control_in_json("text/json", "{\"Key\":\"\u{1}\"}", "not valid JSON")]
#[case::control_in_xml("text/xml", "<x><Key>&#1;</Key></x>", "not valid XML")]
#[case::climbing(
    "application/json-patch+json",
    r#"[{"op":"add","path":"../CANARY","value":1}]"#,
    "Operation 1 of the patch cannot be applied"
)]
#[case::escape(
    "application/json-patch+json",
    r#"[{"op":"add","path":"/~2","value":1}]"#,
    "Operation 1 of the patch is not valid"
)]
#[case::failing_test(
    "application/json-patch+json",
    r#"[{"op":"add","path":"/Key","value":"CANARY"},{"op":"test","path":"/Key","value":"x"}]"#,
    "Operation 2 of the patch cannot be applied"
)]
#[case::half_patch(
    "application/json-patch+json",
    r#"[{"op":"add","path":"/Key","value":"CANARY"},{"op":"remove","path":"/x"}]"#,
    "Operation 2 of the patch cannot be applied"
)]
#[case::merge_patch_array("application/merge-patch+json", "[]", "must be an object, not an array")]
#[case::xml_root_text("text/xml", "<Key>CANARY</Key>", "must be an object, not a string")]
#[case::wrong_type("text/xml", "<x><Key><a>1</a></Key></x>", "Key must be a string, not an object")]
#[case::form_wrong_type(
    "application/x-www-form-urlencoded",
    "Key.a=CANARY",
    "Key must be a string, not an object"
)]
fn bad_input_is_refused(#[case] content_type: &str, #[case] body: &str, #[case] message: &str) {
    let app = TestApp::new();
    let answer = post(&app.client(), GET, content_type, READ[0], body.as_bytes());
    let answer = answer.expect_error(400, "ArgumentException", message);
    assert!(!answer.body.contains("CANARY"), "{}", answer.body);
}

/// CONTRACT 11: a form with ten thousand fields is read, and unknown fields are ignored.
#[test]
fn a_form_of_ten_thousand_fields() {
    let app = TestApp::new();
    let mut form: Vec<String> = (0..10_000).map(|field| format!("F{field}=x")).collect();
    form.push("Provider=et&AccessToken=fugit".to_owned());
    let answer = post(&app.client(), SAVE, READ[4], READ[0], form.join("&").as_bytes()).expect(200);
    assert_eq!(app.client().access_token(&answer.key()).as_deref(), Some("fugit"));
}
