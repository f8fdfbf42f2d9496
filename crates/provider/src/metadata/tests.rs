//! Metadata of providers, good and bad.
//!
//! Invariant: each bad row differs from a good one in one thing.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

const ISSUER: &str = "https://login.example/a";

fn parse(json: &serde_json::Value) -> Result<Metadata, InvalidMetadata> {
    Metadata::parse(json.to_string().as_bytes(), ISSUER)
}

#[test]
fn metadata_is_read() {
    let json = json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://login.example/a/authorize?p=1",
        "token_endpoint": "https://login.example:8443/a/token",
        "revocation_endpoint": "https://[2001:db8::1]:443/revoke",
        "introspection_endpoint": "https://login.example/a/introspect",
        "jwks_uri": "https://keys.example/jwks",
        "scopes_supported": ["openid"],
    });
    let metadata = parse(&json).expect("metadata");
    assert_eq!(metadata.issuer, ISSUER);
    assert_eq!(metadata.token_endpoint, "https://login.example:8443/a/token");
    assert_eq!(
        metadata.authorization_endpoint.as_deref(),
        Some("https://login.example/a/authorize?p=1")
    );
    assert_eq!(metadata.revocation_endpoint.as_deref(), Some("https://[2001:db8::1]:443/revoke"));
    assert_eq!(
        metadata.introspection_endpoint.as_deref(),
        Some("https://login.example/a/introspect")
    );
    assert_eq!(metadata.jwks_uri.as_deref(), Some("https://keys.example/jwks"));
}

/// RFC 8705 §5.
#[test]
fn endpoints_for_clients_with_certificates_are_read() {
    let json = |aliases| {
        json!({
            "issuer": ISSUER,
            "token_endpoint": "https://login.example/token",
            "mtls_endpoint_aliases": aliases,
        })
    };
    let aliases = json!({
        "token_endpoint": "https://mtls.login.example/token",
        "revocation_endpoint": "https://mtls.login.example/revoke",
    });
    assert_eq!(
        parse(&json(aliases)).expect("metadata").mtls_endpoint_aliases,
        MtlsEndpoints {
            token_endpoint: Some("https://mtls.login.example/token".to_owned()),
            revocation_endpoint: Some("https://mtls.login.example/revoke".to_owned()),
            introspection_endpoint: None,
        }
    );
    let plain = json!({ "introspection_endpoint": "http://mtls.login.example/introspect" });
    let member = "mtls_endpoint_aliases.introspection_endpoint";
    assert_eq!(parse(&json(plain)), Err(InvalidMetadata::Endpoint(member)));
    let none = parse(&json(json!("none"))).expect("metadata");
    assert_eq!(none.mtls_endpoint_aliases, MtlsEndpoints::default());
}

#[test]
fn what_a_provider_need_not_publish_may_be_missing() {
    let json = json!({"issuer": ISSUER, "token_endpoint": "https://t.example", "jwks_uri": null});
    let marked = format!("\u{feff}{json}");
    let metadata = Metadata::parse(marked.as_bytes(), ISSUER).expect("metadata");
    assert_eq!((metadata.jwks_uri, metadata.revocation_endpoint), (None, None));
    assert_eq!(metadata.introspection_endpoint, None);
}

#[rstest]
#[case("", InvalidMetadata::NotAnObject)]
#[case("[]", InvalidMetadata::NotAnObject)]
#[case("<html>", InvalidMetadata::NotAnObject)]
#[case(r#"{"issuer": "https://login.example/a""#, InvalidMetadata::NotAnObject)]
#[case("{}", InvalidMetadata::Missing("issuer"))]
#[case(r#"{"issuer": 1}"#, InvalidMetadata::Missing("issuer"))]
#[case(r#"{"issuer": "https://login.example/a/"}"#, InvalidMetadata::OtherIssuer)]
#[case(r#"{"issuer": "https://LOGIN.example/a"}"#, InvalidMetadata::OtherIssuer)]
#[case(r#"{"issuer": "https://login.example/a"}"#, InvalidMetadata::Missing("token_endpoint"))]
#[case(
    r#"{"issuer": "https://login.example/a", "issuer": "https://evil.example", "token_endpoint": "https://a.example"}"#,
    InvalidMetadata::Repeated("issuer")
)]
#[case(
    r#"{"issuer": "https://login.example/a", "token_endpoint": "https://a.example", "token_endpoint": "https://b.example"}"#,
    InvalidMetadata::Repeated("token_endpoint")
)]
#[case(
    r#"{"issuer": "https://login.example/a", "token_endpoint": "https://a.example", "jwks_uri": ["https://b.example"]}"#,
    InvalidMetadata::Missing("jwks_uri")
)]
fn bad_metadata_is_refused_by_name(#[case] json: &str, #[case] expected: InvalidMetadata) {
    assert_eq!(Metadata::parse(json.as_bytes(), ISSUER), Err(expected));
}

#[rstest]
#[case("")]
#[case("https://")]
#[case("https:///token")]
#[case("https://:443/token")]
#[case("https://a.example:0/token")]
#[case("https://a.example:65536/token")]
#[case("https://a.example:x/token")]
#[case("https://user@a.example/token")]
#[case("https://a.example/token#fragment")]
#[case("https://a.example/to ken")]
#[case("https://a.example/to\nken")]
#[case("https://a.example\\@b.example/token")]
#[case("https://å.example/token")]
#[case("https://[::1/token")]
#[case("https://[a.example]/token")]
#[case("https://[::1]x/token")]
#[case("http://a.example/token")]
#[case("http://127.0.0.1/token")]
#[case("ftp://a.example/token")]
#[case("HTTPS://a.example/token")]
#[case("//a.example/token")]
#[case("a.example/token")]
#[case("file:///etc/passwd")]
fn an_endpoint_is_an_https_url(#[case] url: &str) {
    for name in [
        "authorization_endpoint",
        "token_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "jwks_uri",
    ] {
        let mut json = json!({"issuer": ISSUER, "token_endpoint": "https://a.example/token"});
        json[name] = url.into();
        assert_eq!(parse(&json), Err(InvalidMetadata::Endpoint(name)));
    }
}

#[test]
fn an_endpoint_has_a_length() {
    let url = |length: usize| format!("https://a.example/{}", "a".repeat(length - 18));
    let json = |length| json!({"issuer": ISSUER, "token_endpoint": url(length)});
    assert!(parse(&json(2048)).is_ok());
    assert_eq!(parse(&json(2049)), Err(InvalidMetadata::Endpoint("token_endpoint")));
}

#[rstest]
#[case("http://127.0.0.1:9000", "http://127.0.0.1:9000/token", true)]
#[case("http://localhost", "http://[::1]:9000/token", true)]
#[case("http://[::1]", "https://a.example/token", true)]
#[case("http://127.0.0.1:9000", "http://a.example/token", false)]
#[case("http://127.0.0.1:9000", "http://localhost.a.example/token", false)]
#[case("http://127.0.0.1:9000", "http://127.0.0.1@a.example/token", false)]
#[case("http://a.example", "http://127.0.0.1/token", false)]
#[case("https://localhost", "http://127.0.0.1/token", false)]
fn http_goes_only_on_loopback_with_such_an_issuer(
    #[case] issuer: &str,
    #[case] endpoint: &str,
    #[case] is_good: bool,
) {
    let json = json!({"issuer": issuer, "token_endpoint": endpoint}).to_string();
    assert_eq!(Metadata::parse(json.as_bytes(), issuer).is_ok(), is_good);
}

#[rstest]
// RFC 8414 §3.1 has the second and the third.
#[case(
    "https://example.com",
    "https://example.com/.well-known/openid-configuration",
    "https://example.com/.well-known/oauth-authorization-server"
)]
#[case(
    "https://example.com/",
    "https://example.com/.well-known/openid-configuration",
    "https://example.com/.well-known/oauth-authorization-server"
)]
#[case(
    "https://example.com/issuer1",
    "https://example.com/issuer1/.well-known/openid-configuration",
    "https://example.com/.well-known/oauth-authorization-server/issuer1"
)]
#[case(
    "https://example.com/a/b/",
    "https://example.com/a/b/.well-known/openid-configuration",
    "https://example.com/.well-known/oauth-authorization-server/a/b"
)]
fn metadata_is_at_two_places(#[case] issuer: &str, #[case] oidc: &str, #[case] oauth: &str) {
    assert_eq!(metadata_urls(issuer), [oidc, oauth]);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, issuer in ".*") {
        let _ = Metadata::parse(&bytes, &issuer);
        let _ = metadata_urls(&issuer);
    }

    #[test]
    fn no_url_panics(url in r"(https?://)?\[?.*"){
        let _ = parse(&json!({"issuer": ISSUER, "token_endpoint": url}));
        let json = json!({"issuer": url, "token_endpoint": url}).to_string();
        let _ = Metadata::parse(json.as_bytes(), &url);
    }
}
