//! Sessions and the pages for people (CONTRACT 29), tested without a browser.

use rstest::rstest;
use serde_json::json;

use crate::{
    Database,
    support::{
        app::{Setup, TestApp},
        client::{Answer, Client, Session},
    },
};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn visitor(app: &TestApp) -> Client {
    app.client().with_authorization(None)
}

/// Sends a form of the account page.
fn send(app: &TestApp, path: &str, session: &Session, fields: &str) -> Answer {
    let form = format!("XSRF_TOKEN={}&{fields}", session.xsrf_token);
    visitor(app).request("POST", path, &[("Cookie", &session.cookie), FORM], form.as_bytes())
}

fn account(app: &TestApp, session: &Session) -> Answer {
    visitor(app).request("GET", "/account", &[("Cookie", &session.cookie)], b"")
}

/// CONTRACT 29: the cookies' attributes, and the policy of the pages.
#[test]
fn signing_in_sets_guarded_cookies() {
    let app = TestApp::new();
    let page = visitor(&app).request("GET", "/sign-in", &[], b"").expect(200);
    assert_eq!(page.header("Content-Type"), "text/html; charset=utf-8");
    let policy = page.header("Content-Security-Policy");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("script"), "{policy}");
    assert!(policy.contains("form-action 'self'") && policy.contains("frame-ancestors 'none'"));
    assert!(!page.body.contains("<script"), "{}", page.body);

    let form = b"login=tje0&password=Tje0";
    let answer = visitor(&app).request("POST", "/sign-in", &[FORM], form).expect(303);
    assert_eq!(answer.header("Location"), "/account");
    let cookies: Vec<&str> =
        answer.headers.get_all("Set-Cookie").iter().map(|c| c.to_str().expect("text")).collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    assert!(cookies[0].starts_with("latchkey-session=") && cookies[0].contains("; HttpOnly"));
    assert!(cookies[1].starts_with("XSRF-TOKEN=") && !cookies[1].contains("HttpOnly"));
    for cookie in cookies {
        assert!(cookie.contains("; SameSite=Lax") && cookie.contains("; Path=/"), "{cookie}");
        assert!(!cookie.contains("Secure"), "not under TLS: {cookie}");
    }
    let behind_proxy =
        Setup::new().with("PROFILE", "production").with("SERVER__BEHIND_PROXY", "true");
    let app = behind_proxy.with("SERVER__TRUSTED_PROXIES", "127.0.0.1").start();
    app.add_user("ann");
    let form = b"login=ann&password=CANARY-password";
    let answer = visitor(&app).request("POST", "/sign-in", &[FORM], form).expect(303);
    for cookie in answer.headers.get_all("Set-Cookie") {
        assert!(cookie.to_str().expect("text").contains("; Secure"), "{cookie:?}");
    }
    assert!(answer.header("Set-Cookie").starts_with("__Host-latchkey-session="));
}

/// CONTRACT 29: the server does not adopt a session that an attacker prepared. Signing in ends the former session.
#[test]
fn signing_in_makes_a_new_session() {
    let app = TestApp::new();
    let former = app.client().sign_in("tje0", "Tje0");
    let planted = format!("latchkey-session={}", "0".repeat(64));
    for cookie in [&planted, &former.cookie] {
        let form = b"login=tje0&password=Tje0";
        let headers = [FORM, ("Cookie", cookie)];
        let answer = visitor(&app).request("POST", "/sign-in", &headers, form).expect(303);
        let session = Session::of(&answer);
        assert!(!session.cookie.contains(cookie.split(';').next().expect("a cookie")));
        visitor(&app).who(&session.headers()).expect(200);
    }
    let answer = visitor(&app).who(&former.headers());
    answer.expect_error(401, "SoSessionException", "The session has ended");
}

/// CONTRACT 29: if the former session cannot be ended, no new one begins.
#[test]
fn signing_in_is_all_or_nothing() {
    let app = TestApp::new();
    let former = app.client().sign_in("tje0", "Tje0");
    app.sql("CREATE TABLE holds (id TEXT NOT NULL REFERENCES credentials (id))");
    app.sql("INSERT INTO holds SELECT id FROM credentials");
    let sign_in = || {
        let headers = [FORM, ("Cookie", former.cookie.as_str())];
        visitor(&app).request("POST", "/sign-in", &headers, b"login=tje0&password=Tje0")
    };
    let sessions = || app.number("SELECT count(*) FROM credentials");
    let answer = sign_in().expect(500);
    assert!(answer.headers.get("Set-Cookie").is_none(), "{answer:?}");
    assert_eq!(sessions(), 1, "a session that no browser has");
    visitor(&app).who(&former.headers()).expect(200);
    app.sql("DROP TABLE holds");
    let session = Session::of(&sign_in().expect(303));
    assert_eq!(sessions(), 1);
    visitor(&app).who(&session.headers()).expect(200);
    visitor(&app).who(&former.headers()).expect(401);
}

/// CONTRACT 29: all tabs share one session. Signing out in one tab ends it for all.
#[test]
fn signing_out_ends_the_session() {
    let app = TestApp::new();
    let session = app.client().sign_in("tje0", "Tje0");
    let tab = Session::of(&account(&app, &session).expect(200));
    assert_eq!((&tab.cookie, &tab.xsrf_token), (&session.cookie, &session.xsrf_token));
    let answer = send(&app, "/sign-out", &session, "").expect(303);
    assert_eq!(answer.header("Location"), "/sign-in");
    for cookie in answer.headers.get_all("Set-Cookie") {
        assert!(cookie.to_str().expect("text").contains("; Max-Age=0"), "{cookie:?}");
    }
    visitor(&app).who(&tab.headers()).expect(401);
    assert_eq!(account(&app, &tab).expect(303).header("Location"), "/sign-in");
    assert_eq!(send(&app, "/account/tickets", &tab, "").expect(303).header("Location"), "/sign-in");
    assert_eq!(app.sql("UPDATE credentials SET kind = kind"), 0, "a ticket was issued");
}

/// CONTRACT 29, 34: after a failed sign-in the form is shown again with the reason, and without the text that was
/// typed.
#[rstest]
#[case("login=tje0&password=CANARY", 401, "The user name or the password is wrong.")]
#[case("login=nobody&password=CANARY", 401, "The user name or the password is wrong.")]
#[case("login=a:b&password=CANARY", 401, "The user name or the password is wrong.")]
#[case("login=tje0", 400, "password is required.")]
#[case("password=CANARY", 400, "login is required.")]
#[case("", 400, "")]
fn a_failed_sign_in_is_shown_on_the_page(
    #[case] form: &str,
    #[case] status: u16,
    #[case] reason: &str,
) {
    let app = TestApp::new();
    let answer = visitor(&app).request("POST", "/sign-in", &[FORM], form.as_bytes());
    let answer = answer.expect(status);
    assert!(answer.body.contains(&format!("<p role=\"alert\">{reason}")), "{}", answer.body);
    assert!(!answer.body.contains("CANARY") && answer.header("Set-Cookie").is_empty());
    let challenges = answer.challenges();
    assert_eq!(challenges, if status == 401 { &["Session"][..] } else { &[] });
}

/// CONTRACT 29: a form that another site sent is not read, whether or not the user is signed in.
#[test]
fn forms_of_other_sites_are_refused() {
    let app = TestApp::new();
    let host = format!("http://{}", app.authority());
    let form = b"login=tje0&password=Tje0";
    for (name, value, status) in [
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Sec-Fetch-Site", "same-origin", 303),
        ("Sec-Fetch-Site", "none", 303),
        ("Origin", "https://evil.example", 403),
        ("Origin", "null", 403),
        ("Origin", &host, 303),
    ] {
        let answer = visitor(&app).request("POST", "/sign-in", &[FORM, (name, value)], form);
        assert_eq!(answer.status, status, "{name}: {value}: {answer:?}");
    }
    let session = app.client().sign_in("tje0", "Tje0");
    let other = app.client().sign_in("tje0", "Tje0");
    let form = format!("XSRF_TOKEN={}", other.xsrf_token);
    let headers = [("Cookie", &*session.cookie), FORM];
    for form in ["", "XSRF_TOKEN=", &form] {
        let answer = visitor(&app).request("POST", "/account/tickets", &headers, form.as_bytes());
        assert!(answer.expect(401).body.contains("X-XSRF-TOKEN"));
    }
    let tickets = "UPDATE credentials SET kind = kind WHERE kind = 'ticket'";
    assert_eq!(app.sql(tickets), 0, "a ticket was issued");
}

/// CONTRACT 27, 29: the page issues a ticket, shows it once, and revokes it. It cannot revoke another user's ticket.
#[test]
fn tickets_of_ones_own_are_issued_and_revoked() {
    let app = TestApp::new();
    app.add_user("ann");
    let session = app.client().sign_in("tje0", "Tje0");
    let page = send(&app, "/account/tickets", &session, "").expect(200);
    let ticket = page.body.split("<pre>").nth(1).and_then(|rest| rest.split("</pre>").next());
    let ticket = ticket.expect("a ticket");
    let by_ticket = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
    by_ticket.who(&[]).expect(200);
    let page = account(&app, &session).expect(200);
    assert!(!page.body.contains("7T:"), "shown once");
    assert_eq!(page.body.matches("/account/tickets/revoke").count(), 1);
    let id = page.body.split("name=\"id\" value=\"").nth(1).expect("an id")[..32].to_owned();

    let ann = app.client().sign_in("ann", "CANARY-password");
    assert!(!account(&app, &ann).expect(200).body.contains(&id));
    send(&app, "/account/tickets/revoke", &ann, &format!("id={id}")).expect(303);
    by_ticket.who(&[]).expect(200);
    send(&app, "/account/tickets/revoke", &session, &format!("id={id}")).expect(303);
    by_ticket.who(&[]).expect(401);
    send(&app, "/account/tickets/revoke", &session, "id=CANARY").expect(400);
}

/// CONTRACT 29: a session needs the XSRF value for every method. Each form of the account page needs it too, and must
/// be sent from this site.
#[test]
fn every_method_and_every_form_is_guarded() {
    let app = TestApp::new();
    let session = app.client().sign_in("tje0", "Tje0");
    let cookie = [("Cookie", session.cookie.as_str())];
    for method in ["GET", "HEAD"] {
        for path in ["/api/v1/User/currentPrincipal", "/api/v1/User/currentToken"] {
            visitor(&app).request(method, path, &cookie, b"").expect(401);
        }
    }
    let form = format!("XSRF_TOKEN={}&id={}", session.xsrf_token, "0".repeat(32));
    for path in ["/account/tickets", "/account/tickets/revoke", "/sign-out"] {
        let headers = [cookie[0], FORM, ("Sec-Fetch-Site", "cross-site")];
        let answer = visitor(&app).request("POST", path, &headers, form.as_bytes());
        answer.expect_error(403, "SoSentryException", "sent from another site");
        let headers = [cookie[0], FORM];
        visitor(&app).request("POST", path, &headers, b"XSRF_TOKEN=eHg").expect(401);
    }
    visitor(&app).who(&session.headers()).expect(200);
    let long = format!("login=tje0&password={}", "x".repeat(20_000));
    visitor(&app).request("POST", "/sign-in", &[FORM], long.as_bytes()).expect(413);
}

/// CONTRACT 29: cookies with other names, malformed cookies, and old cookies of the same name do not hide the session.
#[test]
fn other_cookies_do_not_matter() {
    let app = TestApp::new();
    let session = app.client().sign_in("tje0", "Tje0");
    let host = app.authority();
    for others in ["a=1; b", "odd=\u{e5}\u{ff}", "latchkey-session=old", "latchkey-session; =;"] {
        let answer = app.raw(&format!(
            "GET /api/v1/User/currentPrincipal HTTP/1.1\r\nHost: {host}\r\nCookie: {others}; {}\r\n\
             X-XSRF-TOKEN: {}\r\nConnection: close\r\n\r\n",
            session.cookie, session.xsrf_token
        ));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{others}: {answer}");
    }
}

/// CONTRACT 1, 29: a session belongs to one tenant, also on the pages.
#[test]
fn a_session_is_of_one_tenant() {
    let app = Setup::new().with("TENANTS", "path").start();
    app.admin(&["user", "add", "ann", "--tenant", "Cust1", "--password-stdin"]);
    let root = app.url.strip_suffix("/default").expect("the tenant");
    let of = |tenant: &str| Client::new(&format!("{root}/{tenant}")).with_authorization(None);
    let session = of("CUST1").sign_in("ann", "CANARY-password");
    let cookie = [("Cookie", session.cookie.as_str())];
    of("Cust1").who(&session.headers()).expect(200);
    of("Cust1").request("GET", "/account", &cookie, b"").expect(200);
    for other in ["default", "Cust2"] {
        of(other).who(&session.headers()).expect_error(403, "SoSentryException", "another tenant");
        let page = of(other).request("GET", "/account", &cookie, b"").expect(303);
        assert_eq!(page.header("Location"), format!("/{other}/sign-in"));
        let form = format!("XSRF_TOKEN={}", session.xsrf_token);
        let headers = [cookie[0], FORM];
        of(other).request("POST", "/account/tickets", &headers, form.as_bytes()).expect(303);
    }
    assert_eq!(app.sql("UPDATE credentials SET kind = kind WHERE kind = 'ticket'"), 0);
}

/// CONTRACT 29: idle and absolute lifetimes. Use extends a session, but not beyond its absolute end.
#[test]
fn a_session_ends_in_the_end() {
    let app = Setup::new()
        .with("AUTH__SESSION__IDLE_MINUTES", "30")
        .with("AUTH__SESSION__LIFETIME_MINUTES", "60")
        .start();
    let session = app.client().sign_in("tje0", "Tje0");
    let used = || visitor(&app).who(&session.headers()).status;
    let is_left = |minutes: std::ops::Range<i64>| {
        let condition = format!(
            "expires - {} BETWEEN {} AND {}",
            Database::NOW,
            minutes.start * 60_000_000,
            minutes.end * 60_000_000
        );
        app.sql(&format!("UPDATE credentials SET kind = kind WHERE {condition}")) == 1
    };
    assert!(is_left(30..32));
    app.sql(
        "UPDATE credentials SET created = created - 1200000000, expires = expires - 1200000000",
    );
    assert!(is_left(9..12));
    assert_eq!(used(), 200);
    assert!(is_left(30..32), "renewed");
    app.sql(
        "UPDATE credentials SET created = created - 1200000000, expires = expires - 1200000000",
    );
    assert_eq!(used(), 200);
    assert!(is_left(18..21), "not past an hour in all");
    app.sql("UPDATE credentials SET expires = 1");
    assert_eq!(used(), 401);
    let refusal = Setup::new().with("AUTH__SESSION__IDLE_MINUTES", "0").refusal();
    assert!(refusal.contains("auth.session.idle_minutes must be at least 1"), "{refusal}");
}

/// CONTRACT 25, 29: if sessions are off, there are no pages, and cookies are ignored.
#[test]
fn where_sessions_are_off_no_sign_in_works() {
    let session = TestApp::new().client().sign_in("tje0", "Tje0");
    let app = Setup::new().with("AUTH__SCHEMES__SESSION", "false").start();
    for path in ["/sign-in", "/account"] {
        visitor(&app).request("GET", path, &[], b"").expect(404);
    }
    visitor(&app).request("POST", "/sign-in", &[FORM], b"login=tje0&password=Tje0").expect(404);
    let answer = visitor(&app).who(&session.headers());
    answer.expect_error(401, "SoSessionException", "This call needs a login");
}

/// CONTRACT 21, 29: the pages are available in every language that the texts have.
#[test]
fn the_pages_are_translated() {
    let app = TestApp::new();
    for (language, words) in [("en", "Sign in"), ("nb-NO", "Logg inn"), ("de", "Anmelden")] {
        let headers = [("Accept-Language", language)];
        let page = visitor(&app).request("GET", "/sign-in", &headers, b"").expect(200);
        assert!(page.body.contains(words), "{language}: {}", page.body);
    }
    let saved = app.client().post("SaveExternalTokens", &json!({})).expect(400);
    assert!(saved.header("Set-Cookie").is_empty());
}
