//! The host of a request (CONTRACT 1), and requests that are meant for a proxy: `Upgrade`, `CONNECT`.

use rstest::rstest;
use serde_json::json;

use crate::support::{
    app::{Setup, TestApp},
    raw::save_request,
};

/// The status of the answer to this request line with these header lines, on a raw connection.
fn status(app: &TestApp, request_line: &str, lines: &str) -> u16 {
    let answer = app.raw(&format!("{request_line}\r\n{lines}Connection: close\r\n\r\n"));
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("{answer}"))
}

fn status_of(app: &TestApp, host: &str) -> u16 {
    status(app, "GET /api HTTP/1.1", &format!("Host: {host}\r\n"))
}

/// CONTRACT 1, 35: a web page that points its own name at this machine gets no answer from a server that only this
/// machine reaches. A host with invalid characters is malformed.
#[test]
fn a_page_cannot_rebind_its_name() {
    let app = TestApp::new();
    for host in ["localhost", "LocalHost:80", "127.0.0.1:1", "[::1]:8080", app.authority()] {
        assert_eq!(status_of(&app, host), 200, "{host}");
    }
    for host in
        ["attacker.example", "attacker.example:8080", "localhost.attacker.example", "192.0.2.1"]
    {
        assert_eq!(status_of(&app, host), 421, "{host}");
    }
    for host in ["a b", "a/b", "user@localhost", "localhost:x", "localhost, localhost", "[::1", "å"]
    {
        assert_eq!(status_of(&app, host), 400, "{host}");
    }
    let list = "POST /api/v1/Agents/ExternalTokens/List HTTP/1.1\r\nHost: attacker.example\r\n\
                Authorization: Basic dGplMDpUamUw\r\nContent-Type: application/json\r\n\
                Content-Length: 2\r\nConnection: close\r\n\r\n{}";
    let answer = app.raw(list);
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(answer.contains("\"ErrorType\":\"SoNotFoundException\""), "{answer}");
    assert!(answer.contains("server.hosts") && !answer.contains("attacker"), "{answer}");
}

/// CONTRACT 1: a host in the target has precedence over `Host`. Without both the request must be HTTP/1.0.
#[test]
fn a_target_may_name_the_host() {
    let app = TestApp::new();
    for (line, lines, expected) in [
        ("GET http://localhost/api HTTP/1.1", "Host: localhost\r\n", 200),
        ("GET http://localhost/api HTTP/1.1", "Host: attacker.example\r\n", 200),
        ("GET http://attacker.example/api HTTP/1.1", "Host: localhost\r\n", 421),
        ("GET http://user@localhost/api HTTP/1.1", "Host: localhost\r\n", 400),
        ("GET http://localhost/api HTTP/1.1", "Host: a b\r\n", 400),
        ("GET /api HTTP/1.1", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("GET /api HTTP/1.1", "", 400),
        ("GET /api HTTP/1.0", "", 200),
        ("GET /api HTTP/1.0", "Host: attacker.example\r\n", 421),
        ("OPTIONS * HTTP/1.1", "Host: attacker.example\r\n", 421),
        ("OPTIONS * HTTP/1.1", "Host: localhost\r\n", 204),
    ] {
        assert_eq!(status(&app, line, lines), expected, "{line} {lines}");
    }
    let answer =
        app.raw("GET http://localhost:1/api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("\"http://localhost:1/api/v1\""), "{answer}");
}

/// CONTRACT 1: the setting adds hosts to those of this machine. If other machines reach the server, only the hosts of
/// the setting are valid, or all without it. Probes work with any host.
#[test]
fn hosts_are_configured() {
    let app = Setup::new().with("SERVER__HOSTS", "latchkey.example, 192.0.2.1").start();
    for (host, expected) in
        [("Latchkey.Example:8443", 200), ("192.0.2.1", 200), ("localhost", 200), ("b.example", 421)]
    {
        assert_eq!(status_of(&app, host), expected, "{host}");
    }
    for probe in ["/healthz", "/readyz"] {
        let line = format!("GET {probe} HTTP/1.1");
        assert_eq!(status(&app, &line, "Host: 10.0.0.7:8080\r\n"), 200, "{probe}");
        assert_eq!(status(&app, &line, "Host: a b\r\n"), 400, "{probe}");
    }
    let exposed = Setup::new().with("PROFILE", "production").with("SERVER__BEHIND_PROXY", "true");
    let exposed = exposed.with("SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let app = exposed.start();
    assert_eq!(status_of(&app, "anything.example"), 200);
    let app = app.stop().with("SERVER__HOSTS", "latchkey.example").start();
    for (lines, expected) in [
        ("Host: latchkey.example\r\n", 200),
        ("Host: localhost\r\n", 421),
        ("Host: localhost\r\nX-Forwarded-Host: latchkey.example\r\n", 200),
        ("Host: localhost\r\nForwarded: host=latchkey.example\r\n", 200),
        ("Host: latchkey.example\r\nX-Forwarded-Host: b.example\r\n", 421),
        ("Host: localhost\r\nX-Forwarded-Host: \u{ff}\r\n", 421),
        ("Host: a b\r\nX-Forwarded-Host: latchkey.example\r\n", 400),
    ] {
        assert_eq!(status(&app, "GET /api HTTP/1.1", lines), expected, "{lines}");
    }
    for bad in ["*", "a.example:80", "https://a.example"] {
        let refusal = Setup::new().with("SERVER__HOSTS", bad).refusal();
        assert!(refusal.contains("server.hosts must have names and addresses"), "{refusal}");
    }
}

/// CONTRACT O6, O7, 29: links, redirects and cookies use the address that the client of a trusted proxy sees.
/// Forwarding headers of other clients are ignored, and so are unreadable ones.
#[test]
fn links_are_those_of_the_proxys_clients() {
    let headers = [
        ("X-Forwarded-Host", "latchkey.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "8443"),
        ("X-Forwarded-Prefix", "/tokens/"),
    ];
    let trusting = Setup::new().with("SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let app = trusting.with("SERVER__HOSTS", "latchkey.example").start();
    let client = app.client().with_authorization(None);
    let get = |path: &str| client.request("GET", path, &headers, b"");
    let base = "https://latchkey.example:8443/tokens";
    assert_eq!(get("/api").expect(200).json()["v1"], format!("{base}/api/v1"));
    let routes = get("/api/v1").expect(200).json();
    assert!(
        routes.as_object().expect("object").keys().all(|url| url.starts_with(base)),
        "{routes}"
    );
    assert_eq!(get("/").header("Location"), "/tokens/api");
    assert_eq!(get("/api/docs").header("Location"), "/tokens/api/docs/");
    assert_eq!(get("/account").header("Location"), "/tokens/sign-in");
    assert!(get("/sign-in").body.contains("action=\"/tokens/sign-in\""));
    let document = get("/api/openapi.json").expect(200).json();
    assert_eq!(document["servers"], json!([{ "url": "/tokens" }]));
    get("/nowhere").expect_error(404, "SoNotFoundException", "; /tokens/api/v1 lists what is.");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for (origin, expected) in [("https://latchkey.example:8443", 303), ("https://b.example", 403)] {
        let headers = [&headers[..], &form, &[("Origin", origin)]].concat();
        let answer = client.request("POST", "/sign-in", &headers, b"login=tje0&password=Tje0");
        let answer = answer.expect(expected);
        let cookie = answer.header("Set-Cookie");
        let is_guarded =
            cookie.starts_with("__Host-latchkey-session=") && cookie.contains("; Secure");
        assert_eq!(is_guarded, expected == 303, "{cookie}");
    }

    let links = |headers: &[(&str, &str)]| {
        client.request("GET", "/api", headers, b"").expect(200).json()["v1"].clone()
    };
    let plain = format!("{}/api/v1", app.url);
    for header in [
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Port", "-1"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("Forwarded", "host=\"<script>\";proto=x"),
    ] {
        assert_eq!(links(&[header]), plain, "{header:?}");
    }
    let forwarded = [("Forwarded", "for=192.0.2.1;host=\"latchkey.example:1\";proto=https")];
    assert_eq!(links(&forwarded), "https://latchkey.example:1/api/v1");
    let app = TestApp::new();
    let answer = app.client().request("GET", "/api", &headers, b"").expect(200);
    assert_eq!(answer.json()["v1"], format!("{}/api/v1", app.url), "nobody is trusted");
}

/// CONTRACT 33: the address is read item by item. Reading stops at an invalid item, and the last proxy counts.
#[test]
fn an_address_is_what_proxies_wrote() {
    let app = Setup::new().with("SERVER__TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8").start();
    for (line, expected) in [
        ("X-Forwarded-For: \u{ff}, 192.0.2.1", "192.0.2.1"),
        ("X-Forwarded-For: 192.0.2.2, \u{ff}, 10.0.0.1", "10.0.0.1"),
        ("Forwarded: for=\u{ff}, for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
        ("Forwarded: for=192.0.2.3\r\nX-Forwarded-For: 192.0.2.4", "127.0.0.1"),
    ] {
        assert_eq!(
            status(&app, "GET /api HTTP/1.1", &format!("Host: localhost\r\n{line}\r\n")),
            200
        );
        app.logged(&[&format!("client.address=\"{expected}\"")]);
    }
}

/// RFC 9110 §7.8: another protocol is not spoken, and the request is answered as if it had not asked for one. A request
/// that names another server is malformed.
#[rstest]
#[case::websocket("Upgrade: websocket\r\nConnection: upgrade\r\n")]
#[case::without_connection("Upgrade: websocket\r\n")]
#[case::connection_alone("Connection: upgrade\r\n")]
#[case::h2c("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n")]
#[case::several("Upgrade: h2c\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n")]
fn another_protocol_is_not_spoken(#[case] lines: &str) {
    let app = TestApp::new();
    let save = String::from_utf8(save_request("localhost", "CANARY-upgrade")).expect("text");
    // The client neither closes the connection nor asks for its end: the answer comes first, and then the end.
    let answer = app.raw(&save.replacen("Host:", &format!("{lines}Host:"), 1));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("lk_"), "{answer}");
    let (head, _) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(!head.to_lowercase().contains("upgrade"), "{head}");
    let empty = save.split_once("Content-Length").expect("a length").0;
    let answer = app.raw(&format!("{empty}{lines}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 400 "), "a body that is not there: {answer}");
    let answer = app.raw(&format!("GET /api HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// CONTRACT 35: `CONNECT` is for proxies.
#[test]
fn the_server_is_no_proxy() {
    let app = TestApp::new();
    for line in ["CONNECT localhost:443 HTTP/1.1", "CONNECT attacker.example:443 HTTP/1.1"] {
        for more in ["", "Content-Length: 2\r\n"] {
            let answer = app.raw(&format!("{line}\r\nHost: localhost\r\n{more}\r\n"));
            assert!(answer.starts_with("HTTP/1.1 400 "), "{line}: {answer}");
        }
    }
    assert_eq!(status(&app, "GET localhost:443 HTTP/1.1", "Host: localhost\r\n"), 400);
}
