//! The host that a request names, and the hosts that this server has (CONTRACT 1, RFC 9110 §7.2).
//!
//! Invariant: a server that only this machine reaches, or that knows its names, answers nothing to a request
//! for another host. Otherwise a web page that points a name of its own at this address (DNS rebinding) could
//! call it from the browser of somebody who can reach it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use actix_web::{
    HttpMessage as _, HttpRequest,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Uri,
        header::{HOST, HeaderMap},
        uri::Authority,
    },
    middleware::Next,
    web::Data,
};

use crate::{
    http::{paths, problem::Problem},
    state::App,
};

/// The most bytes that the name of a host has (RFC 1035 §2.3.4), and some for a last dot.
const NAME_BYTES: usize = 255;

/// A host, and the port if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<'a> {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    name: &'a str,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads what a request has as its host; `None` for what none can be.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let (name, port) = match text.find(']') {
            Some(end) => text.split_at(end + 1),
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok().filter(|port| *port != 0)?)
            }
            _ => return None,
        };
        (is_name(name) || bracketed(name).is_some()).then_some(Self { name, port })
    }

    /// The same host at this port, if it names none.
    pub(crate) fn or_port(self, port: Option<u16>) -> Self {
        // Those of the schemes go without saying.
        let port = port.filter(|port| !matches!(port, 80 | 443));
        Self { port: self.port.or(port), ..self }
    }

    /// Whether both are the same, where this scheme is spoken.
    pub(crate) fn is(&self, other: &Host<'_>, is_https: bool) -> bool {
        let usual = if is_https { 443 } else { 80 };
        let port = |host: &Host<'_>| host.port.unwrap_or(usual);
        is_same(self.name, other.name) && port(self) == port(other)
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

/// Names in DNS have letters, digits and hyphens, and often underscores; labels are not empty.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut labels = name.strip_suffix('.').unwrap_or(name).split('.');
    name.len() <= NAME_BYTES && labels.all(|label| !label.is_empty() && label.bytes().all(is_plain))
}

fn bracketed(name: &str) -> Option<Ipv6Addr> {
    name.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// An address in the place of a name.
fn address(name: &str) -> Option<IpAddr> {
    bracketed(name).map(IpAddr::from).or_else(|| name.parse().ok()).map(|ip| ip.to_canonical())
}

fn is_same(name: &str, other: &str) -> bool {
    match (address(name), address(other)) {
        (Some(name), Some(other)) => name == other,
        _ => {
            let without_dot = |name: &str| name.strip_suffix('.').unwrap_or(name).to_owned();
            without_dot(name).eq_ignore_ascii_case(&without_dot(other))
        }
    }
}

/// Which hosts a server answers for.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// Those of the configuration, each without a port.
    named: Vec<String>,
    /// Whether only this machine reaches the server.
    is_local: bool,
}

impl Hosts {
    /// Those of this list; of a server that only this machine reaches, the names of this machine as well.
    /// `None` if an item of the list is no host, or has a port.
    pub(crate) fn new(named: &[String], is_local: bool) -> Option<Self> {
        let is_host =
            |name: &String| Host::parse(name.as_bytes()).is_some_and(|host| host.name == name);
        named.iter().all(is_host).then(|| Self { named: named.to_vec(), is_local })
    }

    fn admit(&self, host: &Host<'_>) -> bool {
        let is_loopback = || match address(host.name) {
            Some(address) => address.is_loopback(),
            None => is_same(host.name, "localhost"),
        };
        match self {
            Self { is_local: false, named } if named.is_empty() => true,
            Self { is_local, named } => {
                *is_local && is_loopback() || named.iter().any(|name| is_same(name, host.name))
            }
        }
    }
}

/// The host in a request's target (RFC 9112 §3.2): that of an absolute URI, which counts before `Host`, or that
/// which `CONNECT` names, and which is another server's.
pub(crate) struct Target {
    authority: Authority,
    is_absolute: bool,
}

impl Target {
    /// That of a request whose target names a host.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?.clone();
        Some(Self { authority, is_absolute: uri.scheme().is_some() })
    }
}

/// How the client of a request reaches the server.
pub(crate) struct PublicOrigin {
    pub(crate) is_https: bool,
    host: Option<String>,
}

impl PublicOrigin {
    /// As trusted proxies tell, or as the request itself does.
    pub(crate) fn of(request: &HttpRequest, app: &App) -> Self {
        let said = app.proxy_trust.said(peer(request), request.headers());
        let own = own_host(request);
        let host = said.host.or_else(|| Host::parse(own.as_bytes()));
        let host = host.map(|host| host.or_port(said.port).to_string());
        Self { is_https: said.is_https.unwrap_or(app.scheme == "https"), host }
    }

    /// Scheme and host, as a URL begins; `None` if the host is unknown.
    pub(crate) fn origin(&self) -> Option<String> {
        let scheme = if self.is_https { "https" } else { "http" };
        self.host.as_ref().map(|host| format!("{scheme}://{host}"))
    }

    /// Whether a browser's `Origin` is this server.
    pub(crate) fn is_origin(&self, origin: &str) -> bool {
        let other: Option<Uri> = origin.parse().ok();
        let Some((other, own)) = other.as_ref().zip(self.host.as_ref()) else { return false };
        let is_https = other.scheme_str() == Some("https");
        let other = other.authority().and_then(|other| Host::parse(other.as_str().as_bytes()));
        let own = Host::parse(own.as_bytes());
        own.zip(other).is_some_and(|(own, other)| own.is(&other, is_https))
    }
}

fn peer(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|peer| peer.ip())
}

/// What the request itself has as its host; empty if it has none, which is allowed in HTTP/1.0.
fn own_host(request: &HttpRequest) -> String {
    if let Some(target) = request.extensions().get::<Target>() {
        return target.authority.to_string();
    }
    let header = request.headers().get(HOST);
    header.map_or_else(String::new, |host| String::from_utf8_lossy(host.as_bytes()).into_owned())
}

/// Middleware: lets through what is asked of a host of this server.
pub(crate) async fn check<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    match judge(&request) {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(problem) => Ok(request.error_response(problem).map_into_right_body()),
    }
}

fn judge(request: &ServiceRequest) -> Result<(), Problem> {
    let app = request.app_data::<Data<App>>().expect("the app is set up with its state");
    let headers: &HeaderMap = request.headers();
    let mut lines = headers.get_all(HOST);
    let line = lines.next().map(|line| line.as_bytes());
    if lines.next().is_some() {
        return Err(Problem::many_headers("Host"));
    }
    let extensions = request.request().extensions();
    let own = match extensions.get::<Target>() {
        Some(Target { is_absolute: false, .. }) => return Err(Problem::no_host()),
        Some(Target { authority, .. }) => Some(authority.as_str().as_bytes()),
        None => line,
    };
    let parse = |text| Host::parse(text).ok_or_else(Problem::no_host);
    line.filter(|line| !line.is_empty()).map(parse).transpose()?;
    let own = own.filter(|own| !own.is_empty()).map(parse).transpose()?;
    let is_probe = matches!(request.path(), paths::HEALTH | paths::READINESS);
    let said = app.proxy_trust.said(peer(request.request()), headers);
    match said.host.or(own) {
        Some(host) if !is_probe && !app.hosts.admit(&host) => Err(Problem::other_host()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// CONTRACT 1: a name or an address, with or without a port.
    #[rstest]
    #[case("localhost", Some("localhost"))]
    #[case("Latchkey.Example.com:8443", Some("Latchkey.Example.com:8443"))]
    #[case("a_b.example.", Some("a_b.example."))]
    #[case("192.0.2.1:", Some("192.0.2.1"))]
    #[case("[2001:db8::1]:443", Some("[2001:db8::1]:443"))]
    #[case("", None)]
    #[case(".", None)]
    #[case("a..b", None)]
    #[case(":80", None)]
    #[case("a:b", None)]
    #[case("a:+80", None)]
    #[case("a:0", None)]
    #[case("a:65536", None)]
    #[case("a:80:80", None)]
    #[case("2001:db8::1", None)]
    #[case("[::1", None)]
    #[case("::1]", None)]
    #[case("[localhost]", None)]
    #[case("[::1]x", None)]
    #[case("a b", None)]
    #[case("a/b", None)]
    #[case("user@a", None)]
    #[case("a,b", None)]
    #[case("a%62", None)]
    #[case("bjørn", None)]
    #[case("<script>", None)]
    fn a_host_is_read(#[case] text: &str, #[case] expected: Option<&str>) {
        let host = Host::parse(text.as_bytes()).map(|host| host.to_string());
        assert_eq!(host.as_deref(), expected);
    }

    /// CONTRACT 1.
    #[test]
    fn a_host_has_a_length() {
        assert!(Host::parse("a".repeat(255).as_bytes()).is_some());
        assert!(Host::parse("a".repeat(256).as_bytes()).is_none());
    }

    /// CONTRACT 1: what only this machine reaches has this machine's names, and those of the setting; other
    /// servers have those of the setting, or any.
    #[test]
    fn a_server_has_its_hosts() {
        let admits = |named: &[&str], is_local, host: &str| {
            let named: Vec<_> = named.iter().map(ToString::to_string).collect();
            let hosts = Hosts::new(&named, is_local).expect("hosts");
            hosts.admit(&Host::parse(host.as_bytes()).expect("a host"))
        };
        for host in ["localhost", "LOCALHOST.:1", "127.0.0.1:8080", "127.0.0.2", "[::1]"] {
            assert!(admits(&[], true, host) && admits(&["a.example"], true, host), "{host}");
            assert!(!admits(&["a.example"], false, host), "{host}");
        }
        for host in ["a.example", "A.Example.:443", "192.0.2.1", "[::ffff:192.0.2.1]:80"] {
            assert!(!admits(&[], true, host) && admits(&[], false, host), "{host}");
            assert!(admits(&["a.example", "192.0.2.1"], true, host), "{host}");
            assert!(admits(&["A.EXAMPLE.", "192.0.2.1"], false, host), "{host}");
            assert!(!admits(&["b.a.example", "example"], false, host), "{host}");
        }
        for bad in ["", "*", "a.example:80", "https://a.example", "a/b"] {
            assert!(Hosts::new(&[bad.to_owned()], true).is_none(), "{bad}");
        }
    }
}
