//! The client of a request: its address, and the origin by which it reaches the server.
//!
//! Invariant: headers that describe the client count only as far as trusted proxies wrote them.

use std::net::IpAddr;

use actix_web::{
    HttpMessage as _, HttpRequest,
    http::{
        Uri,
        header::{FORWARDED, HOST, HeaderName},
        uri::Authority,
    },
};

use crate::{callers::forwarded::ForwardedHeaders, host::Host, state::App};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Collects the headers in which proxies describe a request. Empty if no proxy is trusted.
pub(super) fn forwarded_headers<'a>(app: &App, request: &'a HttpRequest) -> ForwardedHeaders<'a> {
    if app.proxy_trust.trusted.is_empty() {
        return ForwardedHeaders::default();
    }
    let lines = |name| request.headers().get_all(name).map(|line| line.as_bytes()).collect();
    ForwardedHeaders {
        x_forwarded_for: lines(X_FORWARDED_FOR),
        x_forwarded_host: lines(X_FORWARDED_HOST),
        x_forwarded_proto: lines(X_FORWARDED_PROTO),
        x_forwarded_port: lines(X_FORWARDED_PORT),
        x_forwarded_prefix: lines(X_FORWARDED_PREFIX),
        forwarded: lines(FORWARDED),
    }
}

/// Returns the client's address, if it is known.
pub(crate) fn client_address(app: &App, request: &HttpRequest) -> Option<IpAddr> {
    forwarded_headers(app, request).client_address(peer(request), &app.proxy_trust)
}

/// Returns the part of the path that trusted proxies stripped. It is usually empty.
pub(super) fn stripped_prefix(app: &App, request: &HttpRequest) -> String {
    forwarded_headers(app, request).prefix(peer(request), &app.proxy_trust)
}

/// Returns whether cookies are restricted to TLS: by the configuration, or because the client uses TLS. No header can
/// override the configuration.
pub(crate) fn is_secure(app: &App, request: &HttpRequest) -> bool {
    app.scheme == "https" || PublicOrigin::of(request, app).is_https
}

/// Returns the name of the session cookie. Under TLS it has a prefix that makes browsers keep the cookie to this
/// host.
pub(crate) fn session_cookie(app: &App, request: &HttpRequest) -> &'static str {
    if is_secure(app, request) { "__Host-latchkey-session" } else { "latchkey-session" }
}

/// The host in a request's target (RFC 9112 §3.2). An absolute URI takes precedence over `Host`; `CONNECT` names
/// another server.
pub(crate) struct Target {
    pub(super) authority: Authority,
    pub(super) is_absolute: bool,
}

impl Target {
    /// Returns the target of a request, if it names a host.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?.clone();
        Some(Self { authority, is_absolute: uri.scheme().is_some() })
    }
}

/// The scheme and host by which the client of a request reaches the server.
pub(crate) struct PublicOrigin {
    pub(crate) is_https: bool,
    host: Option<String>,
}

impl PublicOrigin {
    /// Returns the origin that trusted proxies report, or otherwise that of the request itself.
    pub(crate) fn of(request: &HttpRequest, app: &App) -> Self {
        let headers = forwarded_headers(app, request);
        let forwarded = headers.origin(peer(request), &app.proxy_trust);
        let own = own_host(request);
        let host = forwarded.host.or_else(|| Host::parse(own.as_bytes()));
        let host = host.map(|host| host.or_port(forwarded.port).to_string());
        Self { is_https: forwarded.is_https.unwrap_or(app.scheme == "https"), host }
    }

    /// Returns scheme and host as the start of a URL, or `None` if the host is unknown.
    pub(crate) fn origin(&self) -> Option<String> {
        let scheme = if self.is_https { "https" } else { "http" };
        self.host.as_ref().map(|host| format!("{scheme}://{host}"))
    }

    /// Returns whether a browser's `Origin` is this server.
    pub(crate) fn is_origin(&self, origin: &str) -> bool {
        let other: Option<Uri> = origin.parse().ok();
        let Some((other, own)) = other.as_ref().zip(self.host.as_ref()) else { return false };
        let is_https = other.scheme_str() == Some("https");
        let other = other.authority().and_then(|other| Host::parse(other.as_str().as_bytes()));
        let own = Host::parse(own.as_bytes());
        own.zip(other).is_some_and(|(own, other)| own.is(&other, is_https))
    }
}

/// Returns the address that sent the request: that of the client or of a proxy.
pub(super) fn peer(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip())
}

/// Returns the host of the request itself. It is empty if there is none, as HTTP/1.0 allows.
fn own_host(request: &HttpRequest) -> String {
    if let Some(target) = request.extensions().get::<Target>() {
        return target.authority.to_string();
    }
    let header = request.headers().get(HOST);
    header.map_or_else(String::new, |host| String::from_utf8_lossy(host.as_bytes()).into_owned())
}
