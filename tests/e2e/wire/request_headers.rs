//! The documented table of request headers, line by line, with curl.
//!
//! Invariant: curl sends the same as a user who types the command.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    app::TestApp,
    parts::{has, leave_out},
};

/// `curl` with these arguments: head and body of the answer.
fn curl(app: &TestApp, operation: &str, arguments: &[&str]) -> (String, String) {
    let url = format!("{}/api/v1/Agents/User/{operation}", app.url);
    let output =
        Command::new("curl").args(["-s", "-i"]).args(arguments).arg(url).output().expect("curl");
    let answer = String::from_utf8(output.stdout).expect("UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    (head.to_ascii_lowercase(), body.to_owned())
}

/// CONTRACT 2, 13, 14, 18, 22, 23, 26: `Authorization`, `Content-Type`, `Accept`,
/// `Accept-Language`, `SO-Language`, `SO-Culture`, `SO-TimeZone`.
#[test]
fn each_documented_header_does_what_the_table_says() {
    if !has("curl") {
        return leave_out("the table of request headers", "curl");
    }
    let app = TestApp::new();
    // exp is 3 November 2025, 14:05 UTC.
    let token = "e30.eyJleHAiOjE3NjIxNzg3MDB9.eA";
    let carrier = json!({"TokenManagementInfo": {
        "Provider": "NO:\"Leverandør\";US:\"Supplier\"", "AccessToken": token
    }});
    let user = ["-u", "tje0:Tje0"];
    let json = ["-H", "Content-Type: application/json"];
    let body = carrier.to_string();
    let save = [&user[..], &json, &["-d", &body]].concat();
    let (head, key) = curl(&app, "SaveExternalTokens", &save);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let key: String = serde_json::from_str(&key).expect("a string");

    let (head, _) = curl(&app, "SaveExternalTokens", &[&json[..], &["-d", &body]].concat());
    assert!(head.starts_with("http/1.1 401") && head.contains("www-authenticate: basic"), "{head}");

    let form = format!("Key={key}");
    let get = |headers: &[&str]| {
        let mut arguments = user.to_vec();
        arguments.extend(headers.iter().flat_map(|header| ["-H", *header]));
        arguments.extend(["-d", &form]);
        curl(&app, "GetExternalTokens", &arguments)
    };
    // curl sends the content type of a form by default.
    let (head, body) = get(&[]);
    assert!(head.contains("content-type: application/json; charset=utf-8"), "{head}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["AccessToken"], token);
    assert_eq!(answer["Provider"], "NO:\"Leverandør\";US:\"Supplier\"");

    let (head, body) = get(&["Accept: text/xml"]);
    assert!(head.contains("content-type: text/xml; charset=utf-8"), "{head}");
    assert!(body.contains(&format!("<AccessToken>{token}</AccessToken>")), "{body}");

    let (_, body) = get(&["Accept-Language: en"]);
    assert!(body.contains("\"Provider\":\"Supplier\""), "{body}");
    let (_, body) = get(&["Accept-Language: en", "SO-Language: nb-NO"]);
    assert!(body.contains("\"Provider\":\"Leverandør\""), "{body}");
    assert!(body.contains("3. november 2025 kl. 14:05"), "{body}");
    let (_, body) = get(&["SO-Language: nb-NO", "SO-Culture: en-US"]);
    assert!(body.contains("November 3, 2025"), "{body}");
    let (_, body) = get(&["SO-Culture: en-US"]);
    assert!(body.contains("[SR_ACCESS_TOKEN_EXPIRED]: 2025-11-03T14:05:00"), "{body}");
    let (head, body) = get(&["SO-TimeZone: NO, includeTZOffset"]);
    assert!(head.contains("so-timezone: no"), "{head}");
    assert!(body.contains("2025-11-03T15:05:00+01:00"), "{body}");
}
