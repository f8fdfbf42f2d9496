//! The headers by which proxies describe a request: `X-Forwarded-…`, and `Forwarded` (RFC 7239).
//!
//! Invariant: an item counts only if the proxy that sent the request is trusted, and every proxy to the right of the
//! item as well. Items are read from the right, as bytes. So the items that a client wrote at the left change none of
//! them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::proxy_trust::ProxyTrust;
use crate::{config::is_path_prefix, host::Host};

/// The maximum length of a prefix, in bytes.
const PREFIX_BYTES: usize = 256;

/// The lines of each header by which proxies describe one request, in their order.
#[derive(Debug, Default)]
pub(crate) struct ForwardedHeaders<'a> {
    pub(crate) x_forwarded_for: Vec<&'a [u8]>,
    pub(crate) x_forwarded_host: Vec<&'a [u8]>,
    pub(crate) x_forwarded_proto: Vec<&'a [u8]>,
    pub(crate) x_forwarded_port: Vec<&'a [u8]>,
    pub(crate) x_forwarded_prefix: Vec<&'a [u8]>,
    pub(crate) forwarded: Vec<&'a [u8]>,
}

/// Scheme, host and port that the client requested, as far as trusted proxies report them in readable form.
#[derive(Debug, Default)]
pub(crate) struct ForwardedOrigin<'a> {
    pub(crate) host: Option<Host<'a>>,
    pub(crate) port: Option<u16>,
    pub(crate) is_https: Option<bool>,
}

/// A client's address, and the number of trusted proxies between it and the server.
struct Walk {
    address: IpAddr,
    proxies: usize,
}

/// Walks from the proxy that sent the request to the client. Stops at an untrusted address or at an unreadable item.
fn walk(
    peer: IpAddr,
    proxy_trust: &ProxyTrust,
    mut before: impl Iterator<Item = Option<IpAddr>>,
) -> Walk {
    let mut walk = Walk { address: peer, proxies: 0 };
    while proxy_trust.trusts(walk.address) {
        walk.proxies += 1;
        match before.next().flatten() {
            Some(before) => walk.address = before.to_canonical(),
            None => break,
        }
    }
    walk
}

impl<'a> ForwardedHeaders<'a> {
    /// Returns the client's address, or `None` if only the address of a proxy is known. If both kinds of headers are
    /// present and differ, one of them may come from the client. Then the result is the proxy's address.
    pub(crate) fn client_address(
        &self,
        peer: Option<IpAddr>,
        proxy_trust: &ProxyTrust,
    ) -> Option<IpAddr> {
        let peer = peer?.to_canonical();
        if proxy_trust.trusted.is_empty() {
            return (!proxy_trust.behind_proxy).then_some(peer);
        }
        let by_items =
            || (!self.x_forwarded_for.is_empty()).then(|| self.by_items(peer, proxy_trust).address);
        let by_elements =
            || (!self.forwarded.is_empty()).then(|| self.by_elements(peer, proxy_trust).address);
        Some(agreed(by_items(), by_elements(), PartialEq::eq).unwrap_or(peer))
    }

    /// Returns the origin that the client requested. It is empty unless a trusted proxy sent the request.
    pub(crate) fn origin(
        &self,
        peer: Option<IpAddr>,
        proxy_trust: &ProxyTrust,
    ) -> ForwardedOrigin<'a> {
        let Some(peer) = proxy_trust.trusted_peer(peer) else { return ForwardedOrigin::default() };
        let proxies = self.by_items(peer, proxy_trust).proxies;
        // The item of the outermost trusted proxy. The inner proxies may have replaced the list and not appended to
        // it.
        let item = |lines: &[&'a [u8]]| from_right(lines).take(proxies).last();
        let proxies = self.by_elements(peer, proxy_trust).proxies;
        let elements = || from_right(&self.forwarded).take(proxies).map_while(Element::parse);
        let in_element = |part: fn(&Element<'a>) -> Option<&'a [u8]>| {
            elements().filter_map(|element| part(&element)).last()
        };
        let host = item(&self.x_forwarded_host).and_then(Host::parse);
        let other_host = in_element(|element| element.host).and_then(Host::parse);
        let is_https = item(&self.x_forwarded_proto).and_then(is_https);
        let other_is_https = in_element(|element| element.proto).and_then(self::is_https);
        let port = item(&self.x_forwarded_port);
        ForwardedOrigin {
            host: agreed(host, other_host, |host, other| host.is(other, true)),
            port: port.and_then(|port| str::from_utf8(port).ok()?.parse().ok()),
            is_https: agreed(is_https, other_is_https, PartialEq::eq),
        }
    }

    /// Returns the part of the path that trusted proxies stripped, joined from one part per proxy. It is usually
    /// empty.
    pub(crate) fn prefix(&self, peer: Option<IpAddr>, proxy_trust: &ProxyTrust) -> String {
        let Some(peer) = proxy_trust.trusted_peer(peer) else { return String::new() };
        let proxies = self.by_items(peer, proxy_trust).proxies;
        let parts = from_right(&self.x_forwarded_prefix).take(proxies).map(|part| {
            let part = str::from_utf8(part).ok()?.trim_end_matches('/');
            is_path_prefix(part).then_some(part)
        });
        let parts: Option<Vec<_>> = parts.collect();
        let prefix: String = parts.unwrap_or_default().into_iter().rev().collect();
        if prefix.len() <= PREFIX_BYTES { prefix } else { String::new() }
    }

    fn by_items(&self, peer: IpAddr, proxy_trust: &ProxyTrust) -> Walk {
        walk(peer, proxy_trust, from_right(&self.x_forwarded_for).map(address))
    }

    fn by_elements(&self, peer: IpAddr, proxy_trust: &ProxyTrust) -> Walk {
        let elements = from_right(&self.forwarded);
        let before = elements.map(|text| address(Element::parse(text)?.client?));
        walk(peer, proxy_trust, before)
    }
}

/// Returns the value that both agree on, or that of the only one with a value.
fn agreed<T>(one: Option<T>, other: Option<T>, is_same: impl FnOnce(&T, &T) -> bool) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => is_same(&one, &other).then_some(one),
        (one, other) => one.or(other),
    }
}

/// Iterates over the items of a header, the last one first. Commas outside quotes separate items, and all lines count
/// as one list.
fn from_right<'a>(lines: &[&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    lines.iter().rev().flat_map(|line| {
        let mut is_quoted = false;
        let items = line.rsplit(move |byte| {
            is_quoted ^= *byte == b'"';
            *byte == b',' && !is_quoted
        });
        items.map(<[u8]>::trim_ascii)
    })
}

/// An element of `Forwarded`, written by one proxy.
#[derive(Default)]
struct Element<'a> {
    client: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    proto: Option<&'a [u8]>,
}

impl<'a> Element<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut element = Self::default();
        let mut is_quoted = false;
        let pairs = text.split(|byte| {
            is_quoted ^= *byte == b'"';
            *byte == b';' && !is_quoted
        });
        for pair in pairs.map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
            let value = unquoted(&value[1..])?;
            let part = match name.to_ascii_lowercase().as_slice() {
                b"for" => &mut element.client,
                b"host" => &mut element.host,
                b"proto" => &mut element.proto,
                _ => continue,
            };
            if part.replace(value).is_some() {
                return None;
            }
        }
        Some(element)
    }
}

/// Returns a token, or the text in quotes. Escapes are not supported, because addresses and hosts need none.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let inner = match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"")?,
        None => value,
    };
    (!inner.iter().any(|byte| matches!(byte, b'"' | b'\\'))).then_some(inner)
}

/// Parses an address as proxies write it: alone, in brackets, or with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let in_brackets =
        || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(|ip: Ipv6Addr| ip.into());
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse().ok().or_else(in_brackets).or_else(with_port)
}

fn is_https(scheme: &[u8]) -> Option<bool> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name.as_bytes());
    (is("https") || is("http")).then(|| is("https"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const PEER: &str = "10.0.0.1";

    const FOR: &str = "x-forwarded-for";
    const HOST: &str = "x-forwarded-host";
    const PROTO: &str = "x-forwarded-proto";
    const PORT: &str = "x-forwarded-port";
    const PREFIX: &str = "x-forwarded-prefix";
    const FORWARDED: &str = "forwarded";

    fn head<'a>(lines: &[(&str, &'a [u8])]) -> ForwardedHeaders<'a> {
        let lines = |name| {
            let lines = lines.iter().filter(|(header, _)| *header == name);
            lines.map(|(_, value)| *value).collect()
        };
        ForwardedHeaders {
            x_forwarded_for: lines(FOR),
            x_forwarded_host: lines(HOST),
            x_forwarded_proto: lines(PROTO),
            x_forwarded_port: lines(PORT),
            x_forwarded_prefix: lines(PREFIX),
            forwarded: lines(FORWARDED),
        }
    }

    fn ours() -> ProxyTrust {
        let trusted = vec!["10.0.0.0/8".parse().expect("a network")];
        ProxyTrust { trusted, behind_proxy: true }
    }

    fn client_of(lines: &[(&str, &[u8])]) -> String {
        let address = head(lines).client_address(PEER.parse().ok(), &ours());
        address.expect("an address").to_string()
    }

    /// CONTRACT 33: the address of a client behind a proxy counts only if the proxy is trusted.
    #[rstest]
    #[case::direct("", false, "192.0.2.1", None, Some("192.0.2.1"))]
    #[case::direct_and_forged("", false, "192.0.2.1", Some("10.9.9.9"), Some("192.0.2.1"))]
    #[case::untrusted_proxy("", true, "10.0.0.1", Some("192.0.2.1"), None)]
    #[case::trusted_proxy("10.0.0.0/8", true, "10.0.0.1", Some("192.0.2.1"), Some("192.0.2.1"))]
    #[case::mapped("10.0.0.0/8", true, "::ffff:10.0.0.1", Some("192.0.2.1"), Some("192.0.2.1"))]
    #[case::forged("10.0.0.0/8", true, "10.0.0.1", Some("1.1.1.1, 192.0.2.1"), Some("192.0.2.1"))]
    #[case::chain("10.0.0.0/8", true, "10.0.0.1", Some("192.0.2.1,10.0.0.2"), Some("192.0.2.1"))]
    #[case::all_trusted("10.0.0.0/8", true, "10.0.0.1", Some("10.0.0.3"), Some("10.0.0.3"))]
    #[case::nonsense("10.0.0.0/8", true, "10.0.0.1", Some("x"), Some("10.0.0.1"))]
    #[case::port("10.0.0.0/8", true, "10.0.0.1", Some("192.0.2.1:4711"), Some("192.0.2.1"))]
    #[case::brackets("10.0.0.0/8", true, "10.0.0.1", Some("[2001:db8::1]"), Some("2001:db8::1"))]
    #[case::both("10.0.0.0/8", true, "10.0.0.1", Some("[2001:db8::1]:443"), Some("2001:db8::1"))]
    #[case::other_peer("10.0.0.0/8", true, "192.0.2.9", Some("192.0.2.1"), Some("192.0.2.9"))]
    fn a_clients_address_is_what_trusted_proxies_say(
        #[case] trusted: &str,
        #[case] behind_proxy: bool,
        #[case] peer: &str,
        #[case] forwarded_for: Option<&str>,
        #[case] expected: Option<&str>,
    ) {
        let trusted = trusted.parse().ok().into_iter().collect();
        let lines = forwarded_for.map(|addresses| (FOR, addresses.as_bytes()));
        let headers = head(lines.as_slice());
        let proxy_trust = ProxyTrust { trusted, behind_proxy };
        let address = headers.client_address(peer.parse().ok(), &proxy_trust);
        assert_eq!(address.map(|address| address.to_string()).as_deref(), expected);
    }

    /// CONTRACT 33: items are read one by one from the right, over all lines. An unreadable item ends the walk.
    #[rstest]
    #[case(b"192.0.2.1", "192.0.2.1")]
    #[case(b"\xff, 192.0.2.1", "192.0.2.1")]
    #[case(b"\xff", PEER)]
    #[case(b"192.0.2.1, \xff", PEER)]
    #[case(b"\xff|192.0.2.1, 10.0.0.2", "192.0.2.1")]
    #[case(b"192.0.2.1|\xff, 10.0.0.2", "10.0.0.2")]
    #[case(b"192.0.2.1, , 10.0.0.2", "10.0.0.2")]
    #[case(b"\", 192.0.2.1", "192.0.2.1")]
    #[case(b"unknown, 10.0.0.2", "10.0.0.2")]
    #[case(b"[2001:db8::1]:443 ,10.0.0.2:80", "2001:db8::1")]
    #[case(b"", PEER)]
    fn items_are_read_from_the_right(#[case] lines: &[u8], #[case] expected: &str) {
        let lines = lines.split(|byte| *byte == b'|');
        let lines: Vec<_> = lines.map(|line| (FOR, line)).collect();
        assert_eq!(client_of(&lines), expected);
    }

    /// CONTRACT 33, RFC 7239 §4.
    #[rstest]
    #[case(b"for=192.0.2.1", "192.0.2.1")]
    #[case(b"For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1", "2001:db8::1")]
    #[case(b"for=\"[2001:db8::1]\" , for=10.0.0.2", "2001:db8::1")]
    #[case(b"for=\"192.0.2.1:80\"", "192.0.2.1")]
    #[case(b"for=\", for=192.0.2.1", "192.0.2.1")]
    #[case(b"\xff=\xff, for=192.0.2.1", "192.0.2.1")]
    #[case(b"for=192.0.2.1, for=unknown", PEER)]
    #[case(b"for=192.0.2.1, for=_hidden, for=10.0.0.2", "10.0.0.2")]
    #[case(b"for=192.0.2.1, proto=https", PEER)]
    #[case(b"for=192.0.2.1;for=192.0.2.2", PEER)]
    #[case(b"for=\"192.0.2.1", PEER)]
    #[case(b"for=\"192.0.2\\.1\"", PEER)]
    #[case(b"for", PEER)]
    #[case(b"", PEER)]
    fn elements_are_read_from_the_right(#[case] line: &[u8], #[case] expected: &str) {
        assert_eq!(client_of(&[(FORWARDED, line)]), expected);
    }

    /// CONTRACT 33: a proxy writes one of the two headers. The other may come from the client.
    #[test]
    fn headers_that_differ_do_not_count() {
        let both = |forwarded_for: &'static [u8], forwarded: &'static [u8]| {
            client_of(&[(FOR, forwarded_for), (FORWARDED, forwarded)])
        };
        assert_eq!(both(b"192.0.2.1", b"for=192.0.2.1"), "192.0.2.1");
        assert_eq!(both(b"192.0.2.1", b"for=192.0.2.2"), PEER);
        assert_eq!(both(b"192.0.2.1", b"for=_hidden"), PEER);
    }

    fn origin_of(lines: &[(&str, &[u8])]) -> (Option<String>, Option<bool>) {
        let origin = head(lines).origin(PEER.parse().ok(), &ours());
        (origin.host.map(|host| host.or_port(origin.port).to_string()), origin.is_https)
    }

    /// CONTRACT O6: host and scheme are those that the outermost trusted proxy writes.
    #[test]
    fn proxies_say_what_was_asked() {
        let host = |name: &str| Some(name.to_owned());
        for (lines, expected) in [
            (&[(HOST, &b"a.example"[..]), (PROTO, b"https")][..], (host("a.example"), Some(true))),
            (&[(HOST, b"forged.example, a.example")], (host("a.example"), None)),
            (&[(HOST, b"forged.example"), (HOST, b"a.example:1")], (host("a.example:1"), None)),
            (
                &[
                    (FOR, b"192.0.2.1, 10.0.0.2"),
                    (HOST, b"forged.example, a.example, inner"),
                    (PROTO, b"HTTPS, http"),
                ],
                (host("a.example"), Some(true)),
            ),
            (&[(FOR, b"192.0.2.1, 10.0.0.2"), (HOST, b"a.example")], (host("a.example"), None)),
            (&[(HOST, b"a.example"), (PORT, b"8443")], (host("a.example:8443"), None)),
            (&[(HOST, b"a.example"), (PORT, b"443")], (host("a.example"), None)),
            (&[(HOST, b"a.example:1"), (PORT, b"2")], (host("a.example:1"), None)),
            (&[(HOST, b"a.example"), (PORT, b"x")], (host("a.example"), None)),
            (&[(HOST, b"a b"), (PROTO, b"gopher")], (None, None)),
            (&[(HOST, b"\xff")], (None, None)),
            (
                &[(FORWARDED, b"for=10.0.0.2;host=\"a.example:1\";proto=https, for=10.0.0.3")],
                (host("a.example:1"), Some(true)),
            ),
            (
                &[(FORWARDED, b"host=forged, for=192.0.2.1;host=a.example")],
                (host("a.example"), None),
            ),
            (
                &[(HOST, b"a.example"), (FORWARDED, b"host=A.example:443")],
                (host("a.example"), None),
            ),
            (&[(HOST, b"a.example"), (FORWARDED, b"host=b.example")], (None, None)),
            (&[(PROTO, b"https"), (FORWARDED, b"proto=http")], (None, None)),
        ] {
            assert_eq!(origin_of(lines), expected, "{lines:?}");
        }
    }

    /// CONTRACT O6: a text that cannot begin a path here is ignored, above all one that would name another host.
    #[rstest]
    #[case(b"/tokens/", "/tokens")]
    #[case(b"/", "")]
    #[case(b"/forged, /tokens", "/tokens")]
    #[case(b"//evil.example", "")]
    #[case(b"https://evil.example", "")]
    #[case(b"/..", "")]
    #[case(b"/a b", "")]
    #[case(b"/\xff", "")]
    #[case(b"tokens", "")]
    fn a_prefix_is_read(#[case] line: &[u8], #[case] expected: &str) {
        let prefix = |lines: &[(&str, &[u8])]| head(lines).prefix(PEER.parse().ok(), &ours());
        assert_eq!(prefix(&[(PREFIX, line)]), expected);
        let twice = [(FOR, &b"192.0.2.1, 10.0.0.2"[..]), (PREFIX, b"/a, /b")];
        assert_eq!(prefix(&twice), "/a/b");
        let long = format!("/{}", "a".repeat(PREFIX_BYTES));
        assert_eq!(prefix(&[(PREFIX, long.as_bytes())]), "");
    }
}
