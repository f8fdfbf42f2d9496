//! Who is calling, and a token for it (CONTRACT O8).

use serde_json::json;

use crate::{
    app::{Setup, TestApp},
    issuer::{self, Issuer},
};

const CURRENT_TOKEN: &str = "/api/v1/User/currentToken";

fn with_bearer() -> TestApp {
    Setup::new().with("AUTH__SCHEMES__BEARER", "true").start()
}

/// CONTRACT O8: the caller, by every scheme, in every type.
#[test]
fn every_caller_is_told_who_it_is() {
    let app = with_bearer();
    let expected = |scheme: &str| {
        json!({
            "Associate": "tje0", "AssociateId": null, "UserPrincipalName": null,
            "EMailAddress": null, "IsAdministrator": true,
            "DatabaseContextIdentifier": "default", "AuthenticationType": scheme,
            "Application": null
        })
    };
    assert_eq!(app.client().who(&[]).expect(200).json(), expected("Basic"));
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let by_ticket = app.client().with_authorization(Some(&ticket));
    assert_eq!(by_ticket.who(&[]).expect(200).json(), expected("SoTicket"));
    let visitor = app.client().with_authorization(None);
    let session = app.client().sign_in("tje0", "Tje0");
    assert_eq!(visitor.who(&session.headers()).expect(200).json(), expected("Session"));
    let xml = app.client().who(&[("Accept", "text/xml")]).expect(200).body;
    assert!(xml.contains("?><SoPrincipal><Associate>tje0</Associate>"), "{xml}");
    let path = "/api/v1/user/CURRENTPRINCIPAL/?$select=associate";
    let selected = app.client().request("GET", path, &[], b"").expect(200).json();
    assert_eq!(
        (&selected["Associate"], &selected["IsAdministrator"]),
        (&json!("tje0"), &json!(null))
    );
    visitor.who(&[]).expect_error(401, "SoSessionException", "This call needs a login");
    app.client().request("POST", path, &[], b"").expect(405);
}

/// CONTRACT O8, 28: the token works for Bearer, for an hour, and does not beget another.
#[test]
fn a_token_is_good_for_bearer() {
    let app = with_bearer();
    let answer = app.client().request("GET", CURRENT_TOKEN, &[], b"").expect(200);
    assert_eq!(answer.header("Cache-Control"), "no-store");
    let token = answer.json().as_str().expect("a token").to_owned();
    assert!(token.starts_with("8A:default."), "{token}");
    let bearer = app.client().with_authorization(Some(&format!("Bearer {token}")));
    assert_eq!(bearer.who(&[]).expect(200).json()["AuthenticationType"], "Bearer");
    let same = bearer.request("GET", CURRENT_TOKEN, &[], b"").expect(200).json();
    assert_eq!(same, json!(token));
    let hour = "expires - created BETWEEN 3600000000 AND 4200000000 AND kind = 'access_token'";
    assert_eq!(app.sql(&format!("UPDATE credentials SET expires = 1 WHERE {hour}")), 1);
    bearer.who(&[]).expect_error(401, "SoSessionException", "malformed, expired or not meant");
    assert!(app.files_with(&token[12..]).is_empty(), "the token is in the database");
}

/// CONTRACT O8, 28: a token ends with the ticket or the session that it was made from; a HEAD makes none.
#[test]
fn a_token_ends_with_what_it_was_made_from() {
    let app = with_bearer();
    let visitor = app.client().with_authorization(None);
    let session = visitor.sign_in("tje0", "Tje0");
    let by_session = visitor.request("GET", CURRENT_TOKEN, &session.headers(), b"").key();
    let ticket = app.ticket("tje0");
    let by_ticket = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
    let by_ticket = by_ticket.request("GET", CURRENT_TOKEN, &[], b"").key();
    let by_password = app.client().request("GET", CURRENT_TOKEN, &[], b"").key();
    app.client().request("HEAD", CURRENT_TOKEN, &[], b"").expect(200);
    let tokens = "UPDATE credentials SET kind = kind WHERE kind = 'access_token'";
    assert_eq!(app.sql(tokens), 3);

    let status = |token: &str| {
        app.client().with_authorization(Some(&format!("Bearer {token}"))).who(&[]).status
    };
    let form = [
        ("Cookie", session.cookie.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let fields = format!("XSRF_TOKEN={}", session.xsrf_token);
    visitor.request("POST", "/sign-out", &form, fields.as_bytes()).expect(303);
    assert_eq!([&by_session, &by_ticket, &by_password].map(|token| status(token)), [401, 200, 200]);
    let listed = app.admin(&["ticket", "list", "--output", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    app.admin(&["ticket", "revoke", listed[0]["id"].as_str().expect("an id")]);
    assert_eq!([&by_session, &by_ticket, &by_password].map(|token| status(token)), [401, 401, 200]);
}

/// CONTRACT O8, 25: no token is made that nobody would accept.
#[test]
fn where_bearer_is_off_there_is_no_token() {
    let app = TestApp::new();
    let answer = app.client().request("GET", CURRENT_TOKEN, &[], b"");
    answer.expect_error(403, "SoSentryException", "auth.schemes.bearer");
    assert_eq!(app.sql("UPDATE credentials SET kind = kind"), 0);
}

/// CONTRACT O8, 28: what a JWT says of its bearer; one that is no user here gets its own token back, and
/// no ticket.
#[test]
fn a_jwt_tells_who_its_bearer_is() {
    let issuer = Issuer::new("1");
    let app = issuer::trusting(Setup::new(), &[&issuer]).start();
    let prefix = "http://schemes.superoffice.net/identity/";
    let token = issuer.token(&json!({
        "sub": "ann@example.com", format!("{prefix}associateid"): "7",
        format!("{prefix}is_administrator"): "True", format!("{prefix}upn"): "ann",
        format!("{prefix}email"): "ann@example.com", format!("{prefix}ctx"): "default"
    }));
    let bearer = app.client().with_authorization(Some(&format!("Bearer {token}")));
    let expected = json!({
        "Associate": "ann@example.com", "AssociateId": 7, "UserPrincipalName": "ann",
        "EMailAddress": "ann@example.com", "IsAdministrator": true,
        "DatabaseContextIdentifier": "default", "AuthenticationType": "Bearer",
        "Application": null
    });
    assert_eq!(bearer.who(&[]).expect(200).json(), expected);
    let same = bearer.request("GET", CURRENT_TOKEN, &[], b"").expect(200).json();
    assert_eq!(same, json!(token));
    let key = bearer.save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    assert_eq!(bearer.get(&key)["TableRight"]["Mask"], "FULL");
    let no_login = issuer.token(&json!({"sub": "urn:a:b"}));
    let refused = app.client().with_authorization(Some(&format!("Bearer {no_login}")));
    refused.who(&[]).expect(401);
}
