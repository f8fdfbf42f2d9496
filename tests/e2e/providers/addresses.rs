//! The destinations of requests to providers: only the configured address, and no address of this machine or its
//! network unless that is allowed.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, TcpListener},
    time::Instant,
};

use serde_json::json;

use crate::{
    grants::{
        exchange::{discovering, request},
        scene::{access_token, assert_lives, assert_state, get, knowing, save, settings},
    },
    support::{
        app::Setup,
        load::tell,
        provider::{Kind, MockProvider, Reply, Rules},
        tls::{Authority, of_host},
    },
};

/// A listener that fails the test on any connection.
struct Trap(TcpListener);

impl Trap {
    fn set(address: &str) -> Option<Self> {
        let listener =
            TcpListener::bind((address.parse::<IpAddr>().expect("an address"), 0)).ok()?;
        listener.set_nonblocking(true).expect("it does not wait");
        Some(Self(listener))
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("address").port()
    }

    fn assert_unsprung(&self, by: &str) {
        let error = self.0.accept().expect_err(by);
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{by}");
    }
}

/// An address of this machine or its network is rejected in every notation, before a byte is sent.
#[test]
fn addresses_of_this_machine_and_its_network_are_refused() {
    let traps = ["127.0.0.1", "::1"].map(Trap::set);
    let mut urls = vec![
        "https://169.254.169.254/token".to_owned(),
        "https://[::ffff:10.0.0.1]/token".to_owned(),
        "https://[64:ff9b::a00:1]/token".to_owned(),
        "https://10.0.0.1/token".to_owned(),
        "https://0.0.0.0/token".to_owned(),
        "https://[fd00::1]/token".to_owned(),
    ];
    for trap in traps.iter().flatten() {
        let port = trap.port();
        // A name that resolves to them, and other notations.
        for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.1"] {
            urls.push(format!("https://{host}:{port}/token"));
        }
    }
    let provider = MockProvider::start(Rules::default());
    for url in urls {
        let over = json!({"token_endpoint": url, "allow_private_addresses": false});
        let started = knowing(Setup::new(), &[settings(&provider, &over)]).try_start();
        let Ok(app) = started else {
            tell(&format!("{url}: the start refuses it"));
            continue;
        };
        let key = save(&app.client(), &provider.grant(), 0);
        let began = Instant::now();
        let refused = get(&app.client(), &key, 0);
        tell(&format!("{url}: {} after {:?}", refused.status, began.elapsed()));
        assert!([502, 503].contains(&refused.status), "{url}: {refused:?}");
        assert_state(&app, &key, "Failing", Some("network"));
        app.logged(&["not public"]);
        assert_lives(&provider, &app.setup, &key);
        for trap in traps.iter().flatten() {
            trap.assert_unsprung(&url);
        }
    }
}

/// The server does not follow redirects, and ignores proxy variables.
#[test]
fn nothing_leads_a_refresh_to_another_place() {
    let trap = Trap::set("127.0.0.1").expect("bind");
    let elsewhere = format!("http://127.0.0.1:{}/token", trap.port());
    let provider = MockProvider::start(Rules::default());
    let mut setup = knowing(Setup::new(), &[settings(&provider, &json!({}))]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        setup = setup.variable(name, &elsewhere).variable(&name.to_lowercase(), &elsewhere);
    }
    let app = setup.start();
    for status in [301, 302, 303, 307, 308] {
        let reply = Reply::new(status, "text/plain", "").header("Location", &elsewhere);
        provider.always(Some(reply));
        let key = save(&app.client(), &provider.grant(), 0);
        let refused = get(&app.client(), &key, 0);
        assert!([502, 503].contains(&refused.status), "{status}: {refused:?}");
        assert_state(&app, &key, "Failing", Some("redirect"));
        assert_lives(&provider, &app.setup, &key);
    }
    trap.assert_unsprung("a redirect or a proxy");
}

/// A discovery document must be the issuer's own. Its endpoints must be at allowed addresses.
#[test]
fn a_discovery_document_that_leads_elsewhere_is_refused() {
    let trap = Trap::set("127.0.0.1").expect("bind");
    let elsewhere = format!("http://127.0.0.1:{}", trap.port());
    for metadata in [
        json!({"issuer": elsewhere}),
        json!({"issuer": null}),
        json!({"token_endpoint": "http://10.0.0.1/token"}),
        json!({"token_endpoint": "http://example.com/token"}),
        json!({"token_endpoint": "file:///etc/passwd"}),
        json!({"token_endpoint": 7}),
        json!({"token_endpoint": null}),
    ] {
        let (provider, setup) = discovering(Rules { metadata, ..Rules::default() }, &json!({}));
        let app = setup.start();
        let key = save(&app.client(), &provider.grant(), 0);
        let refused = get(&app.client(), &key, 0);
        assert!([502, 503].contains(&refused.status), "{refused:?}");
        assert_eq!(provider.count(Kind::Refresh), 0);
        assert_lives(&provider, &app.setup, &key);
        let code = request("CANARY-code", &json!({}));
        let refused = app.client().post("ExchangeCodeAndSaveTokens", &code);
        assert!([502, 503].contains(&refused.status), "{refused:?}");
        assert_eq!(provider.count(Kind::Exchange), 0);
    }
    // Redirected.
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        provider.page(path, Reply::new(302, "text/plain", "").header("Location", &elsewhere));
    }
    let app = setup.start();
    let key = save(&app.client(), &provider.grant(), 0);
    assert!([502, 503].contains(&get(&app.client(), &key, 0).status));
    trap.assert_unsprung("a discovery document");
}

/// TLS: the server trusts only the authority that is configured for the provider.
#[test]
fn a_provider_is_trusted_by_its_authority() {
    let authority = Authority::new();
    let tls = authority.server(of_host("localhost"));
    let provider = MockProvider::start_with_tls(Rules::default(), tls);
    let setup = Setup::new();
    let ca = setup.folder().join("ca.pem");
    fs::write(&ca, authority.pem()).expect("write");
    let app = knowing(setup, &[settings(&provider, &json!({ "ca": ca }))]).start();
    let key = save(&app.client(), &provider.grant(), 0);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_lives(&provider, &app.setup, &key);
    fs::write(&ca, Authority::new().pem()).expect("write");
    for over in [json!({}), json!({ "ca": ca })] {
        let asked = provider.count(Kind::Refresh);
        let setup = knowing(Setup::new(), &[settings(&provider, &over)]);
        let app = setup.start();
        let key = save(&app.client(), &provider.grant(), 0);
        get(&app.client(), &key, 0).expect_error(503, "SoUnavailableException", "");
        assert_state(&app, &key, "Failing", Some("tls"));
        assert_eq!(provider.count(Kind::Refresh), asked);
        assert_lives(&provider, &app.setup, &key);
    }
}
