//! The API's index, descriptions, OpenAPI document and viewer (CONTRACT O5–O7).
//!
//! Invariant: none of these requests needs a login, and none of them runs a call.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    grants::token_endpoint::with_endpoint,
    support::{
        app::{Setup, TestApp},
        client::{Answer, Client},
    },
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn visitor(app: &TestApp) -> Client {
    app.client().with_authorization(None)
}

/// Follows one redirect.
fn get(app: &TestApp, path: &str, accept: &str) -> Answer {
    let get = |path: &str| visitor(app).request("GET", path, &[("Accept", accept)], b"");
    let answer = get(path);
    if answer.status == 307 { get(answer.header("Location")) } else { answer }.expect(200)
}

/// CONTRACT O6: the versions: for programs as a flat dictionary of texts, and for people as a page.
#[test]
fn the_versions_are_listed() {
    let app = TestApp::new();
    let versions = visitor(&app).request("GET", "/api", &[], b"").expect(200).json();
    let v1 = format!("{}/api/v1", app.url);
    // SuperOffice's C# client reads it into this type.
    let texts: BTreeMap<String, String> = serde_json::from_value(versions).expect("texts");
    let text = |name: &str| texts[name].as_str();
    assert_eq!(texts.len(), 9, "{texts:?}");
    assert_eq!((text("v1"), text("ServicesCurrent")), (v1.as_str(), v1.as_str()));
    assert_eq!((text("Version"), text("Services")), ("v1", "v1"));
    let version = text("NetServerVersion");
    assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
    assert_eq!(text("NetServerAssembly"), format!("{version}.0"));
    assert_eq!(text("NetServer"), format!("Latchkey {version}"));
    assert_eq!(text("NetServerLabel"), "Latchkey");
    let day: Vec<u32> =
        text("NetServerDate").splitn(3, '-').map(|part| part.parse().expect("a number")).collect();
    assert_eq!(format!("{:04}-{:02}-{:02}", day[0], day[1], day[2]), text("NetServerDate"));
    get(&app, "/api/v1", "text/html");
    get(&app, SAVE, "text/html");
    assert!(get(&app, "", BROWSER).body.contains("<h1>"), "the printed URL leads to the index");
    let page = get(&app, "/API/", BROWSER);
    assert_eq!(page.header("Content-Type"), "text/html; charset=utf-8");
    assert!(page.header("Content-Security-Policy").contains("default-src 'none'"));
    assert!(page.body.contains(&format!("href=\"{v1}\"")), "{}", page.body);
    let xml = get(&app, "/api", "text/xml");
    assert!(xml.body.contains("<Version>v1</Version>"), "{}", xml.body);
}

/// CONTRACT O7: every route, with its methods and their descriptions, in the language of the request.
#[test]
fn every_route_is_listed() {
    let app = TestApp::new();
    let routes = get(&app, "/api/v1", "application/json").json();
    let save = &routes[format!("{}{SAVE}", app.url)];
    let summary = "Save a provider's tokens and get the key that retrieves them";
    assert_eq!(save["POST"], summary);
    assert_eq!(save["GET"], "Describe this call, without running it");
    let served: BTreeSet<&str> =
        routes.as_object().expect("object").keys().map(String::as_str).collect();
    let document = get(&app, "/api/openapi.json", "*/*").json();
    let documented: BTreeSet<String> = document["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(|path| format!("{}{path}", app.url))
        .collect();
    assert_eq!(served, documented.iter().map(String::as_str).collect());
    let norwegian = [("Accept", "application/json"), ("Accept-Language", "nb")];
    let norwegian = visitor(&app).request("GET", "/api/v1", &norwegian, b"").json();
    assert_ne!(norwegian[format!("{}{SAVE}", app.url)]["POST"], summary);
    let page = [("Accept", BROWSER), ("Accept-Language", "fi")];
    let page = visitor(&app).request("GET", SAVE, &page, b"").expect(200).body;
    assert!(page.contains("<html lang=\"fi\">") && page.contains("<h2>Pyyntö</h2>"), "{page}");
    let page = get(&app, "/api/v1", BROWSER);
    assert!(page.body.contains(summary.split('\'').next().expect("text")), "{}", page.body);
}

/// CONTRACT O5: a GET on an operation describes it and never runs it, with any headers and body.
#[test]
fn an_operation_describes_itself() {
    let app = TestApp::new();
    let json = get(&app, SAVE, "application/json").json();
    assert_eq!(json["Method"], "POST");
    assert_eq!(json["Url"], format!("{}{SAVE}", app.url));
    assert!(
        json["Description"]
            .as_str()
            .is_some_and(|told| told.contains("protect it like the tokens"))
    );
    let provider = "/Request/properties/TokenManagementInfo/properties/Provider/type";
    assert_eq!(json.pointer(provider), Some(&Value::from("string")), "{json:#}");
    assert_eq!(json["Answer"]["type"], "string");
    let get_path = "/api/v1/agents/user/GETEXTERNALTOKENS/";
    let other = get(&app, get_path, "application/json").json();
    assert_eq!(other.pointer("/Request/properties/Key/type"), Some(&Value::from("string")));
    let page = get(&app, SAVE, BROWSER);
    assert_eq!(page.header("Content-Type"), "text/html; charset=utf-8");
    assert!(page.body.contains("TokenManagementInfo"), "{}", page.body);
    let xml = get(&app, SAVE, "application/xml");
    assert!(xml.body.contains("<Method>POST</Method>"), "{}", xml.body);

    let carrier = br#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#;
    let headers = [("Content-Type", "application/json")];
    app.client().request("GET", SAVE, &headers, carrier).expect(200);
    app.client().request("HEAD", SAVE, &headers, b"").expect(200);
    assert_eq!(app.sql("UPDATE external_tokens SET id = id"), 0, "something was saved");
    // Operations that CONTRACT lists as not served yet.
    for other in [
        "User/DecryptAndSaveExternalTokens",
        "User/GetAccessGatewayInfo",
        "User/GetOrRegisterAccessGatewayInfo",
        "User/RegisterWithAccessGateway",
        "User/CheckAccessGatewayRegistration",
        "Preference/GetXsrfPaths",
        "Preference/SetXsrfPaths",
        "Preference/GetXsrfValue",
        "Preference/SetXsrfValue",
    ] {
        let path = format!("/api/v1/Agents/{other}");
        visitor(&app).request("GET", &path, &[], b"").expect(404);
        app.client().request("POST", &path, &headers, carrier).expect(404);
    }
}

/// CONTRACT O7: the whole document. Any change of it is a change of the API.
#[test]
fn the_openapi_document_is_as_it_was() {
    let app = with_endpoint(Setup::new()).start();
    let document = get(&app, "/api/openapi.json", "application/json");
    assert_eq!(document.header("Content-Type"), "application/json; charset=utf-8");
    // One file for both databases.
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("openapi", document.json());
    });
}

/// CONTRACT O7: the server serves everything that the document names: no path is unknown, and no method is rejected.
#[test]
fn what_is_documented_is_served() {
    let behind = Setup::new().with("TENANTS", "path").with("SERVER__PATH_PREFIX", "/SO");
    for (app, expected) in [(TestApp::new(), 42), (with_endpoint(behind).start(), 43)] {
        let document = get(&app, "/api/openapi.json", "*/*").json();
        let mut calls = 0;
        for (path, item) in document["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("item").keys() {
                let path = path.replace("{file}", "index.css");
                let answer = visitor(&app).request(&method.to_uppercase(), &path, &[], b"");
                assert!(![404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
                calls += 1;
            }
        }
        assert_eq!(calls, expected);
    }
}

/// CONTRACT 1, O7: below a prefix and a tenant, the document and the index contain them.
#[test]
fn urls_have_the_prefix_and_the_tenant() {
    let app = Setup::new().with("TENANTS", "path").with("SERVER__PATH_PREFIX", "/SO").start();
    let document = get(&app, "/api/openapi.json", "*/*").json();
    assert_eq!(document["servers"][0]["url"], "/SO/default");
    let routes = get(&app, "/api/v1", "*/*").json();
    assert!(routes.get(format!("{}{SAVE}", app.url)).is_some(), "{routes:#}");
    let viewer = visitor(&app).request("GET", "/api/docs/", &[], b"").expect(200);
    assert!(viewer.body.contains("swagger-ui"), "{}", viewer.body);
}

/// The viewer and all its files come from this server, and it refers to no other server.
#[test]
fn the_viewer_needs_no_other_host() {
    let app = TestApp::new();
    let page = get(&app, "/api/docs", "text/html");
    assert!(page.body.contains("id=\"swagger-ui\""), "the redirect leads to it");
    assert_eq!(page.header("Content-Type"), "text/html; charset=utf-8");
    let policy = page.header("Content-Security-Policy");
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
    let mut files = 0;
    let named = page.body.split('"').filter_map(|part| part.strip_prefix("./"));
    for name in named.filter(|name| !name.ends_with(".png")) {
        assert!(!get(&app, &format!("/api/docs/{name}"), "*/*").body.is_empty(), "{name}");
        files += 1;
    }
    assert!(files >= 4, "{}", page.body);
    assert!(!page.body.contains("//"), "{}", page.body);
    let start = get(&app, "/api/docs/swagger-initializer.js", "*/*").body;
    assert!(start.contains("../openapi.json") && !start.contains("http"), "{start}");
    for missing in ["/api/docs/none.js", "/api/docs/../openapi", "/api/docs/%2e%2e/x"] {
        visitor(&app).request("GET", missing, &[], b"").expect(404);
    }
}
