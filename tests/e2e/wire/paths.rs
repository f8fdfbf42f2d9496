//! Paths and methods (CONTRACT 1, 35).
//!
//! Invariant: a tenant's path leads only to that tenant's users and records.

use rstest::rstest;
use serde_json::json;

use crate::support::{
    app::{Setup, TestApp},
    client::Client,
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const GET: &str = "/api/v1/Agents/User/GetExternalTokens";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const BODY: &[u8] = br#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#;

fn client(app: &TestApp) -> Client {
    Client::new(&format!("http://{}", app.authority()))
}

fn saved(client: &Client, path: &str) -> String {
    client.request("POST", path, &[JSON], BODY).expect(200).key()
}

/// CONTRACT 1: paths in any case, with or without a trailing slash, percent-encoded or not.
#[rstest]
#[case("/api/v1/agents/user/saveexternaltokens")]
#[case("/API/V1/AGENTS/USER/SAVEEXTERNALTOKENS/")]
#[case("/api/v1/Agents/User/SaveExternalTokens/?$select=x")]
#[case("/api/v1/Agents/%55ser/SaveExternalTokens")]
fn a_path_is_found_in_any_case(#[case] path: &str) {
    let app = TestApp::new();
    assert!(saved(&app.client(), path).starts_with("lk_"));
}

/// CONTRACT 1: with a prefix, the server answers only below it, except for probes of a supervisor.
#[test]
fn the_api_is_under_its_prefix() {
    let app = Setup::new().with("SERVER__PATH_PREFIX", "/SuperOffice/").start();
    let printed = format!("http://{}/SuperOffice", app.authority());
    assert_eq!(app.url, printed, "the greeting names the prefix");
    let key = saved(&app.client(), SAVE);
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
    let root = client(&app);
    saved(&root, &format!("/superoffice{SAVE}/"));
    for path in [SAVE, "/", "/SuperOfficeX/api", "/SuperOffice/Cust1/api"] {
        let answer = root.request("POST", path, &[JSON], BODY);
        answer.expect_error(404, "SoNotFoundException", "; /SuperOffice/api/v1 lists what is.");
    }
    root.request("GET", "/healthz", &[], b"").expect(200);
    root.request("GET", "/SuperOffice/readyz", &[], b"").expect(200);
    for prefix in ["SuperOffice", "/a b", "/a//b", "/../x", "/å"] {
        let refusal = Setup::new().with("SERVER__PATH_PREFIX", prefix).refusal();
        assert!(refusal.contains("server.path_prefix must be empty or like"), "{refusal}");
    }
}

/// CONTRACT 1, 8: with tenants, the path names one. Each tenant has its own users and records.
#[test]
fn tenants_are_apart() {
    let app = Setup::new().with("TENANTS", "path").with("SERVER__PATH_PREFIX", "/SO").start();
    assert!(app.url.ends_with("/SO/default"), "{}", app.url);
    let key = saved(&app.client(), SAVE);
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));

    let root = client(&app);
    let of_other = format!("/SO/Cust12345{SAVE}");
    root.request("POST", &of_other, &[JSON], BODY).expect_error(
        401,
        "SoSessionException",
        "The user name or the password is wrong",
    );
    app.sql(
        "INSERT INTO users SELECT 'cust12345', login, password_hash, is_administrator, is_disabled, \
         created, updated, version, NULL FROM users",
    );
    let other_key = saved(&root, &of_other);
    let get = |path: &str, key: &str| {
        let body = json!({ "Key": key }).to_string();
        root.request("POST", path, &[JSON], body.as_bytes()).expect(200).json()
    };
    assert_eq!(get(&format!("/SO/CUST12345{GET}/"), &other_key)["AccessToken"], "fugit");
    assert_eq!(get(&format!("/SO/Cust12345{GET}"), &key), json!(null));
    assert_eq!(get(&format!("/SO/default{GET}"), &other_key), json!(null));
    for path in [format!("/SO{SAVE}"), format!("/SO/a%20b{SAVE}"), format!("/SO/a%2Fb{SAVE}")] {
        let answer = root.request("POST", &path, &[JSON], BODY);
        answer.expect_error(404, "SoNotFoundException", "; /SO/{tenant}/api/v1 lists what is.");
    }
    let refusal = Setup::new().with("TENANTS", "many").refusal();
    assert!(refusal.contains("expected `single` or `path` for key `tenants`"), "{refusal}");
    let refusal = Setup::new().with("BASE_TIME_ZONE", "Moon").refusal();
    assert!(refusal.contains("base_time_zone must be a known time zone"), "{refusal}");
}

/// CONTRACT 1: consecutive slashes count as one, for example if a base URL ends in a slash.
#[test]
fn slashes_are_merged() {
    let app = Setup::new().with("TENANTS", "path").with("SERVER__PATH_PREFIX", "/SO").start();
    let root = client(&app);
    let key = saved(&root, &format!("//SO///default/{SAVE}"));
    let body = json!({ "Key": key }).to_string();
    let path = format!("/SO//default{}", GET.replace('/', "//"));
    let got = root.request("POST", &path, &[JSON], body.as_bytes()).expect(200).json();
    assert_eq!(got["AccessToken"], "fugit");
    let home = root.request("GET", "//SO//default//", &[], b"");
    assert!(home.header("Location").ends_with("/SO/default/api"), "{home:?}");
}

/// CONTRACT 35: the server as a whole lists its methods, too.
#[test]
fn the_server_tells_its_methods() {
    let app = TestApp::new();
    let host = app.authority();
    let answer =
        app.raw(&format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert!(answer.contains("allow: GET, HEAD, POST, OPTIONS\r\n"), "{answer}");
}

/// CONTRACT 35: each path lists its methods, in the answer to OPTIONS and when it rejects a method.
#[rstest]
#[case(SAVE, "POST, GET, HEAD, OPTIONS", "application/json, text/json")]
#[case(GET, "POST, GET, HEAD, OPTIONS", "application/json, text/json")]
#[case("/", "GET, HEAD, OPTIONS", "")]
#[case("/api", "GET, HEAD, OPTIONS", "")]
#[case("/api/v1", "GET, HEAD, OPTIONS", "")]
#[case("/api/openapi.json", "GET, HEAD, OPTIONS", "")]
#[case("/api/docs", "GET, HEAD, OPTIONS", "")]
#[case("/healthz", "GET, HEAD, OPTIONS", "")]
#[case("/readyz", "GET, HEAD, OPTIONS", "")]
fn methods_are_listed(#[case] path: &str, #[case] allowed: &str, #[case] reads: &str) {
    let app = TestApp::new();
    let client = app.client().with_authorization(None);
    let options = client.request("OPTIONS", path, &[], b"").expect(204);
    assert_eq!(options.header("Allow"), allowed);
    assert!(options.header("Accept-Post").starts_with(reads), "{options:?}");
    for method in ["PUT", "DELETE", "PATCH", "TRACE"] {
        let refused = client.request(method, path, &[], b"");
        let refused = refused.expect_error(405, "NotSupportedException", allowed);
        assert_eq!(refused.header("Allow"), allowed);
    }
    let head = client.request("HEAD", path, &[], b"");
    assert_eq!(head.body, "");
    let get = client.request("GET", path, &[], b"");
    assert_eq!(head.header("Content-Type"), get.header("Content-Type"));
}
