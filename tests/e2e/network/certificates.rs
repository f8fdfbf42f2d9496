//! The certificate of `server.tls` while the server runs: it is renewed on disk, damaged on disk, or about to expire.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::symlink,
    path::Path,
    sync::Arc,
};

use rcgen::{CertificateParams, KeyPair};
use rstest::rstest;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs::default_provider, pki_types::CertificateDer,
};

use crate::{
    records::clock,
    support::app::{Setup, TestApp, until},
};

/// A certificate for 127.0.0.1 and its key.
struct Pair {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Pair {
    fn new() -> Self {
        Self::until(2050, 1, 1)
    }

    /// A pair that expires on this date.
    fn until(year: i32, month: u8, day: u8) -> Self {
        let mut parameters =
            CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name of a host");
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(year, month, day);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Self { certificate, key }
    }

    fn write(&self, folder: &Path) {
        self.write_certificate(folder);
        self.write_key(folder);
    }

    fn write_certificate(&self, folder: &Path) {
        replace(&folder.join("tls.crt"), &self.certificate.pem());
    }

    fn write_key(&self, folder: &Path) {
        replace(&folder.join("tls.key"), &self.key.serialize_pem());
    }
}

/// Replaces a file, as tools that renew certificates do.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("write");
    fs::rename(&new, path).expect("rename");
}

fn with_tls() -> Setup {
    Setup::new()
        .with("SERVER__TLS__CERTIFICATE", "tls.crt")
        .with("SERVER__TLS__KEY", "tls.key")
        .with("SERVER__TLS_RELOAD_SECONDS", "3600")
}

/// Opens a connection that trusts these certificates.
fn connect(app: &TestApp, known: &[&Pair]) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    for pair in known {
        roots.add(pair.certificate.der().clone()).expect("a root");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "127.0.0.1".try_into().expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let (_, port) = app.authority().rsplit_once(':').expect("a port");
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("connect");
    StreamOwned::new(connection, stream)
}

/// The certificate that a new connection gets. It must be one of these, and its key must work.
fn served(app: &TestApp, known: &[&Pair]) -> CertificateDer<'static> {
    let mut stream = connect(app, known);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).expect("a handshake");
    }
    stream.conn.peer_certificates().expect("a chain")[0].clone().into_owned()
}

fn assert_served(app: &TestApp, expected: &Pair, known: &[&Pair]) {
    assert!(served(app, known) == *expected.certificate.der(), "{}", app.log());
}

/// A renewed certificate is served without a signal. Tools replace the files, or, as Kubernetes does with a mounted
/// secret, the link to their folder.
#[rstest]
fn a_renewed_certificate_is_served_by_itself(#[values(false, true)] is_linked: bool) {
    let (old, new) = (Pair::new(), Pair::new());
    let mut setup = with_tls().with("SERVER__TLS_RELOAD_SECONDS", "1");
    let folder = setup.folder().to_owned();
    if is_linked {
        fs::create_dir(folder.join("first")).expect("folder");
        old.write(&folder.join("first"));
        symlink("first", folder.join("..data")).expect("link");
        setup = setup
            .with("SERVER__TLS__CERTIFICATE", "..data/tls.crt")
            .with("SERVER__TLS__KEY", "..data/tls.key");
    } else {
        old.write(&folder);
    }
    let app = setup.start();
    let known = [&old, &new];
    assert_served(&app, &old, &known);
    if is_linked {
        fs::create_dir(folder.join("second")).expect("folder");
        new.write(&folder.join("second"));
        symlink("second", folder.join("..new")).expect("link");
        fs::rename(folder.join("..new"), folder.join("..data")).expect("rename");
    } else {
        new.write(&folder);
    }
    until("the new one is served", || served(&app, &known) == *new.certificate.der());
}

/// SIGHUP reads both files again. If a file is incomplete, or the two do not match, the old pair stays in force, and
/// the log names the setting.
#[test]
fn a_bad_certificate_leaves_the_old_one_in_force() {
    let (old, new, over) = (Pair::new(), Pair::new(), Pair::until(2021, 1, 1));
    let setup = with_tls();
    let folder = setup.folder().to_owned();
    old.write(&folder);
    let app = setup.start();
    let known = [&old, &new];
    let expect_refusal = |said: &str| {
        app.signal("HUP");
        app.logged(&["WARN", said]);
        assert_served(&app, &old, &known);
    };

    let pem = new.certificate.pem();
    fs::write(folder.join("tls.crt"), &pem[..pem.len() / 2]).expect("write");
    expect_refusal("server.tls.certificate: tls.crt is no PEM certificate");
    fs::write(folder.join("tls.crt"), "").expect("write");
    expect_refusal("server.tls.certificate: tls.crt has no PEM certificate");
    fs::remove_file(folder.join("tls.crt")).expect("remove");
    expect_refusal("cannot read server.tls.certificate: tls.crt");
    fs::write(folder.join("tls.crt"), vec![b'x'; 2 << 20]).expect("write");
    expect_refusal("it is larger than 1048576 bytes");
    over.write(&folder);
    expect_refusal(
        "tls.crt is valid from 2020-01-01T00:00:00Z to 2021-01-01T00:00:00Z, and not now",
    );
    new.write_certificate(&folder);
    expect_refusal("server.tls: the certificate and the key do not go together");
    fs::write(folder.join("tls.key"), "no key").expect("write");
    expect_refusal("server.tls.key: tls.key is no PEM private key");

    new.write_key(&folder);
    app.signal("HUP");
    until("the new one is served", || served(&app, &known) == *new.certificate.der());
    assert!(!app.log().contains("PRIVATE KEY"));
}

/// A problem with the files is logged once while it lasts, not at each check. Without a problem nothing is logged.
#[test]
fn a_failure_is_logged_once_while_it_lasts() {
    let (old, new) = (Pair::new(), Pair::new());
    let setup = with_tls().with("SERVER__TLS_RELOAD_SECONDS", "1");
    let folder = setup.folder().to_owned();
    old.write(&folder);
    let app = setup.start();
    new.write_certificate(&folder);
    until("it is logged", || app.log().contains("do not go together"));
    new.write_key(&folder);
    let known = [&old, &new];
    until("the new one is served", || served(&app, &known) == *new.certificate.der());
    assert_eq!(app.log().matches("do not go together").count(), 1, "{}", app.log());
}

/// The log reports the end of the certificate: at the start, 14 days before, and when it has expired.
#[test]
fn the_log_says_when_the_certificate_ends() {
    let said = |pair: &Pair, level: &str, text: &str| {
        let setup = with_tls();
        pair.write(setup.folder());
        let app = setup.start();
        app.logged(&[level, text]);
    };
    said(&Pair::new(), " INFO ", "is in force certificate.end=2050-01-01T00:00:00Z");
    said(&Pair::until(2021, 1, 1), "ERROR ", "is not valid now: clients refuse it");

    let Some(setup) = clock::with_a_clock("the end of a certificate") else { return };
    let setup = setup
        .with("SERVER__TLS__CERTIFICATE", "tls.crt")
        .with("SERVER__TLS__KEY", "tls.key")
        .with("SERVER__TLS_RELOAD_SECONDS", "1");
    clock::set(&setup, "@2049-12-01 00:00:00");
    Pair::new().write(setup.folder());
    let app = setup.start();
    until("it is in force", || app.log().contains("is in force"));
    assert!(!app.log().contains("ends soon"), "{}", app.log());
    clock::set(&setup, "@2049-12-25 00:00:00");
    until("it is due", || app.log().contains("ends soon: renew it"));
    clock::set(&setup, "@2050-01-02 00:00:00");
    until("it has ended", || app.log().contains("is not valid now: clients refuse it"));
    assert_eq!(app.log().matches("ends soon").count(), 1, "{}", app.log());
}

/// CONTRACT 15: browsers are sent `Strict-Transport-Security` if other machines reach the server, but never for
/// `localhost`, because other programs use that name too.
#[test]
fn strict_transport_security_is_for_others() {
    let pair = Pair::new();
    let is_strict = |listen: &str, host: &str| {
        let setup = with_tls().with("PROFILE", "production").with("SERVER__LISTEN", listen);
        pair.write(setup.folder());
        let app = setup.start();
        let mut stream = connect(&app, &[&pair]);
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("send");
        let mut answer = String::new();
        // The end of a connection over TLS is not always announced.
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        answer.to_lowercase().contains("strict-transport-security: max-age=31536000\r\n")
    };
    assert!(is_strict("0.0.0.0:0", "keys.example.com"));
    assert!(!is_strict("0.0.0.0:0", "localhost:8443"));
    assert!(!is_strict("127.0.0.1:0", "localhost:8443"));
}
