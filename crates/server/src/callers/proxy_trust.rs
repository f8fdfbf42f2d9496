//! The trusted proxies, and the network of a client.
//!
//! Invariant: a proxy is trusted only if the configuration names its address or its network.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::Server;

/// The proxies between the server and its clients.
#[derive(Clone, Debug)]
pub(crate) struct ProxyTrust {
    /// The networks of the trusted proxies.
    pub(crate) trusted: Vec<IpNet>,
    /// Whether clients come through a proxy, which need not be a trusted one.
    pub(crate) behind_proxy: bool,
}

impl ProxyTrust {
    /// Reads the settings.
    ///
    /// # Errors
    /// An item of `server.trusted_proxies` is not an address or a network, or the list is empty although a proxy is
    /// configured.
    pub(crate) fn new(config: &Server) -> anyhow::Result<Self> {
        Ok(Self { trusted: config.trusted_proxies()?, behind_proxy: config.behind_proxy })
    }

    /// Returns the address that sent the request, if it belongs to a trusted proxy.
    pub(super) fn trusted_peer(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        peer.map(|peer| peer.to_canonical()).filter(|peer| self.trusts(*peer))
    }

    /// Returns whether the address that sent a request belongs to a trusted proxy.
    pub(crate) fn trusts_peer(&self, peer: Option<IpAddr>) -> bool {
        self.trusted_peer(peer).is_some()
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// Returns the network that one client has: an IPv4 address, or a /64 of IPv6.
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

    /// CONTRACT 33.
    #[test]
    fn an_address_of_ipv6_stands_for_its_network() {
        let network = |address: &str| network(address.parse().expect("address")).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
