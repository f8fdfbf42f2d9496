//! `server.listen` and `metrics.listen`: the addresses to listen on.
//!
//! Invariant: a host name is looked up once, so that the address that is checked is the one that is listened on.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _},
};

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const EXPECTED: &str = "expected an address and a port, such as \"127.0.0.1:8080\", \"[::1]:8080\", \
                        \"localhost:8080\", or \":8080\" for every IPv4 address of this machine,";

/// Address and port, or a host's name and a port.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Listen {
    Address(SocketAddr),
    Host { name: String, port: u16 },
}

impl Listen {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let (name, port) = text.rsplit_once(':')?;
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_port| is_port)?;
        if name.is_empty() {
            return Some(Self::Address((Ipv4Addr::UNSPECIFIED, port).into()));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        // Digits and dots alone are an address that was mistyped.
        let is_name = name.bytes().any(|byte| byte.is_ascii_alphabetic());
        (is_name && name.bytes().all(is_plain)).then(|| Self::Host { name: name.to_owned(), port })
    }

    /// Reads the text of a setting.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        Self::parse(text).ok_or(EXPECTED)
    }

    /// The address to listen on: of a name, the first of IPv4, or else the first. `setting` names it in the error.
    ///
    /// # Errors
    /// The name is unknown.
    pub(crate) fn resolve(&self, setting: &str) -> anyhow::Result<SocketAddr> {
        let (name, port) = match self {
            Self::Address(address) => return Ok(*address),
            Self::Host { name, port } => (name.as_str(), *port),
        };
        let unknown = || {
            format!(
                "{setting} = \"{self}\": the name {name} has no address; check it, or set the \
                 address, such as \"127.0.0.1:{port}\""
            )
        };
        let found: Vec<SocketAddr> =
            (name, port).to_socket_addrs().with_context(unknown)?.collect();
        let ipv4 = found.iter().find(|address| address.is_ipv4());
        ipv4.or(found.first()).copied().ok_or_else(|| anyhow!(unknown()))
    }

    /// Whether it is known that only this machine reaches it.
    pub(crate) fn is_loopback(&self) -> bool {
        matches!(self, Self::Address(address) if address.ip().is_loopback())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).map_err(D::Error::custom)
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_read() {
        for (text, shown) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::1]:0", "[::1]:0"),
            (":8080", "0.0.0.0:8080"),
            ("localhost:8080", "localhost:8080"),
            ("db_1.example:80", "db_1.example:80"),
        ] {
            assert_eq!(Listen::parse(text).expect(text).to_string(), shown);
        }
        for text in [
            "",
            "8080",
            ":",
            "localhost",
            "localhost:",
            "localhost:70000",
            "localhost:+80",
            "::1:8080",
            "127.0.0:8080",
            "*:8080",
            "http://localhost:8080",
            "localhost:8080/api",
        ] {
            assert_eq!(Listen::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_is_not_known_to_be_of_this_machine_alone() {
        let listen = Listen::parse("localhost:8080").expect("a name");
        assert!(!listen.is_loopback());
        let address = listen.resolve("server.listen").expect("it is in every hosts file");
        assert!(Listen::Address(address).is_loopback());
        let unknown = Listen::parse("nowhere.invalid:1").expect("a name").resolve("server.listen");
        let error = unknown.expect_err("reserved").to_string();
        assert!(error.contains("the name nowhere.invalid has no address"), "{error}");
    }
}
