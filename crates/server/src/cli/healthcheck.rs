//! `latchkey healthcheck`: asks a server on this machine whether it works, for images without a shell.
//!
//! Invariant: the command sends no secret, so it accepts every certificate. It ends within its time-out, and needs
//! neither the database nor a key.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{self, CryptoProvider},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde::Serialize;

use super::output::Output;
use crate::config::Config;

/// The longest head of an answer that is read, in bytes.
const HEAD: u64 = 4096;

#[derive(Args)]
pub(crate) struct HealthcheckArguments {
    /// Ask this URL instead of `server.listen`, such as `http://127.0.0.1:8080/readyz`
    #[arg(long, conflicts_with = "ready")]
    url: Option<String>,
    /// Ask whether the server can work (`/readyz`), and not only whether it runs (`/healthz`)
    #[arg(long)]
    ready: bool,
    /// Fail after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
}

/// The place to ask.
struct Probe {
    has_tls: bool,
    /// Host and port, as the URL has them.
    authority: String,
    path: String,
    addresses: Vec<SocketAddr>,
}

#[derive(Serialize)]
struct Healthy {
    url: String,
    status: u16,
}

impl Probe {
    fn of_listener(config: &Config, ready: bool) -> anyhow::Result<Self> {
        let listen = config.server.listen.resolve("server.listen")?;
        if listen.port() == 0 {
            bail!("server.listen has no fixed port; give --url");
        }
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let address = SocketAddr::new(ip, listen.port());
        Ok(Self {
            has_tls: config.server.tls.is_some(),
            authority: address.to_string(),
            path: if ready { "/readyz" } else { "/healthz" }.to_owned(),
            addresses: vec![address],
        })
    }

    fn of_url(url: &str) -> anyhow::Result<Self> {
        let expected = "--url must be like http://127.0.0.1:8080/healthz, without a login";
        let (scheme, rest) = url.split_once("://").context(expected)?;
        let (has_tls, port) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => bail!(expected),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = if path.is_empty() { "/healthz" } else { path };
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if authority.is_empty() || authority.contains('@') || !is_plain(rest) {
            bail!(expected);
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_host, port)| !port.contains(']'));
        let place = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let addresses = place.to_socket_addrs();
        let addresses = addresses.with_context(|| format!("{authority} has no address"))?.collect();
        let (authority, path) = (authority.to_owned(), path.to_owned());
        Ok(Self { has_tls, authority, path, addresses })
    }

    fn url(&self) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.path)
    }

    /// Asks, and returns the status of the answer.
    fn ask(&self, deadline: Instant) -> anyhow::Result<u16> {
        let stream = self.connect(deadline)?;
        let mut stream: Box<dyn ReadWrite> = match self.has_tls {
            false => Box::new(stream),
            true => Box::new(with_tls(stream, &self.authority)?),
        };
        let Self { path, authority, .. } = self;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        stream.flush()?;
        let mut line = String::new();
        BufReader::new(stream.take(HEAD)).read_line(&mut line)?;
        if line.is_empty() {
            bail!("the connection ended without an answer");
        }
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
        status.and_then(|status| status.trim().parse().ok()).context("the answer is not HTTP")
    }

    /// Connects to the first address that answers.
    fn connect(&self, deadline: Instant) -> anyhow::Result<Timed> {
        let mut failure = io::Error::other("there is no address");
        for address in &self.addresses {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(address, left) {
                Ok(stream) => return Ok(Timed { stream, deadline }),
                Err(error) => failure = error,
            }
        }
        Err(failure.into())
    }
}

/// Asks the server, and fails unless the answer is 200.
pub(crate) fn run(
    config: impl FnOnce() -> anyhow::Result<Config>,
    output: Output,
    arguments: &HealthcheckArguments,
) -> anyhow::Result<()> {
    let probe = match &arguments.url {
        Some(url) => Probe::of_url(url)?,
        None => Probe::of_listener(&config()?, arguments.ready)?,
    };
    let (url, deadline) = (probe.url(), Instant::now() + Duration::from_secs(arguments.timeout));
    let status = probe.ask(deadline).with_context(|| format!("{url} does not answer"))?;
    if status != 200 {
        bail!("{url} answers {status}");
    }
    output.made(&format!("{url} answers 200"), &Healthy { url, status })
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// A connection that fails at a deadline.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn with_tls(
    stream: Timed,
    authority: &str,
) -> anyhow::Result<StreamOwned<ClientConnection, Timed>> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let accept = Arc::new(AcceptAll(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(accept)
        .with_no_client_auth();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _port)| host);
    let host = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).context("the host has no valid name")?;
    Ok(StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, stream))
}

/// Accepts every certificate, because the certificate of a server rarely has the name of its loopback address.
#[derive(Debug)]
struct AcceptAll(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
