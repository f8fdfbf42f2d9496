//! The one HTTP client: requests to providers, to issuers of JWTs and to receivers of webhooks.
//!
//! Invariant:
//! - A request goes to the host that its URL names, over TLS unless that host is this machine, and only to permitted
//!   addresses.
//! - It is sent once, over a connection of its own. Redirects are not followed.
//! - An error says whether the other side may have received the request. In doubt, it says yes.

mod addresses;
mod resolver;

use std::{
    fmt, fs, io,
    net::IpAddr,
    path::Path,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicUsize},
    time::Duration,
};

use anyhow::{Context as _, bail};
use model::CauseKind;
use provider::ProviderRequest;
use rustls::{AlertDescription, RootCertStore};
use ureq::{
    Agent, Body, Error, Proxy, RequestExt as _, SendBody,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header, uri::Scheme},
    tls::{ClientCert, PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::transport::{ConnectionDetails, Connector, DefaultConnector, Transport},
};
use zeroize::Zeroizing;

use self::resolver::CheckedResolver;
use crate::config::url;

/// The size limit of an answer's body, in bytes.
pub(crate) const MOST_BYTES: usize = 256 * 1024;
/// The size limit of an answer's head, in bytes.
const MOST_HEAD_BYTES: usize = 32 * 1024;
/// The time limit of each step, in addition to the deadline of the whole.
const RESOLVE: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(4);
const SEND: Duration = Duration::from_secs(2);
const HEAD: Duration = Duration::from_secs(12);
const BODY: Duration = Duration::from_secs(3);

/// The rules for the targets of requests.
pub(crate) struct OutgoingRules<'a> {
    /// A PEM file of the trusted certificates, in place of those of the machine.
    pub(crate) ca: Option<&'a Path>,
    /// The certificate of the client and its key, for servers that ask for them (RFC 8705).
    pub(crate) client_certificate: Option<ClientCert>,
    /// Whether hosts may have addresses that are not public.
    pub(crate) allow_private_addresses: bool,
    /// Whether a URL of this machine may be `http`.
    pub(crate) allow_plain_loopback: bool,
    /// The URL of a proxy that connects to all hosts but this machine. The proxy then looks names up, and decides where
    /// requests may go; this server still rejects a forbidden address that is written in a URL.
    pub(crate) egress_proxy: Option<&'a str>,
}

/// A client with its rules.
pub(crate) struct Outgoing {
    tls: RwLock<Tls>,
    roots: RootCerts,
    resolver: CheckedResolver,
    proxy: Option<Proxy>,
    allow_plain_loopback: bool,
}

/// The parts that connections share. TLS sessions are resumed only with the same connector, so that none is resumed
/// with another client certificate.
#[derive(Clone)]
struct Tls {
    connector: Arc<DefaultConnector>,
    config: TlsConfig,
}

impl Tls {
    fn new(roots: RootCerts, client_certificate: Option<ClientCert>) -> Self {
        let config = TlsConfig::builder()
            .root_certs(roots)
            .client_cert(client_certificate)
            .unversioned_rustls_crypto_provider(Arc::new(
                rustls::crypto::aws_lc_rs::default_provider(),
            ))
            .build();
        Self { connector: Arc::default(), config }
    }
}

/// An answer of any status.
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// The reason why there is no answer. `Display` is for the log and has no secret.
#[derive(Clone, Debug)]
pub(crate) struct SendError {
    pub(crate) cause: CauseKind,
    /// Whether the other side may have received the request.
    pub(crate) was_sent: bool,
    text: String,
}

impl SendError {
    /// The request was not sent.
    pub(crate) fn unsent(cause: CauseKind, text: impl fmt::Display) -> Self {
        Self { cause, was_sent: false, text: text.to_string() }
    }

    /// The request may have been sent, and its outcome is unknown.
    pub(crate) fn in_doubt(text: impl fmt::Display) -> Self {
        Self { cause: CauseKind::Network, was_sent: true, text: text.to_string() }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for SendError {}

impl Outgoing {
    /// Builds a client that follows these rules.
    ///
    /// # Errors
    /// The certificate file or the proxy's URL is invalid.
    pub(crate) fn new(rules: &OutgoingRules<'_>) -> anyhow::Result<Self> {
        let roots = match rules.ca {
            Some(file) => {
                read_roots(file).with_context(|| format!("ca: {} is no use", file.display()))?
            }
            None => RootCerts::PlatformVerifier,
        };
        let proxy = rules.egress_proxy.map(Proxy::new).transpose().context("egress_proxy")?;
        Ok(Self {
            tls: RwLock::new(Tls::new(roots.clone(), rules.client_certificate.clone())),
            roots,
            resolver: CheckedResolver {
                allow_private_addresses: rules.allow_private_addresses,
                proxy: proxy.as_ref().map(|proxy| (proxy.host().to_owned(), proxy.port())),
                lookups: Arc::new(AtomicUsize::new(0)),
            },
            proxy,
            allow_plain_loopback: rules.allow_plain_loopback,
        })
    }

    /// Uses this client certificate from the next connection on.
    pub(crate) fn set_client_certificate(&self, certificate: ClientCert) {
        let tls = Tls::new(self.roots.clone(), Some(certificate));
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
    }

    /// Sends a request to a provider. Blocks.
    ///
    /// # Errors
    /// There is no complete answer before the deadline.
    pub(crate) fn post(
        &self,
        request: &ProviderRequest,
        deadline: Duration,
    ) -> Result<Received, SendError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        if let Some(credentials) = &request.authorization {
            let mut value = HeaderValue::from_str(credentials.expose()).map_err(|_no_value| {
                SendError::unsent(
                    CauseKind::InvalidClient,
                    "the client's credentials cannot be in a header",
                )
            })?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let body = Some(request.body.expose().as_bytes());
        read(self.ask(Method::POST, &request.url, headers, body, deadline)?)
    }

    /// Sends an event to a receiver of webhooks, with these headers. Returns the status and `Retry-After`; the body of
    /// the answer is not read. Blocks.
    ///
    /// # Errors
    /// There is no answer before the deadline.
    pub(crate) fn notify(
        &self,
        url: &str,
        headers: HeaderMap,
        body: &[u8],
        deadline: Duration,
    ) -> Result<(u16, Option<String>), SendError> {
        let answer = self.ask(Method::POST, url, headers, Some(body), deadline)?;
        Ok((answer.status().as_u16(), text(&answer, header::RETRY_AFTER)))
    }

    /// Gets a document. Blocks.
    ///
    /// # Errors
    /// There is no complete answer before the deadline.
    pub(crate) fn get(&self, url: &str, deadline: Duration) -> Result<Received, SendError> {
        read(self.ask(Method::GET, url, HeaderMap::new(), None, deadline)?)
    }

    /// Returns the answer, up to the end of its head.
    fn ask(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Option<&[u8]>,
        deadline: Duration,
    ) -> Result<Response<Body>, SendError> {
        let refused = |why: &str| SendError::unsent(CauseKind::Network, format!("the URL {why}"));
        let url = url::parse(url, self.allow_plain_loopback).map_err(refused)?;
        // For a proxy, `localhost` would be the proxy itself.
        let proxy = self.proxy.clone().filter(|_| url.scheme() == Some(&Scheme::HTTPS));
        if proxy.is_some()
            && let Ok(address) = url::host(&url).parse::<IpAddr>()
            && !self.resolver.allows(&url, address)
        {
            return Err(SendError::unsent(CauseKind::Network, Refused));
        }
        let agent = self.agent(proxy, deadline);
        let mut request = Request::new(());
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) =
            (method, url, headers);
        for (name, value) in [(header::ACCEPT, "application/json"), (header::CONNECTION, "close")] {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        let answer = match body {
            Some(body) => request.map(|()| body).with_agent(&agent).run(),
            None => request.map(|()| SendBody::none()).with_agent(&agent).run(),
        };
        let has_certificate = agent.config().tls_config().client_cert().is_some();
        answer.map_err(|error| SendError::of(error, Step::Head { has_certificate }))
    }

    /// Builds the agent of one request with its deadline. All agents share the loaded TLS configuration.
    fn agent(&self, proxy: Option<Proxy>, deadline: Duration) -> Agent {
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        let config = Agent::config_builder()
            .tls_config(tls.config)
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .max_response_header_size(MOST_HEAD_BYTES)
            .user_agent("Latchkey")
            .accept_encoding("identity")
            .timeout_global(Some(deadline))
            .timeout_resolve(Some(RESOLVE))
            .timeout_connect(Some(CONNECT))
            .timeout_send_request(Some(SEND))
            .timeout_send_body(Some(SEND))
            .timeout_recv_response(Some(HEAD))
            .timeout_recv_body(Some(BODY))
            .build();
        Agent::with_parts(config, Connect(tls.connector), self.resolver.clone())
    }
}

/// Reads a complete answer.
fn read(mut answer: Response<Body>) -> Result<Received, SendError> {
    let body = answer.body_mut().with_config().limit(MOST_BYTES as u64).read_to_vec();
    let body = body.map_err(|error| SendError::of(error, Step::Body))?;
    Ok(Received {
        status: answer.status().as_u16(),
        content_type: text(&answer, header::CONTENT_TYPE),
        retry_after: text(&answer, header::RETRY_AFTER),
        body: Zeroizing::new(body),
    })
}

/// Returns a header of an answer, if it is text.
fn text(answer: &Response<Body>, name: HeaderName) -> Option<String> {
    answer.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Reads the certificates of a PEM file, at least one.
fn read_roots(file: &Path) -> anyhow::Result<RootCerts> {
    let mut certificates = Vec::new();
    for item in parse_pem(&fs::read(file)?) {
        if let PemItem::Certificate(certificate) = item.context("it is not PEM")? {
            certificates.push(certificate);
        }
    }
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.der().to_vec().into()).context("it holds a faulty certificate")?;
    }
    if store.is_empty() {
        bail!("it holds no certificate");
    }
    Ok(certificates.into())
}

/// Connects, up to the end of the TLS handshake. All its errors come before the first byte of the request.
#[derive(Debug)]
struct Connect(Arc<DefaultConnector>);

impl Connector for Connect {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        self.0.connect(details, chained).map_err(before_sending)
    }
}

/// Marks an error as one that came before the request was sent.
fn before_sending(error: Error) -> Error {
    match error {
        Error::Other(other) if other.is::<BeforeSending>() => Error::Other(other),
        error => Error::Other(Box::new(BeforeSending(error))),
    }
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct BeforeSending(Error);

/// The rules forbid every address of the host.
#[derive(Debug, thiserror::Error)]
#[error("the host's address is not public, and allow_private_addresses is false")]
struct Refused;

/// The part of an answer that the client was waiting for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// `has_certificate`: whether the client showed a certificate that may be refused.
    Head {
        has_certificate: bool,
    },
    Body,
}

impl SendError {
    fn of(error: Error, step: Step) -> Self {
        let is_head = matches!(step, Step::Head { .. });
        let has_certificate = matches!(step, Step::Head { has_certificate: true });
        if let Error::Other(other) = &error
            && let Some(BeforeSending(error)) = other.downcast_ref()
        {
            let cause = if refuses_certificate(error, has_certificate) {
                CauseKind::InvalidClient
            } else if is_of_tls(error) {
                CauseKind::Tls
            } else {
                CauseKind::Network
            };
            return Self::unsent(cause, describe(error));
        }
        if is_head && refuses_certificate(&error, has_certificate) {
            // In TLS 1.3 the client's part of the handshake ends first, and the server's alert comes in place of an
            // answer (RFC 8446 §4.4.2.4, §6.2).
            return Self::unsent(CauseKind::InvalidClient, describe(&error));
        }
        let cause = match &error {
            Error::Timeout(_) => CauseKind::Timeout,
            Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => CauseKind::Timeout,
            Error::BodyExceedsLimit(_) | Error::LargeResponseHeader(..) => CauseKind::TooLarge,
            Error::Io(_) if is_head => CauseKind::Network,
            _ => CauseKind::Unreadable,
        };
        Self { cause, was_sent: true, text: describe(&error) }
    }
}

/// Returns whether the server's alert says that it refuses the client's certificate, or that it requires one (RFC 8446
/// §6.2). If the client showed none, all other alerts have another cause, such as a firewall.
fn refuses_certificate(error: &Error, has_certificate: bool) -> bool {
    let error = match error {
        Error::Rustls(error) => Some(error),
        Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    let Some(rustls::Error::AlertReceived(alert)) = error else { return false };
    let is_of_certificate = matches!(
        alert,
        AlertDescription::AccessDenied
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                // The signature is not that of the authority that the certificate names.
                | AlertDescription::DecryptError
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate
    );
    *alert == AlertDescription::CertificateRequired || has_certificate && is_of_certificate
}

fn is_of_tls(error: &Error) -> bool {
    match error {
        Error::Tls(_) | Error::Rustls(_) | Error::TlsRequired => true,
        Error::Io(error) => error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()),
        _ => false,
    }
}

/// Formats the error without the name of ureq's variant if that name adds nothing.
fn describe(error: &Error) -> String {
    match error {
        Error::Other(other) => other.to_string(),
        Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
