//! The pages that a person sees in a browser (CONTRACT 34, O5–O7).
//!
//! Invariant: a browser gets a page with a way on for every error, and no link of a page leads nowhere.

use std::collections::BTreeSet;

use crate::support::{
    app::{Setup, TestApp},
    client::{Answer, Client},
};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";

fn visitor(app: &TestApp) -> Client {
    Client::new(&origin(app)).with_authorization(None)
}

fn assert_page(answer: &Answer, language: &str, text: &str) {
    assert_eq!(answer.header("Content-Type"), "text/html; charset=utf-8", "{answer:?}");
    assert!(answer.header("Content-Security-Policy").contains("default-src 'none'"));
    for part in [&format!("<html lang=\"{language}\">"), text, "<nav><a href="] {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
}

/// CONTRACT 34: every error, in the reader's language; the same status and headers as for a program.
#[test]
fn an_error_is_a_page() {
    let app = TestApp::new();
    let browser = ("Accept", BROWSER);
    let nothing = "Nothing is served on this path";
    let calls = [
        (404, "GET", "/nothing", vec![browser], "en", nothing),
        (404, "GET", "/nothing", vec![("Accept", "application/xhtml+xml")], "en", nothing),
        (404, "GET", "/api/v1/%3Cscript%3E", vec![browser], "en", nothing),
        (405, "GET", "/sign-out", vec![browser], "en", "serves only POST"),
        (401, "GET", "/api/v1/User/currentPrincipal", vec![browser], "en", "<h1>"),
        (406, "POST", SAVE, vec![("Accept", "text/html"), FORM], "en", "ask for application/json"),
        (400, "POST", SAVE, vec![browser, FORM], "en", "TokenManagementInfo"),
        (
            404,
            "GET",
            "/nothing",
            vec![browser, ("Accept-Language", "nb-NO,nb;q=0.9,en;q=0.5")],
            "nb",
            ">Konto</a>",
        ),
    ];
    for (status, method, path, headers, language, text) in calls {
        let client = if method == "POST" { app.client() } else { visitor(&app) };
        let answer = client.request(method, path, &headers, b"").expect(status);
        assert_page(&answer, language, text);
        assert!(answer.body.contains(answer.header("X-Request-Id")), "{}", answer.body);
        assert!(!answer.body.contains("<script"), "{}", answer.body);
    }
    let allowed = visitor(&app).request("GET", "/sign-out", &[browser], b"");
    assert_eq!(allowed.header("Allow"), "POST, OPTIONS");
}

/// A program gets what it asks for.
#[test]
fn a_program_gets_no_page() {
    let app = TestApp::new();
    for (accept, expected) in [
        ("*/*", "application/json"),
        ("application/xml", "application/xml"),
        ("text/xml, text/html;q=0.5", "text/xml"),
        ("text/html;q=0.5, */*", "application/json"),
        ("image/png", "application/json"),
    ] {
        let answer = visitor(&app).request("GET", "/nothing", &[("Accept", accept)], b"");
        let content_type = answer.expect(404).header("Content-Type").to_owned();
        assert_eq!(content_type, format!("{expected}; charset=utf-8"), "{accept}");
    }
}

/// A form that fails: of another site, without a field, too long.
#[test]
fn a_form_that_fails_is_a_page() {
    let app = TestApp::new();
    let browser = ("Accept", BROWSER);
    let long = format!("login=tje0&password={}", "x".repeat(20_000));
    for (status, headers, body, text) in [
        (403, vec![browser, FORM, ("Sec-Fetch-Site", "cross-site")], "", "another site"),
        (413, vec![browser, FORM], long.as_str(), "16384"),
        (415, vec![browser, ("Content-Type", "text/plain")], "login", "Content-Type"),
    ] {
        let answer = visitor(&app).request("POST", "/sign-in", &headers, body.as_bytes());
        assert_page(&answer.expect(status), "en", text);
    }
    let again = visitor(&app).request("POST", "/sign-in", &[browser, FORM], b"login=tje0");
    assert!(again.expect(400).body.contains("password is required"), "the form, with the reason");
}

/// The links of the page at a path, as paths.
fn links(app: &TestApp, at: &str, page: &Answer) -> Vec<String> {
    let links = page.body.split("<a href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    links.filter(|link| !link.starts_with('#')).map(|link| path_of(app, at, link)).collect()
}

/// The path of a link, which leads to no other host.
fn path_of(app: &TestApp, at: &str, link: &str) -> String {
    let path = link.strip_prefix(&origin(app)).unwrap_or(link);
    assert!(!path.contains("//"), "{link}");
    let folder = at.rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = path.strip_prefix("./").unwrap_or(path);
    if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") }
}

/// The server's URL without what stands before every path.
fn origin(app: &TestApp) -> String {
    format!("http://{}", app.authority())
}

/// From the server's root and from an error, in each kind of mount: each link leads to something for a person.
#[test]
fn no_link_is_dead() {
    let single = Setup::new().with("SERVER__PATH_PREFIX", "/SuperOffice");
    let path = single.clone().with("TENANTS", "path");
    for (setup, base, lost) in [
        (Setup::new(), "", Some("/nothing")),
        (single, "/SuperOffice", Some("/nothing")),
        (path, "/SuperOffice/Cust26759", None),
    ] {
        let app = setup.start();
        let mut found = vec![format!("{base}/"), format!("{base}/sign-in")];
        let mut seen = BTreeSet::new();
        let lost = lost.map(|path| visitor(&app).request("GET", path, &[("Accept", BROWSER)], b""));
        found.extend(lost.iter().flat_map(|page| links(&app, "/nothing", page)));
        while let Some(path) = found.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            let answer = visitor(&app).request("GET", &path, &[("Accept", BROWSER)], b"");
            // A page for callers alone asks for a login.
            assert!(matches!(answer.status, 200 | 303 | 307 | 401), "{path}: {answer:?}");
            found.extend(links(&app, &path, &answer));
            if answer.status != 200 && answer.status != 401 {
                found.push(path_of(&app, &path, answer.header("Location")));
            }
        }
        assert!(seen.len() > 10, "{seen:?}");
        assert!(seen.contains(&format!("{base}{SAVE}")), "{seen:?}");
        assert!(seen.contains(&format!("{base}/account")), "{seen:?}");
    }
}

/// If people cannot sign in by a page, no page leads there.
#[test]
fn without_sessions_there_is_no_link_to_them() {
    let app = Setup::new().with("AUTH__SCHEMES__SESSION", "false").start();
    let page = visitor(&app).request("GET", "/nothing", &[("Accept", BROWSER)], b"").expect(404);
    assert_eq!(links(&app, "/nothing", &page), ["/api"]);
}
