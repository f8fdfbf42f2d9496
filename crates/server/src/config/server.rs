//! `server`: the listener, and the proxies in front of it.
//!
//! Invariant: a proxy with unknown addresses is refused, because otherwise all clients would seem to be one.

use std::path::PathBuf;

use anyhow::bail;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    at_least_1,
    list::{List, networks},
    listen::Listen,
};

/// The longest drain, in seconds.
const DRAIN_AT_MOST: u64 = 3600;

/// The listener.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: Listen,
    path_prefix: String,
    pub(crate) behind_proxy: bool,
    trusted_proxies: List,
    pub(crate) hosts: List,
    pub(crate) cors_origins: List,
    pub(crate) connections: usize,
    pub(crate) connections_per_address: usize,
    pub(crate) tls: Option<Tls>,
    pub(crate) tls_reload_seconds: u64,
    pub(crate) drain_seconds: u64,
}

/// PEM files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Server {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        at_least_1("server.connections", self.connections as u64)?;
        at_least_1("server.connections_per_address", self.connections_per_address as u64)?;
        at_least_1("server.tls_reload_seconds", self.tls_reload_seconds)?;
        if self.drain_seconds > DRAIN_AT_MOST {
            bail!("server.drain_seconds must be at most {DRAIN_AT_MOST}");
        }
        Ok(())
    }

    /// The prefix of every path: empty, or a slash and one name or more.
    ///
    /// # Errors
    /// The prefix is not valid in a path.
    pub(crate) fn path_prefix(&self) -> anyhow::Result<&str> {
        let prefix = self.path_prefix.trim_end_matches('/');
        if !is_path_prefix(prefix) {
            bail!(
                "server.path_prefix must be empty or like \"/SuperOffice\": a slash before each \
                 name, of letters, digits, `-`, `_`, `.` and `~`"
            );
        }
        Ok(prefix)
    }

    /// The networks of the proxies that are trusted.
    ///
    /// # Errors
    /// An item of `server.trusted_proxies` is not an address, or the list is empty with `server.behind_proxy`.
    pub(crate) fn trusted_proxies(&self) -> anyhow::Result<Vec<IpNet>> {
        let trusted = networks(&self.trusted_proxies, "server.trusted_proxies")?;
        if self.behind_proxy && trusted.is_empty() {
            bail!(
                "server.behind_proxy needs server.trusted_proxies, the addresses of the proxy, such as \
                 [\"127.0.0.1\"] or [\"10.0.0.0/8\"]: otherwise all clients seem to have the proxy's \
                 address, and wrong passwords of one client lock users out everywhere"
            );
        }
        Ok(trusted)
    }

    /// Whether other machines can reach the server: by its address, or through a proxy.
    pub(crate) fn is_exposed(&self) -> bool {
        self.behind_proxy || !self.listen.is_loopback()
    }

    /// Refuses a listener on which credentials would travel in the clear.
    pub(crate) fn refuse_plain_exposure(&self) -> anyhow::Result<()> {
        if self.is_exposed() && self.tls.is_none() && !self.behind_proxy {
            bail!(
                "server.listen = \"{}\" can be reached from other machines, and passwords and \
                 tokens would travel in the clear; set server.tls, or server.behind_proxy = true \
                 if a proxy ends TLS, or listen on 127.0.0.1",
                self.listen
            );
        }
        Ok(())
    }
}

/// Whether the text may be the prefix of every path: empty, or names of plain characters with a slash before each.
pub(crate) fn is_path_prefix(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let has_names = text.split('/').skip(1).all(|name| !name.trim_matches('.').is_empty());
    (text.is_empty() || text.starts_with('/')) && has_names && text.bytes().all(is_plain)
}
