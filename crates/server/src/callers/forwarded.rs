//! What proxies write into the head of a request: `X-Forwarded-…`, and `Forwarded` (RFC 7239).
//!
//! Invariant: an item counts only if every proxy to the right of it, and the one that sent the request, is
//! trusted. Items are read from the right, as bytes, so that what a client wrote at the left changes none of
//! them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName};

use crate::{
    callers::proxy_trust::ProxyTrust,
    http::{hosts::Host, paths},
};

pub(crate) const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// The most bytes that a prefix may have.
const PREFIX_BYTES: usize = 256;

/// What proxies say of a request, as far as they are trusted and can be read.
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) host: Option<Host<'a>>,
    pub(crate) port: Option<u16>,
    pub(crate) is_https: Option<bool>,
}

/// A client's address, and how many trusted proxies are between.
struct Walk {
    address: IpAddr,
    proxies: usize,
}

/// Walks from the proxy that sent the request to the client, as far as proxies are trusted and what they wrote
/// can be read.
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

fn by_items(peer: IpAddr, proxy_trust: &ProxyTrust, headers: &HeaderMap) -> Walk {
    walk(peer, proxy_trust, from_right(headers, FOR).map(address))
}

fn by_elements(peer: IpAddr, proxy_trust: &ProxyTrust, headers: &HeaderMap) -> Walk {
    let before = from_right(headers, FORWARDED).map(|text| address(Element::parse(text)?.client?));
    walk(peer, proxy_trust, before)
}

/// The address of the client of a request that a trusted proxy sent. If both kinds of headers are there and
/// differ, one of them may be the client's own: then it is the proxy's address.
pub(crate) fn client(peer: IpAddr, proxy_trust: &ProxyTrust, headers: &HeaderMap) -> IpAddr {
    let by = |name, walk: fn(IpAddr, &ProxyTrust, &HeaderMap) -> Walk| {
        headers.contains_key(name).then(|| walk(peer, proxy_trust, headers).address)
    };
    agreed(by(FOR, by_items), by(FORWARDED, by_elements), PartialEq::eq).unwrap_or(peer)
}

/// What is said of a request that a trusted proxy sent.
pub(crate) fn said<'a>(peer: IpAddr, proxy_trust: &ProxyTrust, headers: &'a HeaderMap) -> Said<'a> {
    let proxies = by_items(peer, proxy_trust, headers).proxies;
    // What the outermost of the trusted proxies wrote; those behind it may have replaced it, not added to it.
    let item = |name| from_right(headers, name).take(proxies).last();
    let proxies = by_elements(peer, proxy_trust, headers).proxies;
    let elements = || from_right(headers, FORWARDED).take(proxies).map_while(Element::parse);
    let in_element = |part: fn(&Element<'a>) -> Option<&'a [u8]>| {
        elements().filter_map(|element| part(&element)).last()
    };
    let host = item(HOST).and_then(Host::parse);
    let other_host = in_element(|element| element.host).and_then(Host::parse);
    let is_https = item(PROTO).and_then(is_https);
    let other_is_https = in_element(|element| element.proto).and_then(self::is_https);
    Said {
        host: agreed(host, other_host, |host, other| host.is(other, true)),
        port: item(PORT).and_then(|port| str::from_utf8(port).ok()?.parse().ok()),
        is_https: agreed(is_https, other_is_https, PartialEq::eq),
    }
}

/// What trusted proxies took off the path, each its own part.
pub(crate) fn prefix(peer: IpAddr, proxy_trust: &ProxyTrust, headers: &HeaderMap) -> String {
    let proxies = by_items(peer, proxy_trust, headers).proxies;
    let parts = from_right(headers, PREFIX).take(proxies).map(|part| {
        let part = str::from_utf8(part).ok()?.trim_end_matches('/');
        paths::is_prefix(part).then_some(part)
    });
    let parts: Option<Vec<_>> = parts.collect();
    let prefix: String = parts.unwrap_or_default().into_iter().rev().collect();
    if prefix.len() <= PREFIX_BYTES { prefix } else { String::new() }
}

/// What both say, or the one that says something.
fn agreed<T>(one: Option<T>, other: Option<T>, is_same: impl FnOnce(&T, &T) -> bool) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => is_same(&one, &other).then_some(one),
        (one, other) => one.or(other),
    }
}

/// The items of a header, the last one first: over all its lines, with commas between that stand in no quotes.
fn from_right(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let lines: Vec<&[u8]> = headers.get_all(name).map(|line| line.as_bytes()).collect();
    lines.into_iter().rev().flat_map(|line| {
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
            let place = match name.to_ascii_lowercase().as_slice() {
                b"for" => &mut element.client,
                b"host" => &mut element.host,
                b"proto" => &mut element.proto,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        Some(element)
    }
}

/// A token, or what stands in quotes; there is nothing in an address or a host that needs an escape.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let inner = match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"")?,
        None => value,
    };
    (!inner.iter().any(|byte| matches!(byte, b'"' | b'\\'))).then_some(inner)
}

/// An address as proxies write it: alone, in brackets, or with a port.
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
    use actix_web::http::header::HeaderValue;
    use rstest::rstest;

    const PEER: &str = "10.0.0.1";

    fn head(lines: &[(HeaderName, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), HeaderValue::from_bytes(value).expect("a value"));
        }
        headers
    }

    fn ours() -> ProxyTrust {
        let trusted = vec!["10.0.0.0/8".parse().expect("a network")];
        ProxyTrust { trusted, behind_proxy: true }
    }

    fn client_of(lines: &[(HeaderName, &[u8])]) -> String {
        client(PEER.parse().expect("an address"), &ours(), &head(lines)).to_string()
    }

    /// CONTRACT 33: item by item from the right, over all lines; what cannot be read ends the walk.
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

    /// CONTRACT 33: a proxy writes one of the headers, and the other may come from the client.
    #[test]
    fn headers_that_differ_do_not_count() {
        let both = |forwarded_for: &'static [u8], forwarded: &'static [u8]| {
            client_of(&[(FOR, forwarded_for), (FORWARDED, forwarded)])
        };
        assert_eq!(both(b"192.0.2.1", b"for=192.0.2.1"), "192.0.2.1");
        assert_eq!(both(b"192.0.2.1", b"for=192.0.2.2"), PEER);
        assert_eq!(both(b"192.0.2.1", b"for=_hidden"), PEER);
    }

    fn said_of(lines: &[(HeaderName, &[u8])]) -> (Option<String>, Option<bool>) {
        let headers = head(lines);
        let said = said(PEER.parse().expect("an address"), &ours(), &headers);
        (said.host.map(|host| host.or_port(said.port).to_string()), said.is_https)
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
            assert_eq!(said_of(lines), expected, "{lines:?}");
        }
    }

    /// CONTRACT O6: what cannot begin a path here is ignored, above all what would name another host.
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
        let peer = PEER.parse().expect("an address");
        assert_eq!(prefix(peer, &ours(), &head(&[(PREFIX, line)])), expected);
        let twice = [(FOR, &b"192.0.2.1, 10.0.0.2"[..]), (PREFIX, b"/a, /b")];
        assert_eq!(prefix(peer, &ours(), &head(&twice)), "/a/b");
        let long = format!("/{}", "a".repeat(PREFIX_BYTES));
        assert_eq!(prefix(peer, &ours(), &head(&[(PREFIX, long.as_bytes())])), "");
    }
}
