//! Basic authentication (CONTRACT 26) on the wire.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rstest::rstest;
use serde_json::json;

use crate::support::app::TestApp;

/// CONTRACT 26, 35: every failure is a 401 with a challenge that has realm and charset. The answer does not repeat the
/// header.
#[rstest]
#[case::missing(None, "This call needs a login; WWW-Authenticate lists")]
#[case::wrong_password(Some("Basic dGplMDp0amUw"), "The user name or the password is wrong")]
#[case::empty_password(Some("Basic dGplMDo="), "The user name or the password is wrong")]
#[case::unknown_user(Some("Basic bm9ib2R5OlRqZTA="), "The user name or the password is wrong")]
#[case::ticket_as_user(
    Some("Basic N1Q6WVFCaUFHTUE6"),
    "The ticket is malformed, expired or revoked"
)]
#[case::login_in_other_case(Some("Basic VEpFMDpUamUw"), "The user name or the password is wrong")]
#[case::no_base64(Some("Basic CANARY%"), "the credentials are not base64")]
#[case::no_colon(Some("Basic dGplMA=="), "the credentials have no colon")]
#[case::not_utf8(Some("Basic /zph"), "The user name or the password is wrong")]
#[case::control_character(Some("Basic dGplMDpUCmUw"), "hold a control character")]
#[case::other_scheme(Some("Digest CANARY"), "This Authorization scheme is not accepted here")]
fn an_unknown_caller_is_challenged(#[case] authorization: Option<&str>, #[case] message: &str) {
    let app = TestApp::new();
    let client = app.client().with_authorization(authorization);
    for (operation, body) in
        [("SaveExternalTokens", json!({"CANARY": 1})), ("GetExternalTokens", json!({}))]
    {
        let answer = client.post(operation, &body);
        let answer = answer.expect_error(401, "SoSessionException", message);
        assert_eq!(answer.header("WWW-Authenticate"), r#"Basic realm="Latchkey", charset="UTF-8""#);
        assert!(!answer.body.contains("CANARY"), "{}", answer.body);
    }
}

/// CONTRACT 26: login and password may each be in UTF-8 or ISO-8859-1, and in any Unicode normalization form. This
/// holds for Basic and for the sign-in form, and for every way they were set.
#[test]
fn a_login_and_a_password_are_the_same_however_they_are_written() {
    let app = TestApp::new();
    let (login, password) = ("bj\u{f8}rn-\u{e5}", "Bl\u{e5}b\u{e6}r-CANARY");
    let (nfd_login, nfd_password) = ("bj\u{f8}rn-a\u{30a}", "Bla\u{30a}b\u{e6}r-CANARY");
    let add = |login: &str, password: &str| {
        let arguments = ["user", "add", login, "--password-stdin"];
        app.setup.run(&arguments, &format!("{password}\n"))
    };
    add(nfd_login, nfd_password).expect("added");
    add(login, password).expect_err("the same login");
    let client = |bytes: &[u8]| {
        let header = format!("Basic {}", STANDARD.encode(bytes));
        app.client().with_authorization(Some(&header))
    };
    let latin = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
    let logins = [login.as_bytes().to_vec(), nfd_login.as_bytes().to_vec(), latin(login)];
    let passwords =
        [password.as_bytes().to_vec(), nfd_password.as_bytes().to_vec(), latin(password)];
    for (login_bytes, password_bytes) in logins.iter().zip(&passwords) {
        for other in &passwords {
            client(&[&login_bytes[..], b":", other].concat()).who(&[]).expect(200);
        }
        let wrong = [&login_bytes[..], b":", &password_bytes[1..]].concat();
        client(&wrong).who(&[]).expect(401);
    }
    let key = client(&[&logins[0][..], b":", &passwords[0]].concat())
        .save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let other = client(&[&logins[2][..], b":", &passwords[2]].concat());
    assert_eq!(other.get(&key)["TableRight"]["Mask"], "FULL");
    let form = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    app.client().sign_in(&form(login), &form(nfd_password));
    app.client().sign_in(&form(nfd_login), &form(password));
}

/// CONTRACT 25: a browser's script gets a 401 without a Basic challenge, so that the browser shows no password dialog.
#[test]
fn a_script_is_not_offered_basic() {
    let visitor = TestApp::new();
    let client = visitor.client().with_authorization(None);
    for (mode, offered) in [
        ("cors", &["SoTicket", "Bearer", "Session"][..]),
        ("same-origin", &["SoTicket", "Bearer", "Session"]),
        ("navigate", &["Basic", "SoTicket", "Bearer", "Session"]),
    ] {
        assert_eq!(client.who(&[("Sec-Fetch-Mode", mode)]).expect(401).challenges(), offered);
    }
}

/// CONTRACT 26: the name of the scheme is case-insensitive.
#[test]
fn the_scheme_is_read_in_any_case() {
    let app = TestApp::new();
    for header in ["basic dGplMDpUamUw", "BASIC dGplMDpUamUw"] {
        let client = app.client().with_authorization(Some(header));
        client.save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    }
}

/// CONTRACT 25: two credentials in one request are rejected, even if both are right.
#[test]
fn two_credentials_are_refused() {
    let app = TestApp::new();
    let request = format!(
        "POST /api/v1/Agents/User/GetExternalTokens HTTP/1.1\r\nHost: {}\r\n\
         Authorization: Basic dGplMDpUamUw\r\nAuthorization: Basic dGplMDpUamUw\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}",
        app.authority()
    );
    let answer = app.raw(&request);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("more than one Authorization header"), "{answer}");
}

/// CONTRACT 25, 35: a header that may appear only once is rejected if it is there twice, whether or not the values are
/// equal.
#[test]
fn headers_that_are_there_twice_are_refused() {
    let app = TestApp::new();
    for name in [
        "Authorization",
        "Content-Type",
        "Host",
        "Idempotency-Key",
        "Origin",
        "Sec-Fetch-Site",
        "SO-AppToken",
        "X-XSRF-TOKEN",
    ] {
        let answer = app.raw(&format!(
            "GET /api/v1/User/currentPrincipal HTTP/1.1\r\nHost: {}\r\n\
             Authorization: Basic dGplMDpUamUw\r\nConnection: close\r\n\
             {name}: CANARY\r\n{}: CANARY\r\n\r\n",
            app.authority(),
            name.to_lowercase(),
        ));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer}");
        // Two Host headers are rejected before the request is routed (RFC 9112 §3.2).
        let is_named = answer.contains(&format!("more than one {name} header"));
        assert!(is_named || name == "Host", "{name}: {answer}");
    }
    let lists = [("SO-Language", "nb"), ("SO-Language", "en"), ("SO-TimeZone", "NO")];
    let answer = app.client().who(&[&lists[..], &[("SO-TimeZone", "includeTZOffset")]].concat());
    answer.expect(200);
}

/// A wrong password is rejected while the right one is cached, and the right one is accepted after a wrong one.
#[test]
fn a_cached_login_admits_no_other_password() {
    let app = TestApp::new();
    let wrong = app.client().with_authorization(Some("Basic dGplMDp0amUw"));
    for _ in 0..3 {
        app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
        wrong.post("GetExternalTokens", &json!({})).expect(401);
    }
}
