//! Partner applications and the Online restriction (CONTRACT 30, 31), and scripts of other sites
//! (CONTRACT 32).

use rstest::rstest;
use serde_json::json;

use crate::support::{
    app::{Setup, TestApp},
    client::Answer,
};

fn online(user_agent: &str) -> TestApp {
    Setup::new().with("INSTALLATION", "online").with("ONLINE__USER_AGENT", user_agent).start()
}

/// CONTRACT 31: the agent is closed until the settings open it for the tenant and the application. A rejected caller
/// can still ask who it is.
#[rstest]
#[case("", [403, 403, 403])]
#[case("*", [400, 400, 400])]
#[case("default/sync", [400, 403, 403])]
#[case("*/sync, others", [400, 403, 403])]
#[case(r#"["*/sync", "others"]"#, [400, 403, 403])]
#[case("default", [400, 400, 400])]
#[case("others/*", [403, 403, 403])]
fn online_the_agent_is_closed_until_it_is_opened(
    #[case] user_agent: &str,
    #[case] expected: [u16; 3],
) {
    let app = online(user_agent);
    let (sync, other) = (app.admin(&["app", "add", "sync"]), app.admin(&["app", "add", "other"]));
    let client = app.client().with_authorization(None);
    let session = client.sign_in("tje0", "Tje0");
    let json_type = ("Content-Type", "application/json");
    let found = [Some(&sync), Some(&other), None].map(|application| {
        let mut headers = session.headers().to_vec();
        headers.extend(application.map(|token| ("SO-AppToken", token.as_str())));
        client.who(&headers).expect(200);
        headers.push(json_type);
        let path = "/api/v1/Agents/User/GetExternalTokens";
        let answer = client.request("POST", path, &headers, b"{}");
        if answer.status == 403 {
            assert_eq!(answer.json()["ErrorType"], "SoSentryException");
            assert!(answer.body.contains("online.user_agent"), "{}", answer.body);
        }
        answer.status
    });
    assert_eq!(found, expected, "400: it is open, and the key is missing");
}

/// CONTRACT 30: the application is part of the caller's identity. A disabled application is rejected at once.
#[test]
fn an_application_is_known_by_its_token() {
    let app = online("*");
    let token = app.admin(&["app", "add", "CRM-sync", "--output", "json"]);
    let token: serde_json::Value = serde_json::from_str(&token).expect("JSON");
    assert_eq!((&token["name"], &token["tenants"]), (&json!("crm-sync"), &json!(null)));
    let token = token["token"].as_str().expect("a token");
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let client = app.client().with_authorization(Some(&ticket));
    let headers = [("SO-AppToken", token)];
    assert_eq!(client.who(&headers).expect(200).json()["Application"], "crm-sync");
    app.logged(&["application.name=\"crm-sync\"", "user.login=\"tje0\"", "http.status=200"]);
    client.who(&[]).expect_error(401, "SoSessionException", "SO-AppToken is required");
    app.admin(&["app", "disable", "crm-sync"]);
    client.who(&headers).expect_error(401, "SoSessionException", "registered, enabled application");
    app.admin(&["app", "enable", "CRM-SYNC"]);
    client.who(&headers).expect(200);

    // An access token is bound to the application that asked for it.
    let bearer = client.request("GET", "/api/v1/User/currentToken", &headers, b"").key();
    let bearer = app.client().with_authorization(Some(&format!("Bearer {bearer}")));
    assert_eq!(bearer.who(&[]).expect(200).json()["Application"], "crm-sync");
    let other = app.admin(&["app", "add", "other"]);
    bearer.who(&[("SO-AppToken", &other)]).expect(401);
    app.admin(&["app", "disable", "crm-sync"]);
    bearer.who(&[]).expect_error(401, "SoSessionException", "registered, enabled application");
    app.admin(&["app", "enable", "crm-sync"]);
    assert!(app.files_with(token).is_empty(), "the token is in the database");
}

/// CONTRACT 30: the former token of an application ends at once, also if it was just in use.
#[test]
fn the_token_of_an_application_is_replaced_at_once() {
    let app = online("*");
    let (former, other) = (app.admin(&["app", "add", "sync"]), app.admin(&["app", "add", "other"]));
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let client = app.client().with_authorization(Some(&ticket));
    let who = |token: &str| client.who(&[("SO-AppToken", token)]);
    who(&former).expect(200);
    let rotated = app.admin(&["app", "rotate", "SYNC", "--output", "json"]);
    let rotated: serde_json::Value = serde_json::from_str(&rotated).expect("JSON");
    assert_eq!((&rotated["name"], &rotated["disabled"]), (&json!("sync"), &json!(false)));
    let token = rotated["token"].as_str().expect("a token");
    who(&former).expect_error(401, "SoSessionException", "registered, enabled application");
    assert_eq!(who(token).expect(200).json()["Application"], "sync");
    who(&other).expect(200);
    let next = app.admin(&["app", "rotate", "sync"]);
    who(token).expect(401);
    who(&next).expect(200);
    assert!(app.files_with(&next).is_empty(), "the token is in the database");
    let refused = app.setup.run(&["app", "rotate", "none"], "").expect_err("it is refused");
    assert!(refused.contains("there is no application none"), "{refused}");
}

/// The commands that the greeting prints work. An online installation offers no Basic.
#[test]
fn online_the_greeting_says_what_is_closed() {
    let closed = Setup::new().with("INSTALLATION", "online").start();
    assert!(!closed.greeting.contains("curl"), "{}", closed.greeting);
    assert!(closed.greeting.contains("online.user_agent opens it"), "{}", closed.greeting);
    assert!(!online("*").greeting.contains("online.user_agent"));
    assert!(TestApp::new().greeting.contains("People sign in at http://127.0.0.1:"));
}

/// CONTRACT 31: `online.user_agent` is checked at the start.
#[test]
fn a_mistake_in_what_is_opened_stops_the_start() {
    let refusal = Setup::new().with("ONLINE__USER_AGENT", "a b").refusal();
    assert!(refusal.contains("online.user_agent must have items like"), "{refusal}");
    let refusal = Setup::new().with("INSTALLATION", "cloud").refusal();
    assert!(refusal.contains("expected `onsite` or `online`"), "{refusal}");
}

/// CONTRACT 25: an installation in which every scheme is off does not start.
#[test]
fn some_scheme_must_be_on() {
    let schemes = ["BASIC", "SO_TICKET", "BEARER", "SESSION"];
    let off = schemes.iter().fold(Setup::new(), |setup, scheme| {
        setup.with(&format!("AUTH__SCHEMES__{scheme}"), "false")
    });
    let refusal = off.refusal();
    assert!(refusal.contains("auth.schemes switches every scheme off"), "{refusal}");
}

/// CONTRACT 32: by default, scripts of other sites cannot read answers.
#[test]
fn other_sites_are_not_let_in_by_default() {
    let app = TestApp::new();
    let preflight = [
        ("Origin", "https://app.example.com"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    let visitor = app.client().with_authorization(None);
    let path = "/api/v1/Agents/User/GetExternalTokens";
    for answer in
        [visitor.request("OPTIONS", path, &preflight, b""), app.client().who(&preflight[..1])]
    {
        assert!(answer.status < 300, "{answer:?}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), "");
    }
}

/// CONTRACT 32: only the listed origins are accepted, and never with a session.
#[test]
fn listed_origins_are_let_in() {
    let list = "https://app.example.com, http://localhost:3000";
    let app = Setup::new().with("SERVER__CORS_ORIGINS", list).start();
    let visitor = app.client().with_authorization(None);
    for (origin, is_listed) in [
        ("https://app.example.com", true),
        ("http://localhost:3000", true),
        ("https://app.example.com.evil.example", false),
        ("https://evil.example", false),
        ("http://app.example.com", false),
        ("null", false),
    ] {
        let (answer, call) = ask_from(&app, origin, is_listed);
        if is_listed {
            answer.expect(200);
            let exposed = call.header("Access-Control-Expose-Headers").to_ascii_lowercase();
            assert!(exposed.contains("x-request-id"), "{exposed}");
            let refused = visitor.who(&[("Origin", origin)]).expect(401);
            assert_eq!(refused.header("Access-Control-Allow-Origin"), origin, "errors too");
            for answer in [&call, &refused] {
                let vary = format!("{:?}", answer.headers.get_all("Vary"));
                assert!(vary.contains("Origin") && vary.contains("SO-Language"), "{vary}");
            }
        } else {
            // An error of a preflight has the common shape, too.
            let told = answer.expect_error(400, "ArgumentException", "");
            assert!(!told.header("X-Request-Id").is_empty());
        }
    }
    for (wrong, reason) in [
        ("*", "server.cors_origins must not be `*`: the scripts of every site"),
        ("https://good.*", "anyone can register a name"),
        ("https://*.example.com", "anyone can register a name"),
    ] {
        let refusal = Setup::new().with("SERVER__CORS_ORIGINS", wrong).refusal();
        assert!(refusal.contains(reason), "{refusal}");
    }
    for wrong in [
        "https://app.example.com/",
        "https://app.example.com:443",
        "https://App.example.com",
        "https://ex%zz",
        "ftp://app.example.com",
        "app.example.com",
    ] {
        let refusal = Setup::new().with("SERVER__CORS_ORIGINS", wrong).refusal();
        assert!(refusal.contains("server.cors_origins must have origins"), "{refusal}");
    }
}

/// The answers to a preflight and to a call from an origin, which allow it if it is listed.
fn ask_from(app: &TestApp, origin: &str, is_listed: bool) -> (Answer, Answer) {
    let visitor = app.client().with_authorization(None);
    let preflight = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization, content-type, so-apptoken"),
    ];
    let path = "/api/v1/Agents/User/GetExternalTokens";
    let answer = visitor.request("OPTIONS", path, &preflight, b"");
    let call = app.client().who(&[("Origin", origin)]);
    let allowed = if is_listed { origin } else { "" };
    for answer in [&answer, &call] {
        assert_eq!(answer.header("Access-Control-Allow-Origin"), allowed, "{answer:?}");
        assert_eq!(answer.header("Access-Control-Allow-Credentials"), "");
    }
    (answer, call)
}

/// CONTRACT 32: a star at the end stands for any port, as it does for SuperOffice, and never for a part of a name.
#[test]
fn a_star_stands_for_a_port() {
    let list = "http://localhost*, https://good.example*, http://127.0.0.1:30*";
    let app = Setup::new().with("SERVER__CORS_ORIGINS", list).start();
    for (origin, is_listed) in [
        ("http://localhost", true),
        ("http://localhost:3000", true),
        ("http://localhost.evil.example", false),
        ("http://localhost:3000.evil.example", false),
        ("https://localhost", false),
        ("https://good.example:8443", true),
        ("https://good.example.evil.com", false),
        ("http://127.0.0.1:3000", true),
        ("http://127.0.0.1:4000", false),
        ("http://127.0.0.1", false),
    ] {
        let (answer, _call) = ask_from(&app, origin, is_listed);
        answer.expect(if is_listed { 200 } else { 400 });
    }
}
