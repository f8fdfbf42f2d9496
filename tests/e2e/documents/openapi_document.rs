//! The claims of the OpenAPI document: its examples succeed, its constraints are enforced.
//!
//! Invariant: bounds are read from the document, never repeated here.

use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    client::Answer,
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const GET: &str = "/api/v1/Agents/User/GetExternalTokens";
const LIST: &str = "/api/v1/Agents/ExternalTokens/List";
const DESCRIBE: &str = "/api/v1/Agents/ExternalTokens/Describe";

fn document(app: &TestApp) -> Answer {
    app.client().with_authorization(None).request("GET", "/api/openapi.json", &[], b"").expect(200)
}

fn post(app: &TestApp, path: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json")];
    app.client().request("POST", path, &headers, body.to_string().as_bytes())
}

/// Percent-encoded, every byte.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// CONTRACT O7, 9, 11, 12: every example of a body succeeds as it stands, in each type that has one; but for
/// a code, which is good once.
#[test]
fn the_examples_of_bodies_succeed() {
    // The provider that the examples name.
    let xero = json!([{
        "name": "xero", "client_id": "latchkey", "client_auth": "none",
        "authorization_endpoint": "https://login.xero.com/identity/connect/authorize",
        "token_endpoint": "https://identity.xero.com/connect/token",
        "redirect_uris": ["https://app.example.com/connected"]
    }]);
    let app = Setup::new().with("GRANTS__PROVIDERS", &xero.to_string()).start();
    let document = document(&app).json();
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        // Its code is none.
        if path.ends_with("/ExchangeCodeAndSaveTokens") {
            continue;
        }
        let content = item["post"]["requestBody"]["content"].as_object().into_iter().flatten();
        for (media_type, content) in content.filter(|_| path.contains("/Agents/")) {
            let several = content["examples"].as_object().into_iter().flatten();
            let examples = content.get("example").into_iter();
            for example in examples.chain(several.map(|(_, example)| &example["value"])) {
                let body = if media_type == "application/x-www-form-urlencoded" {
                    let field = |(name, value): (&String, &Value)| {
                        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        format!("{name}={}", encoded(&text))
                    };
                    let fields = example.as_object().expect("fields").iter().map(field);
                    fields.collect::<Vec<_>>().join("&")
                } else {
                    example.to_string()
                };
                let headers = [("Content-Type", media_type.as_str())];
                app.client().request("POST", path, &headers, body.as_bytes()).expect(200);
                tried += 1;
            }
        }
    }
    assert!(tried >= 5 * 6, "{tried}");
}

/// CONTRACT 7, 35, 38, 39, 42: at each bound that the document has a call is taken, and past it refused.
#[test]
fn the_bounds_are_enforced() {
    let app = Setup::new().with("LIMITS__TOKEN_BYTES", "100").start();
    let document = document(&app).json();
    let schema = |name: &str| &document["components"]["schemas"][name]["properties"];
    let bound = |name: &str, property: &str, bound: &str| {
        let found = schema(name)[property][bound].as_i64();
        found.unwrap_or_else(|| panic!("{name}.{property} has no {bound}"))
    };
    let save = |provider: &str, token: &str| {
        let carrier = json!({"Provider": provider, "AccessToken": token});
        post(&app, SAVE, &json!({ "TokenManagementInfo": carrier })).status
    };
    let x = |length: i64| "x".repeat(usize::try_from(length).expect("a length"));

    let shortest = bound("CarrierToSave", "Provider", "minLength");
    let longest = bound("CarrierToSave", "Provider", "maxLength");
    for (length, status) in
        [(shortest - 1, 400), (shortest, 200), (longest, 200), (longest + 1, 400)]
    {
        assert_eq!(save(&x(length), "fugit"), status, "a provider of {length} characters");
    }
    assert_eq!(save("a\0b", "fugit"), 400, "{}", schema("CarrierToSave")["Provider"]["pattern"]);
    let longest = bound("CarrierToSave", "AccessToken", "maxLength");
    assert_eq!(longest, 100, "the limit that is configured");
    assert_eq!((save("et", &x(longest)), save("et", &x(longest + 1))), (200, 400));
    assert_eq!(save("et", ""), 400, "one token must be there");

    let (least, most) = (
        bound("ListExternalTokens", "Limit", "minimum"),
        bound("ListExternalTokens", "Limit", "maximum"),
    );
    for (limit, status) in [(least - 1, 400), (least, 200), (most, 200), (most + 1, 400)] {
        assert_eq!(post(&app, LIST, &json!({ "Limit": limit })).status, status, "Limit {limit}");
    }

    let id = schema("WhichExternalTokens")["Id"]["pattern"].as_str().expect("a pattern");
    assert!(id.contains("[0-9A][0-9A-Za-z]{10}"), "{id}");
    for (id, status) in [("01vYvSdgm8u", 200), ("01vYvSdgm8", 400), ("01vYvSdgm8-", 400)] {
        assert_eq!(post(&app, DESCRIBE, &json!({ "Id": id })).status, status, "{id}");
    }
    let example = "/paths/~1api~1v1~1Agents~1User~1GetExternalTokens/post/requestBody/content\
                   /application~1json/example/Key";
    let key = document.pointer(example).expect("a key");
    let both = json!({"Key": key, "Id": "01vYvSdgm8u"});
    assert_eq!(post(&app, DESCRIBE, &both).status, 400, "one of them");

    let body = json!({"TokenManagementInfo": {"Provider": "et", "AccessToken": "fugit"}});
    for (length, status) in [(15, 400), (16, 200), (255, 200), (256, 400)] {
        let key = x(length);
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key.as_str())];
        let answer = app.client().request("POST", SAVE, &headers, body.to_string().as_bytes());
        assert_eq!(answer.status, status, "an Idempotency-Key of {length} characters");
    }
}

/// CONTRACT 7, 39: a body that the document requires must be there, and what it requires of a body must be in it.
#[test]
fn what_is_required_is_required() {
    let app = TestApp::new();
    let document = document(&app).json();
    let mut required = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        if !path.contains("/Agents/") {
            continue;
        }
        let is_required = item["post"]["requestBody"]["required"] == true;
        let status = if is_required { 400 } else { 200 };
        app.client().request("POST", path, &[], b"").expect(status);
        post(&app, path, &json!({})).expect(status);
        if is_required {
            required.push(path.as_str());
        }
    }
    assert!(required.contains(&SAVE) && required.contains(&GET) && !required.contains(&LIST));
    let without_provider = json!({"TokenManagementInfo": {"AccessToken": "fugit"}});
    post(&app, SAVE, &without_provider).expect_error(400, "ArgumentException", "Provider");
}

/// CONTRACT O7: the product's own calls come first, and a POST before its description.
#[test]
fn the_calls_of_the_product_come_first() {
    let app = TestApp::new();
    let document = document(&app);
    let text = &document.body;
    let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part}"));
    let paths = [SAVE, GET, LIST, "/api/v1/User/currentPrincipal", "/sign-in", "/healthz"];
    let places = paths.map(|path| place(&format!("\"{path}\":{{")));
    assert!(places.is_sorted(), "{places:?}");
    assert!(place("\"SaveExternalTokens\"") < place("\"DescribeSaveExternalTokens\""));
    let document = document.json();
    assert_eq!(document["tags"][0]["name"], "User agent");
    assert_eq!(document["servers"], json!([{ "url": "/" }]));
    let ticket = &document["components"]["securitySchemes"]["SoTicket"];
    assert_eq!((&ticket["type"], &ticket["name"]), (&json!("apiKey"), &json!("Authorization")));
}
