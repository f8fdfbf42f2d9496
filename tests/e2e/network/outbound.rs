//! The server's own requests go only to the configured address, and over TLS only to a host whose certificate it trusts
//! (CONTRACT 28).
//!
//! Invariant: for each forbidden connection a listener on this machine waits at its destination.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::support::{
    app::Setup,
    client::Answer,
    issuer::{AUDIENCE, ISSUER, Issuer},
    tls::{self, Authority, of_host},
};

/// A key server over TLS, on this machine.
struct TlsKeyServer {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl TlsKeyServer {
    fn start(config: Arc<ServerConfig>, keys: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
                let mut stream = StreamOwned::new(session, stream.expect("connection"));
                let mut head = [0; 1024];
                // A client that rejects the certificate sends no request.
                if stream.read(&mut head).is_ok_and(|length| length > 0) {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let length = keys.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{keys}");
                    let _ = stream.write_all(answer.as_bytes());
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        Self { url: format!("https://localhost:{port}/jwks"), requests }
    }
}

fn trusting(jwks: &str) -> Setup {
    Setup::new()
        .with("AUTH__BEARER__JWKS", jwks)
        .with("AUTH__BEARER__ISSUER", ISSUER)
        .with("AUTH__BEARER__AUDIENCE", AUDIENCE)
}

/// A listener that fails the test on any connection.
struct Trap(TcpListener);

impl Trap {
    fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.set_nonblocking(true).expect("it does not wait");
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("address"))
    }

    fn assert_unsprung(&self, by: &str) {
        let error = self.0.accept().expect_err(by);
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{by}");
    }
}

/// CONTRACT 28, 35: keys are fetched over TLS only from a host whose certificate this machine trusts. A self-signed
/// certificate, that of another host, and an expired one are a 503, and no request is sent. No setting disables this
/// check.
#[test]
fn keys_are_taken_only_from_a_host_that_tls_vouches_for() {
    let authority = Authority::new();
    let issuer = Issuer::new("1");
    let keys = json!({ "keys": [issuer.jwk()] }).to_string();
    let token = format!("Bearer {}", issuer.token(&json!({})));

    let mut expired = of_host("localhost");
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let cases = [
        ("trusted", of_host("localhost"), true, 200),
        ("self-signed", of_host("localhost"), false, 503),
        ("of another host", of_host("id.example.com"), true, 503),
        ("expired", expired, true, 503),
    ];
    for (case, parameters, is_signed, status) in cases {
        let config = match is_signed {
            true => authority.server(parameters),
            false => {
                let key = KeyPair::generate().expect("a key");
                let certificate = parameters.self_signed(&key).expect("a certificate");
                tls::server(certificate.der().clone(), &key)
            }
        };
        let server = TlsKeyServer::start(config, keys.clone());
        let setup = trusting(&server.url);
        let roots = setup.folder().join("roots.pem");
        fs::write(&roots, authority.pem()).expect("write");
        let app = setup.variable("SSL_CERT_FILE", roots.to_str().expect("UTF-8")).start();
        let answer = app.client().with_authorization(Some(&token)).who(&[]);
        assert_eq!(answer.status, status, "{case}: {answer:?} {}", app.log());
        let requests = server.requests.load(Ordering::SeqCst);
        assert_eq!(requests > 0, status == 200, "{case}: {requests} requests");
    }
    for setting in ["INSECURE", "VERIFY", "TLS"] {
        let setup = trusting("https://localhost/jwks");
        let refusal = setup.with(&format!("AUTH__BEARER__{setting}"), "false").refusal();
        assert!(refusal.contains("unknown"), "{refusal}");
    }
}

/// A JWT with an invalid signature.
fn jwt(header: &serde_json::Value, issuer: &str) -> String {
    let claims = json!({
        "iss": issuer, "aud": AUDIENCE, "sub": "tje0", "exp": 4_102_444_800_u64
    });
    let [header, claims] = [header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("Bearer {header}.{claims}.{}", URL_SAFE_NO_PAD.encode([0; 64]))
}

/// CONTRACT 10, 28: neither a caller's data, nor an answer of the issuer, nor a proxy variable makes the server connect
/// to an address that is not configured.
#[test]
fn nothing_leads_the_server_to_another_place() {
    let trap = Trap::set();
    let url = trap.url();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let jwks = format!("http://{}/jwks", listener.local_addr().expect("address"));
    let location = url.clone();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    // Answers with one redirect status after the other.
    thread::spawn(move || {
        for (stream, status) in listener.incoming().zip([301, 302, 303, 307, 308].iter().cycle()) {
            let mut stream = stream.expect("connection");
            let _ = stream.read(&mut [0; 1024]);
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = write!(
                stream,
                "HTTP/1.1 {status} x\r\nLocation: {location}\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            );
        }
    });
    let mut setup = trusting(&jwks);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        setup = setup.variable(name, &url).variable(&name.to_lowercase(), &url);
    }
    let app = setup.start();
    let bearer = |token: &str| app.client().with_authorization(Some(token)).who(&[]);
    let refused = |answer: Answer| assert!([401, 503].contains(&answer.status), "{answer:?}");
    for number in 0..5 {
        refused(bearer(&jwt(&json!({"alg": "ES256", "kid": format!("{number}")}), ISSUER)));
    }
    assert!(asked.load(Ordering::SeqCst) >= 2, "it did ask");
    trap.assert_unsprung("a redirect or a proxy");
    for name in ["jku", "x5u", "iss", "kid"] {
        let mut header = json!({"alg": "ES256", "kid": "1"});
        header[name] = url.clone().into();
        refused(bearer(&jwt(&header, &url)));
    }
    trap.assert_unsprung("a JWT");
    let client = app.client();
    let carrier = json!({"Provider": url, "AccessToken": url, "RefreshToken": url, "Claims": url});
    let key = client.save(&carrier);
    client.get(&key);
    let save = "/api/v1/Agents/User/SaveExternalTokens";
    for document in [
        format!("<!DOCTYPE S SYSTEM \"{url}/x.dtd\"><S/>"),
        format!("<!DOCTYPE S [<!ENTITY x SYSTEM \"{url}\">]><S>&x;</S>"),
        format!("<?xml-stylesheet href=\"{url}\"?><S/>"),
        format!("<S xmlns:xi=\"http://www.w3.org/2001/XInclude\"><xi:include href=\"{url}\"/></S>"),
    ] {
        let answer =
            client.request("POST", save, &[("Content-Type", "text/xml")], document.as_bytes());
        assert_eq!(answer.status, 400, "{document}: {answer:?}");
    }
    for header in ["Origin", "Referer", "X-Forwarded-Host", "Forwarded", "X-Original-URL", "From"] {
        client.who(&[(header, &url)]);
    }
    trap.assert_unsprung("a carrier, a document or a header");
}
