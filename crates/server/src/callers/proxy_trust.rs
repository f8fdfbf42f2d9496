//! The address that a request comes from.
//!
//! Invariant: what a head says of its client is believed only as far as trusted proxies wrote it.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

use crate::callers::forwarded::{self, Said};

/// Which proxies are between the server and its clients.
#[derive(Clone, Debug)]
pub(crate) struct ProxyTrust {
    /// Those whose word counts.
    pub(crate) trusted: Vec<IpNet>,
    /// Whether clients come through one that may not be among them.
    pub(crate) behind_proxy: bool,
}

impl ProxyTrust {
    /// The client's address; `None` if only that of a proxy is known.
    pub(crate) fn address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer?.to_canonical();
        if self.trusted.is_empty() {
            return (!self.behind_proxy).then_some(peer);
        }
        Some(forwarded::client(peer, self, headers))
    }

    /// What trusted proxies say of a request.
    pub(crate) fn said<'a>(&self, peer: Option<IpAddr>, headers: &'a HeaderMap) -> Said<'a> {
        let proxy = self.trusted_peer(peer);
        proxy.map(|proxy| forwarded::said(proxy, self, headers)).unwrap_or_default()
    }

    /// What trusted proxies took off the path of a request; mostly nothing.
    pub(crate) fn prefix(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> String {
        let proxy = self.trusted_peer(peer);
        proxy.map(|proxy| forwarded::prefix(proxy, self, headers)).unwrap_or_default()
    }

    fn trusted_peer(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        peer.map(|peer| peer.to_canonical()).filter(|peer| self.trusts(*peer))
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// The network that one client has: an IPv4 address, or a /64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use rstest::rstest;

    /// CONTRACT 33: behind a proxy only when the proxy is trusted.
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
        let mut headers = HeaderMap::new();
        if let Some(addresses) = forwarded_for {
            headers.insert(forwarded::FOR, HeaderValue::from_str(addresses).expect("header"));
        }
        let address = ProxyTrust { trusted, behind_proxy }.address(peer.parse().ok(), &headers);
        assert_eq!(address.map(|address| address.to_string()).as_deref(), expected);
    }

    /// CONTRACT 33.
    #[test]
    fn an_address_of_ipv6_stands_for_its_network() {
        let network = |address: &str| network(address.parse().expect("address")).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
