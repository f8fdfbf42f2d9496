//! The proxies whose word counts, and the network of a client.
//!
//! Invariant: no proxy is trusted unless the configuration names its address or its network.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::config::Server;

/// Which proxies are between the server and its clients.
#[derive(Clone, Debug)]
pub(crate) struct ProxyTrust {
    /// The proxies that are trusted.
    pub(crate) trusted: Vec<IpNet>,
    /// Whether clients come through a proxy, which may not be among them.
    pub(crate) behind_proxy: bool,
}

impl ProxyTrust {
    /// As the settings say.
    ///
    /// # Errors
    /// An item of `server.trusted_proxies` is no address, or there is none though a proxy is in front.
    pub(crate) fn new(config: &Server) -> anyhow::Result<Self> {
        Ok(Self { trusted: config.trusted_proxies()?, behind_proxy: config.behind_proxy })
    }

    /// The address that sent the request, if that is a trusted proxy.
    pub(super) fn trusted_peer(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        peer.map(|peer| peer.to_canonical()).filter(|peer| self.trusts(*peer))
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
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

    /// CONTRACT 33.
    #[test]
    fn an_address_of_ipv6_stands_for_its_network() {
        let network = |address: &str| network(address.parse().expect("address")).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
