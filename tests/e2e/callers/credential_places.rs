//! A credential counts only in its own header (CONTRACT 25, 28; RFC 6750 §2.3).
//!
//! Invariant: each credential that is rejected in a wrong place was accepted in the right one before.
//!
//! RFC 6750's `insufficient_scope` is not tested: access tokens of this server have no scopes, and the body of a 403
//! gives the reason.

use crate::support::app::TestApp;

const WHO: &str = "/api/v1/User/currentPrincipal";
const CURRENT_TOKEN: &str = "/api/v1/User/currentToken";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// CONTRACT 25, 28: in a query, a form, the user part of the address, or the wrong header, a credential is ignored. The
/// answer is the same as without a credential: its challenges name no error, and it repeats nothing.
#[test]
fn a_credential_in_the_wrong_place_is_none() {
    let app = TestApp::new();
    let visitor = app.client().with_authorization(None);
    let ticket = app.ticket("tje0");
    let by_ticket = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
    let token = by_ticket.request("GET", CURRENT_TOKEN, &[], b"").key();
    let session = app.client().sign_in("tje0", "Tje0");
    let cookie = session.cookie.split(';').next().expect("a cookie").to_owned();
    by_ticket.who(&[]).expect(200);
    app.client().with_authorization(Some(&format!("Bearer {token}"))).who(&[]).expect(200);
    visitor.who(&session.headers()).expect(200);

    let escaped = |text: &str| text.replace('+', "%2B").replace(' ', "%20").replace('=', "%3D");
    let (bearer, so_ticket) = (format!("Bearer {token}"), format!("SoTicket {ticket}"));
    let queries = [
        ("access_token", token.as_str()),
        ("bearer_token", &token),
        ("token", &token),
        ("Authorization", &bearer),
        ("authorization", &so_ticket),
        ("ticket", &ticket),
        ("SoTicket", &ticket),
        ("Cookie", &cookie),
        ("login=tje0&password", "Tje0"),
    ];
    for (name, value) in queries {
        let pair = format!("{name}={}", escaped(value));
        let form = format!("Key=x&{pair}");
        let get = "/api/v1/Agents/User/GetExternalTokens";
        for answer in [
            visitor.request("GET", &format!("{WHO}?{pair}"), &[], b""),
            visitor.request("POST", &format!("{get}?{pair}"), &[FORM], form.as_bytes()),
            visitor.request("POST", get, &[FORM], form.as_bytes()),
        ] {
            let answer = answer.expect_error(401, "SoSessionException", "This call needs a login");
            let answered = format!("{answer:?}");
            assert!(!answered.contains("error="), "{name}: {answered}");
            assert!(!answered.contains(value), "{name}: {answered}");
        }
        // It does not invalidate the credential in the right place either.
        app.client().request("GET", &format!("{WHO}?{pair}"), &[], b"").expect(200);
    }
    let headers = [
        ("Proxy-Authorization", bearer.as_str()),
        ("X-Authorization", &so_ticket),
        ("Cookie", &format!("Authorization={token}")),
        ("Cookie", &format!("access_token={token}")),
        ("X-XSRF-TOKEN", &session.xsrf_token),
    ];
    for header in headers {
        let answer = visitor.who(&[header]).expect(401);
        assert!(!format!("{answer:?}").contains("error="), "{header:?}");
    }
    let host = app.authority();
    let answer = app.raw(&format!(
        "GET http://tje0:Tje0@{host}{WHO} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    ));
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
}

/// CONTRACT 25, 28, 35: if a token is sent and rejected, the challenge says so. Two credentials are a 400 without a
/// challenge.
#[test]
fn a_refused_token_and_two_credentials_say_what_is_wrong() {
    let app = TestApp::new();
    let refused = app.client().with_authorization(Some("Bearer CANARY")).who(&[]).expect(401);
    assert!(format!("{refused:?}").contains("error=\\\"invalid_token\\\""), "{refused:?}");
    let twice = app.client().who(&[("Authorization", "Bearer CANARY")]);
    let twice = twice.expect_error(400, "ArgumentException", "more than one Authorization header");
    assert!(twice.challenges().is_empty(), "{twice:?}");
}
