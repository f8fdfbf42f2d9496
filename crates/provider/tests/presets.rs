//! Every preset against a recorded exchange of made-up values, in the shapes that the provider documents: the request,
//! which tokens are read, and what errors mean.
//!
//! Invariant: a preset has every shape, or its record says why there is none.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::SecretText;
use provider::{
    Answer, AnswerRules, Audience, ClientAuth, CodeExchange, Endpoints, ErrorWords, GrantedTokens,
    Metadata, Parameters, Preset, Proof, ProviderRequest, Refusal, RefusalClass, Registration,
    RequestRules, fill_url, presets,
};
use serde::Deserialize;
use serde_json::Value;

/// The settings of a preset that make a registration.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    issuer: Option<String>,
    authorization_endpoint: Option<String>,
    token_endpoint: String,
    refresh_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
    jwks: Option<String>,
    parameters: Parameters,
    client_auth: String,
    scopes: Vec<String>,
    request: RequestRules,
    answer: AnswerRules,
    errors: ErrorWords,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The document that the issuer's discovery finds.
    metadata: Option<String>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    exchange: Shape,
    refresh: Shape,
    dead: Shape,
    busy: Shape,
    client: Shape,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Shape {
    Missing {
        missing: String,
    },
    Success {
        url: String,
        basic: Option<String>,
        body: String,
        status: u16,
        answer: String,
        tokens: Tokens,
    },
    Refused {
        status: u16,
        retry_after: Option<String>,
        answer: String,
        class: Option<String>,
    },
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tokens {
    access_token: String,
    refresh_token: Option<String>,
    expires_in: Option<i64>,
    refresh_expires_in: Option<i64>,
}

fn record(name: &str) -> Record {
    let file = format!("tests/presets/{name}.toml");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn registration(preset: &Preset, record: &Record) -> Registration {
    let name = preset.name;
    let settings = Value::Object(preset.settings.clone());
    let settings: Settings = serde_json::from_value(settings).expect(name);
    let urls = [
        ("issuer", &settings.issuer),
        ("authorization_endpoint", &settings.authorization_endpoint),
        ("token_endpoint", &Some(settings.token_endpoint.clone())),
        ("refresh_endpoint", &settings.refresh_endpoint),
        ("revocation_endpoint", &settings.revocation_endpoint),
        ("introspection_endpoint", &settings.introspection_endpoint),
        ("jwks", &settings.jwks),
    ];
    let urls = urls.map(|(key, url)| (key, url.clone().unwrap_or_default()));
    let urls = urls.iter().map(|(key, url)| (*key, url.as_str()));
    settings.parameters.check_templates(urls).expect(name);
    let values = settings.parameters.check(&record.parameters).expect(name);
    let endpoints = match (&settings.issuer, &record.metadata) {
        (Some(issuer), Some(metadata)) => {
            let issuer = fill_url(issuer, &values);
            let metadata = Metadata::parse(metadata.as_bytes(), &issuer).expect(name);
            Endpoints {
                authorization: metadata.authorization_endpoint,
                token: metadata.token_endpoint,
                refresh: None,
                revocation: metadata.revocation_endpoint,
                introspection: metadata.introspection_endpoint,
            }
        }
        (None, None) => Endpoints {
            authorization: settings.authorization_endpoint,
            token: settings.token_endpoint,
            refresh: settings.refresh_endpoint,
            revocation: settings.revocation_endpoint,
            introspection: settings.introspection_endpoint,
        },
        _ => panic!("{name}: an issuer has metadata, and nothing else has"),
    };
    assert!(endpoints.authorization.is_some(), "{name}");
    Registration {
        endpoints: endpoints.fill(&values),
        client_id: "client-1".to_owned(),
        client_auth: ClientAuth::of_name(&settings.client_auth).unwrap_or_else(|| {
            // The default of a configuration.
            assert_eq!(settings.client_auth, "", "{name}");
            ClientAuth::Basic
        }),
        audience: Audience::TokenEndpoint,
        scopes: settings.scopes,
        request: settings.request,
        answer: settings.answer,
        errors: settings.errors,
    }
}

fn read(
    registration: &Registration,
    status: u16,
    retry_after: Option<&str>,
    body: &str,
) -> Result<GrantedTokens, Refusal> {
    let content_type = Some("application/json");
    let body = body.as_bytes();
    registration.read_tokens(&Answer { status, content_type, retry_after, body, received: 0 })
}

fn check_success(what: &str, registration: &Registration, shape: &Shape, sent: &ProviderRequest) {
    let (url, basic, body, status, answer, tokens) = match shape {
        Shape::Missing { missing } => return assert!(!missing.is_empty(), "{what}"),
        Shape::Success { url, basic, body, status, answer, tokens } => {
            (url, basic, body, status, answer, tokens)
        }
        Shape::Refused { .. } => panic!("{what} is no success"),
    };
    let header = basic.as_ref().map(|pair| format!("Basic {}", STANDARD.encode(pair)));
    assert_eq!(&sent.url, url, "{what}");
    assert_eq!(sent.authorization.as_ref().map(SecretText::expose), header.as_deref(), "{what}");
    assert_eq!(sent.body.expose(), body, "{what}");
    let read = read(registration, *status, None, answer).expect(what);
    let read = Tokens {
        access_token: read.access_token.expose().to_owned(),
        refresh_token: read.refresh_token.map(|token| token.expose().to_owned()),
        expires_in: read.expires_in,
        refresh_expires_in: read.refresh_expires_in,
    };
    assert_eq!(&read, tokens, "{what}");
}

fn check_refusal(what: &str, registration: &Registration, shape: &Shape, classes: &[RefusalClass]) {
    match shape {
        Shape::Missing { missing } => assert!(!missing.is_empty(), "{what}"),
        Shape::Refused { status, retry_after, answer, class } => {
            let refusal = read(registration, *status, retry_after.as_deref(), answer);
            let found = refusal.expect_err(what).class;
            assert!(classes.contains(&found), "{what}: {found:?}");
            let name = match found {
                RefusalClass::ClientBlocked => Some("client_blocked"),
                RefusalClass::ClientFault => Some("client_fault"),
                _ => None,
            };
            assert_eq!(class.as_deref(), name, "{what}");
        }
        Shape::Success { .. } => panic!("{what} is no refusal"),
    }
}

#[test]
fn every_preset_sends_and_reads_what_its_provider_documents() {
    let secret = SecretText::from("s+1/x");
    let (code, verifier) = (SecretText::from("c-1"), SecretText::from("v-1"));
    let redirect_uri = "https://app.example.com/connected";
    let code = CodeExchange { code: &code, redirect_uri, pkce_verifier: Some(&verifier) };
    for preset in presets::all() {
        let name = preset.name;
        let record = record(name);
        let registration = registration(&preset, &record);
        assert!(matches!(record.exchange, Shape::Success { .. }), "{name} has no exchange");
        let sent = registration.exchange(&code, Proof::Secret(&secret));
        check_success(&format!("{name}: exchange"), &registration, &record.exchange, &sent);
        let sent = registration.refresh(&SecretText::from("r-1"), Proof::Secret(&secret));
        check_success(&format!("{name}: refresh"), &registration, &record.refresh, &sent);
        for (what, shape, classes) in [
            ("dead", &record.dead, &[RefusalClass::Dead][..]),
            ("busy", &record.busy, &[RefusalClass::Busy]),
            ("client", &record.client, &[RefusalClass::ClientBlocked, RefusalClass::ClientFault]),
        ] {
            check_refusal(&format!("{name}: {what}"), &registration, shape, classes);
        }
    }
}

/// The table of the documentation has a row for each preset.
#[test]
fn the_documentation_has_every_preset() {
    let page = include_str!("../../../docs/providers.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for preset in presets::all() {
        let unverified = match preset.unverified.is_empty() {
            true => "–".to_owned(),
            false => format!("`{}`", preset.unverified.join("`, `")),
        };
        let row = format!("| `{}` | {} | {unverified} |", preset.name, preset.title);
        assert!(rows.contains(&row.as_str()), "docs/providers.md has no row {row}");
    }
}
