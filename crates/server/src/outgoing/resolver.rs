//! Looks up hosts, and returns only permitted addresses.
//!
//! Invariant: the client connects to exactly the addresses that were checked, because the connector gets them and looks
//! nothing up. An address that a URL has in place of a name is checked as well. The number of look-ups is bounded, even
//! if they hang.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread, vec,
};

use ureq::{
    Error,
    config::Config,
    http::{Uri, uri::Scheme},
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

use super::{Refused, addresses, before_sending};
use crate::config::url;

/// The maximum number of look-ups under way. One that hangs is abandoned with its thread until the system ends it.
const MOST_LOOKUPS: usize = 64;
/// The maximum number of addresses that are tried for a host; the connector accepts no more.
const MOST_ADDRESSES: usize = 16;

/// A resolver with the rules of a client.
#[derive(Clone, Debug)]
pub(super) struct CheckedResolver {
    pub(super) allow_private_addresses: bool,
    /// Host and port of the egress proxy, which the operator chose.
    pub(super) proxy: Option<(String, u16)>,
    /// The number of look-ups under way.
    pub(super) lookups: Arc<AtomicUsize>,
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        self.permitted(uri, timeout).map_err(before_sending)
    }
}

impl CheckedResolver {
    fn permitted(&self, uri: &Uri, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let (host, port) = (url::host(uri), url::port(uri));
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)].into_iter(),
            Err(_name) => self.look_up(host, port, timeout)?,
        };
        let is_permitted = |found: &SocketAddr| {
            let is_proxy = self
                .proxy
                .as_ref()
                .is_some_and(|proxy| (proxy.0.as_str(), proxy.1) == (host, port));
            is_proxy || self.allows(uri, found.ip())
        };
        let mut permitted = self.empty();
        let mut was_refused = false;
        for address in found {
            if !is_permitted(&address) {
                was_refused = true;
            } else if permitted.len() < MOST_ADDRESSES {
                permitted.push(address);
            }
        }
        match (permitted.is_empty(), was_refused) {
            (false, _) => Ok(permitted),
            (true, true) => Err(Error::Other(Box::new(Refused))),
            (true, false) => Err(Error::HostNotFound),
        }
    }

    /// Returns whether a connection for this URL may go to the address. Connections without TLS stay on this machine.
    pub(super) fn allows(&self, uri: &Uri, address: IpAddr) -> bool {
        if uri.scheme() == Some(&Scheme::HTTPS) {
            self.allow_private_addresses || addresses::is_public(address)
        } else {
            addresses::is_loopback(address)
        }
    }

    fn look_up(
        &self,
        host: &str,
        port: u16,
        timeout: NextTimeout,
    ) -> Result<vec::IntoIter<SocketAddr>, Error> {
        let lookup = Lookup::begin(&self.lookups)?;
        let (done, outcome) = mpsc::sync_channel(1);
        let host = host.to_owned();
        thread::Builder::new().name("latchkey-lookup".to_owned()).spawn(move || {
            let _ = done.send((host.as_str(), port).to_socket_addrs());
            drop(lookup);
        })?;
        let found = outcome.recv_timeout(*timeout.after);
        Ok(found.map_err(|_none| Error::Timeout(timeout.reason))??)
    }
}

/// One look-up that is under way.
struct Lookup(Arc<AtomicUsize>);

impl Lookup {
    fn begin(lookups: &Arc<AtomicUsize>) -> io::Result<Self> {
        let begun = Self(Arc::clone(lookups));
        if lookups.fetch_add(1, Ordering::Relaxed) >= MOST_LOOKUPS {
            return Err(io::Error::other("too many lookups of names are under way"));
        }
        Ok(begun)
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hanging_lookups_have_a_bound() {
        let lookups = Arc::default();
        let begun: Vec<_> = (0..MOST_LOOKUPS).map(|_| Lookup::begin(&lookups)).collect();
        assert!(begun.iter().all(Result::is_ok));
        assert!(Lookup::begin(&lookups).is_err());
        assert!(Lookup::begin(&lookups).is_err(), "a refusal takes no place");
        drop(begun);
        assert!(Lookup::begin(&lookups).is_ok());
    }
}
