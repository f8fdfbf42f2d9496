//! The server behind nginx, Caddy and HAProxy, with the configurations of `docs/proxies.md` as they are printed there.
//!
//! Invariant: only addresses, names and files of a configuration are replaced. All traffic is on loopback.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rustls::crypto::aws_lc_rs::default_provider;
use serde_json::json;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::support::{
    app::{Setup, TestApp, until},
    client::{Client, Session, to_save},
    parts::{has, leave_out},
};

const DOCUMENTATION: &str = include_str!("../../../docs/proxies.md");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// The blocks of the documentation in a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    let rest = DOCUMENTATION.split(opening.as_str()).skip(1);
    rest.map(|rest| rest.split("```").next().expect("a block ends")).collect()
}

/// A server as the documentation configures it, and a proxy in front of it.
struct Behind {
    proxy: Child,
    app: TestApp,
    /// The URL for clients, with the prefix of every path.
    url: String,
    certificate: String,
}

impl Behind {
    /// Starts both. `configure` makes the proxy's configuration with the address of the server, and `command` its
    /// command for the folder.
    fn start(
        prefix: &str,
        configure: impl FnOnce(&str) -> String,
        command: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let setup = Setup::new().arguments(&["--config", "latchkey.toml"]);
        let toml = blocks("toml")[0].replace("latchkey.example.com", "localhost");
        fs::write(setup.folder().join("latchkey.toml"), toml).expect("the configuration");
        let app = setup.start();
        app.add_user("ann");

        let folder = app.setup.folder().join("proxy");
        fs::create_dir(&folder).expect("a folder");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        for (name, text) in
            [("crt", &certificate), ("key", &key), ("pem", &format!("{certificate}{key}"))]
        {
            fs::write(folder.join(format!("latchkey.{name}")), text).expect("a file");
        }
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let configuration = configure(&address)
            .replace("/etc/ssl", folder.to_str().expect("text"))
            .replace("127.0.0.1:8080", app.authority());
        fs::write(folder.join("configuration"), configuration).expect("the configuration");
        let proxy = command(&folder)
            .current_dir(&folder)
            .env("HOME", &folder)
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).expect("a log"))
            .spawn()
            .expect("the proxy starts");
        let url = format!("https://{}{prefix}", address.replace("127.0.0.1", "localhost"));
        let mut behind = Self { proxy, app, url, certificate };
        until("the proxy listens", || {
            let ended = behind.proxy.try_wait().expect("a process");
            let log = fs::read_to_string(folder.join("log")).expect("a log");
            assert!(ended.is_none(), "{ended:?} {log}");
            TcpStream::connect(&address).is_ok()
        });
        until("the proxy passes requests on", || {
            behind.client().request("GET", "/healthz", &[], b"").status == 200
        });
        behind
    }

    fn client(&self) -> Client {
        let certificate = Certificate::from_pem(self.certificate.as_bytes()).expect("PEM");
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
            .root_certs(RootCerts::new_with_certs(&[certificate]))
            .build();
        Client::with_tls(&self.url, tls).with_password("ann", "CANARY-password")
    }

    /// The usual calls of a client: saves, gets, signs in, follows links.
    fn serve(&self) {
        let client = self.client();
        let key = client.save(&json!({"Provider": "et", "AccessToken": "CANARY-proxied"}));
        assert_eq!(client.access_token(&key).as_deref(), Some("CANARY-proxied"));

        let visitor = client.with_authorization(None);
        let origin = self.url.split('/').take(3).collect::<Vec<_>>().join("/");
        let prefix = self.url.strip_prefix(&origin).expect("an origin");
        let sign_in = |origin: &str| {
            let headers = [FORM, ("Origin", origin)];
            visitor.request("POST", "/sign-in", &headers, b"login=ann&password=CANARY-password")
        };
        sign_in("https://other.example").expect(403);
        let answer = sign_in(&origin).expect(303);
        assert_eq!(answer.header("Location"), format!("{prefix}/account"));
        assert!(answer.header("Set-Cookie").starts_with("__Host-latchkey-session="), "{answer:?}");
        let session = Session::of(&answer);
        let cookie = [("Cookie", session.cookie.as_str())];
        let page = visitor.request("GET", "/account", &cookie, b"").expect(200);
        assert!(page.body.contains(&format!("action=\"{prefix}/account/tickets\"")), "{page:?}");
        visitor.who(&session.headers()).expect(200);
        visitor.who(&cookie).expect(401);

        let forged = [
            ("X-Forwarded-For", "192.0.2.1"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Port", "666"),
            ("X-Forwarded-Prefix", "/evil"),
            ("Forwarded", "for=192.0.2.1;host=evil.example;proto=http"),
        ];
        for headers in [&[][..], &forged] {
            let index = visitor.request("GET", "/api", headers, b"").expect(200).json();
            assert_eq!(index["v1"], format!("{}/api/v1", self.url));
        }
        let log = self.app.log();
        let clients = log.matches("\"client.address\":").count();
        assert_eq!(log.matches("\"client.address\":\"127.0.0.1\"").count(), clients, "{log}");
    }

    /// A body that is too long gets the server's own error, and the client can continue.
    fn refuse_a_large_body(&self) {
        let client = self.client();
        for _ in 0..3 {
            let body = to_save(&"CANARY".repeat(250_000));
            let refused = client.post("SaveExternalTokens", &body);
            refused.expect_error(413, "SoLimitException", "The body is longer than 1048576 bytes");
            client.save(&json!({"Provider": "et", "AccessToken": "CANARY-after"}));
        }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

/// The server block within Debian's usual configuration, in one process and its own folder.
fn nginx(server: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path temporary;")).concat();
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{}}\n\
         http {{ access_log off; {temporary}\n{server}\n}}\n"
    )
}

fn start_nginx(folder: &Path) -> Command {
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).args(["-e", "stderr", "-c", "configuration"]);
    command
}

/// CONTRACT O6, 29, 33: behind nginx, links and cookies fit the proxy's clients, and the logged addresses are those of
/// the clients.
#[test]
fn behind_nginx() {
    if !has("nginx") {
        return leave_out("behind nginx", "nginx");
    }
    let configure = |address: &str| {
        nginx(&blocks("nginx")[0].replace("listen 443", &format!("listen {address}")))
    };
    let behind = Behind::start("", configure, start_nginx);
    behind.serve();
    behind.refuse_a_large_body();
    let other = behind.client().request("GET", "/api", &[("Host", "other.example")], b"");
    other.expect_error(421, "SoNotFoundException", "server.hosts");
}

/// CONTRACT 1, O6: behind nginx with a prefix that nginx removes.
#[test]
fn behind_nginx_below_a_path() {
    if !has("nginx") {
        return leave_out("behind nginx, below a path", "nginx");
    }
    let configure = |address: &str| {
        let [server, location] = blocks("nginx")[..] else { panic!("two blocks") };
        let (before, _) = server.split_once("    location / {").expect("a location");
        let server = before.replace("listen 443", &format!("listen {address}"));
        nginx(&format!("{server}{location}}}"))
    };
    let behind = Behind::start("/tokens", configure, start_nginx);
    behind.serve();
}

/// CONTRACT O6, 29, 33: behind Caddy.
#[test]
fn behind_caddy() {
    if !has("caddy") {
        return leave_out("behind Caddy", "caddy");
    }
    let configure = |address: &str| {
        let host = address.replace("127.0.0.1", "localhost");
        let site = blocks("caddyfile")[0].replace("latchkey.example.com", &host);
        let here = "{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n}\n";
        format!("{here}{site}")
    };
    let behind = Behind::start("", configure, |_folder| {
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config", "configuration"]);
        command
    });
    behind.serve();
    behind.refuse_a_large_body();
}

/// CONTRACT O6, 29, 33: behind HAProxy.
#[test]
fn behind_haproxy() {
    if !has("haproxy") {
        return leave_out("behind HAProxy", "haproxy");
    }
    let configure =
        |address: &str| blocks("haproxy")[0].replace("bind :443", &format!("bind {address}"));
    let behind = Behind::start("", configure, |_folder| {
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f", "configuration"]);
        command
    });
    behind.serve();
    behind.refuse_a_large_body();
    let other = behind.client().request("GET", "/api", &[("Host", "other.example")], b"");
    other.expect_error(421, "SoNotFoundException", "server.hosts");
}
