//! A host as requests and settings name it: a name or an address, and perhaps a port (CONTRACT 1).
//!
//! Invariant: a host that parses can be put into a URL unchanged.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// The longest host name in bytes (RFC 1035 §2.3.4), with room for a final dot.
const NAME_BYTES: usize = 255;

/// A host, and the port if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<'a> {
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub(crate) name: &'a str,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Parses a host; `None` if the text is not one.
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

    /// Returns the same host, with this port if it has none.
    pub(crate) fn or_port(self, port: Option<u16>) -> Self {
        // A scheme implies its own port.
        let port = port.filter(|port| !matches!(port, 80 | 443));
        Self { port: self.port.or(port), ..self }
    }

    /// Returns whether it has this name, at any port.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        is_same(self.name, name)
    }

    /// Returns whether it names this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        match address(self.name) {
            Some(address) => address.is_loopback(),
            None => self.is_named("localhost"),
        }
    }

    /// Returns whether both are the same host under this scheme, whose default port may be left out.
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

/// Returns the address, if the name is one.
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
}
