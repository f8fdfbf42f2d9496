//! A client that authenticates with a certificate in TLS (RFC 8705).
//!
//! Invariant: the provider accepts only connections with a certificate of the authority that it trusts, so every
//! request that arrives is authenticated.

use std::{fs, sync::Arc};

use rstest::rstest;
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use serde_json::{Value, json};

use crate::{
    grants::scene::{
        access_token, assert_lives, assert_state, end_access_in, get, knowing, save, settings,
    },
    support::{
        app::{Setup, until},
        provider::{ClientAuth, Kind, MockProvider, Rules, SECRET, endpoints::overlay},
        tls::{Authority, of_host},
    },
};

/// A provider of its own authority that accepts clients of another authority.
fn admitting(
    clients: &Authority,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> Arc<ServerConfig> {
    authority.server_for_clients(of_host("localhost"), clients, &[version])
}

fn write(setup: &Setup, [certificate, key]: &[String; 2]) {
    fs::write(setup.folder().join("client.crt"), certificate).expect("written");
    fs::write(setup.folder().join("client.key"), key).expect("written");
}

/// The settings of a client with a certificate, with others over them.
fn showing(setup: &Setup, provider: &MockProvider, ca: &Authority, over: Value) -> Value {
    fs::write(setup.folder().join("ca.pem"), ca.pem()).expect("written");
    let mut all = json!({
        "client_auth": "tls",
        "client_secret": null,
        "ca": "ca.pem",
        "tls": {"certificate": "client.crt", "key": "client.key"},
    });
    overlay(&mut all, &over);
    settings(provider, &all)
}

/// The certificate alone, or together with a secret, because some providers require both.
#[rstest]
#[case::alone(ClientAuth::Tls, json!({}))]
#[case::beside_a_secret(ClientAuth::Basic, json!({"client_auth": "basic", "client_secret": SECRET}))]
fn a_client_is_known_by_its_certificate(#[case] client_auth: ClientAuth, #[case] over: Value) {
    let (clients, authority) = (Authority::new(), Authority::new());
    let rules = Rules { client_auth, ..Rules::default() };
    let provider = MockProvider::start_with_tls(rules, admitting(&clients, &authority, &TLS13));
    let setup = Setup::new();
    write(&setup, &clients.client("client.example.com"));
    let app = knowing(setup.clone(), &[showing(&setup, &provider, &authority, over)]).start();
    let key = save(&app.client(), &provider.grant(), 0);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_eq!(provider.wrong_secrets(), 0);
    assert_lives(&provider, &app.setup, &key);
}

/// If the provider rejects the certificate, it rejects the client. SIGHUP reads the certificate again, and the grants
/// stay.
#[rstest]
#[case::tls_1_2(&TLS12)]
#[case::tls_1_3(&TLS13)]
fn a_refused_certificate_blocks_the_provider(#[case] version: &'static SupportedProtocolVersion) {
    let (clients, others, authority) = (Authority::new(), Authority::new(), Authority::new());
    let rules = Rules { client_auth: ClientAuth::Tls, ..Rules::default() };
    let provider = MockProvider::start_with_tls(rules, admitting(&clients, &authority, version));
    let setup = Setup::new();
    write(&setup, &others.client("client.example.com"));
    let known = showing(&setup, &provider, &authority, json!({}));
    let app = knowing(setup.clone(), &[known]).start();
    let client = app.client();
    let key = save(&client, &provider.grant(), 0);
    get(&client, &key, 0).expect(502);
    assert_state(&app, &key, "Blocked", Some("invalid_client"));
    assert_eq!(provider.count(Kind::Refresh), 0);
    app.logged(&["WARN", "a provider refuses the client before its request"]);

    write(&setup, &clients.client("client.example.com"));
    app.signal("HUP");
    until("the certificate is read again, and the pause is over", || {
        app.sql("UPDATE provider_states SET retry_at = 0");
        get(&client, &key, 0).status == 200
    });
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&client, &key, 0))));
    assert_lives(&provider, &app.setup, &key);
}

/// If the metadata needs the same certificate, the refusal is reported in the same way.
#[test]
fn a_certificate_that_gets_no_metadata_is_a_refused_client() {
    let (clients, others, authority) = (Authority::new(), Authority::new(), Authority::new());
    let rules = Rules { client_auth: ClientAuth::Tls, ..Rules::default() };
    let tls = admitting(&clients, &authority, &TLS13);
    let provider = MockProvider::start_with_tls(rules, tls);
    let setup = Setup::new();
    write(&setup, &others.client("client.example.com"));
    let over = json!({"token_endpoint": null, "issuer": provider.url()});
    let app = knowing(setup.clone(), &[showing(&setup, &provider, &authority, over)]).start();
    let key = save(&app.client(), &provider.grant(), 0);
    let refused = get(&app.client(), &key, 0).expect(502);
    refused.expect_error(502, "SoProviderException", "invalid_client");
}

/// Two providers at one address have separate connections: each gets its own certificate.
#[test]
fn providers_share_no_certificate() {
    let (clients, others, authority) = (Authority::new(), Authority::new(), Authority::new());
    let rules = Rules { client_auth: ClientAuth::Tls, ..Rules::default() };
    let tls = admitting(&clients, &authority, &TLS13);
    let provider = MockProvider::start_with_tls(rules, tls);
    let setup = Setup::new();
    write(&setup, &clients.client("client.example.com"));
    let [certificate, key] = others.client("other.example.com");
    fs::write(setup.folder().join("other.crt"), certificate).expect("written");
    fs::write(setup.folder().join("other.key"), key).expect("written");
    let first = showing(&setup, &provider, &authority, json!({}));
    let other = json!({"name": "other", "tls": {"certificate": "other.crt", "key": "other.key"}});
    let mut second = first.clone();
    overlay(&mut second, &other);
    let app = knowing(setup, &[first, second]).start();
    let client = app.client();
    for _ in 0..3 {
        let key = save(&client, &provider.grant(), 0);
        assert!(provider.is_newest(&access_token(get(&client, &key, 0))));
        let grant = provider.grant();
        let carrier = json!({
            "Provider": "other", "AccessToken": grant.access, "RefreshToken": grant.refresh,
        });
        let body = json!({ "TokenManagementInfo": carrier, "ExpiresIn": 0 });
        let key = client.post("SaveExternalTokens", &body).expect(200).key();
        get(&client, &key, 0).expect(502);
        app.sql("DELETE FROM provider_states");
    }
    assert_eq!(provider.count(Kind::Refresh), 3);
}

/// RFC 8705 §5: a client with a certificate uses the endpoints for such clients.
#[test]
fn endpoints_that_ask_for_certificates_are_found() {
    let (clients, authority) = (Authority::new(), Authority::new());
    let rules = || Rules { client_auth: ClientAuth::Tls, ..Rules::default() };
    let behind = MockProvider::start_with_tls(rules(), admitting(&clients, &authority, &TLS13));
    let front = MockProvider::start_with_tls(rules(), authority.server(of_host("localhost")));
    front.set(|rules| {
        rules.metadata = json!({"mtls_endpoint_aliases": {"token_endpoint": behind.at("/token")}});
    });
    let setup = Setup::new();
    write(&setup, &clients.client("client.example.com"));
    let over = json!({"token_endpoint": null, "issuer": front.url()});
    let app = knowing(setup.clone(), &[showing(&setup, &front, &authority, over)]).start();
    let key = save(&app.client(), &behind.grant(), 0);
    assert!(behind.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_eq!((front.count(Kind::Refresh), behind.count(Kind::Refresh)), (0, 1));
}
