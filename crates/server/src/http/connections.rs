//! The connections of clients: how many there are, who makes room for whom, and what each may hold.
//!
//! Invariant: what a stranger can make the server keep is bounded: the number of connections, in all and by
//! address; of each connection one head, a few requests, and their answers until they are sent or given up.

mod registry;
mod stream;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::rt::{
    net::TcpStream,
    time::{interval, timeout},
};
use anyhow::bail;
use ipnet::IpNet;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use self::registry::{Bounds, Connections};
pub(crate) use self::stream::Stream;
use crate::config::{Limits, Server};

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that the system accepted and that wait to be admitted, or that are about to be closed.
const IN_PASSING: usize = 64;
/// Files that are open whatever clients do: the log, the database's own, pipes of the runtime.
const OTHER_FILES: usize = 64;
/// Files that each core's thread may have open: its poll, and a reader of the database with its log.
const FILES_PER_CORE: usize = 8;
/// With fewer there is no point in starting.
const FEWEST_CONNECTIONS: usize = 16;

/// What admits connections. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Acceptor {
    connections: Arc<Connections>,
    tls: Option<TlsAcceptor>,
    times: Times,
}

/// How long a client may take.
#[derive(Clone, Copy)]
struct Times {
    /// From the first byte of a head to its last. A body that is read late counts as one.
    head: Duration,
    /// From when an answer cannot be sent on until it is sent to its end.
    answer: Duration,
}

impl Acceptor {
    /// Admits as many connections as the settings say, or as the process has descriptors for.
    ///
    /// # Errors
    /// The process may open too few files.
    pub(crate) fn new(
        server: &Server,
        limits: &Limits,
        trusted: Vec<IpNet>,
        tls: Option<rustls::ServerConfig>,
    ) -> anyhow::Result<Self> {
        let bounds = Bounds {
            total: affordable(server.connections)?,
            per_address: server.connections_per_address,
        };
        Ok(Self {
            connections: Arc::new(Connections::new(bounds, trusted)),
            tls: tls.map(tls_acceptor),
            times: Times {
                // What follows a body looks like a head that has begun.
                head: Duration::from_secs(
                    limits.idle_seconds.max(limits.head_seconds + limits.body_seconds),
                ),
                answer: Duration::from_secs(limits.answer_seconds),
            },
        })
    }

    /// Closes connections whose clients take too long, until the server ends.
    pub(crate) fn watch(&self) {
        let connections = Arc::clone(&self.connections);
        actix_web::rt::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                connections.close_late();
            }
        });
    }

    /// How many connections each of the server's threads may have, some more than are admitted in all: past
    /// that none is accepted.
    pub(crate) fn most_per_worker(&self, workers: usize) -> usize {
        self.connections.total().div_ceil(workers) + IN_PASSING.div_ceil(workers)
    }

    /// Admits a connection, and does the TLS handshake if there is one.
    ///
    /// # Errors
    /// There is no room, the client made room for another, or the handshake failed; the connection is closed.
    pub(crate) async fn admit(&self, tcp: TcpStream) -> io::Result<(Stream, Option<SocketAddr>)> {
        let peer = tcp.peer_addr()?;
        let mut place =
            self.connections.admit(peer.ip()).ok_or(io::ErrorKind::ConnectionRefused)?;
        let Some(tls) = &self.tls else {
            return Ok((Stream::plain(tcp, place, self.times), Some(peer)));
        };
        let handshake = timeout(HANDSHAKE_TIMEOUT, tls.accept(tcp));
        let tls = tokio::select! {
            shaken = handshake => shaken.map_err(|_late| io::ErrorKind::TimedOut)?,
            () = place.closed() => Err(io::ErrorKind::ConnectionAborted.into()),
        };
        let tls = tls.inspect_err(|error| debug!(%error, "a TLS handshake failed"))?;
        Ok((Stream::tls(tls, place, self.times), Some(peer)))
    }
}

/// How many connections there may be, if `wanted` are.
fn affordable(wanted: usize) -> anyhow::Result<usize> {
    let Some(files) = raise_open_files() else { return Ok(wanted) };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let others = OTHER_FILES + FILES_PER_CORE * (cores + 2) + IN_PASSING;
    let affordable = files.saturating_sub(others);
    if affordable < FEWEST_CONNECTIONS.min(wanted) {
        bail!(
            "the process may open only {files} files, and needs {}: raise the limit (`ulimit -n`, \
             LimitNOFILE= of systemd)",
            others + FEWEST_CONNECTIONS
        );
    }
    if affordable < wanted {
        warn!(
            "server.connections = {wanted} is more than the {files} files that the process may open allow: \
             {affordable} connections are admitted; raise the limit (`ulimit -n`, LimitNOFILE= of systemd)"
        );
    }
    Ok(wanted.min(affordable))
}

/// Raises the number of files that the process may open as far as it may itself; `None` if nothing limits it.
#[cfg(target_os = "linux")]
fn raise_open_files() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_refused) => limit.current,
    };
    files.map(|files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// Elsewhere the limit is for the one who starts the server to see to.
#[cfg(not(target_os = "linux"))]
fn raise_open_files() -> Option<usize> {
    None
}

/// Speaks HTTP/1 alone. HTTP/2 is left out because the framework has no bounds for what a client can make it keep:
/// streams, resets, lists of headers.
fn tls_acceptor(mut config: rustls::ServerConfig) -> TlsAcceptor {
    config.alpn_protocols = vec![b"http/1.1".into(), b"http/1.0".into()];
    TlsAcceptor::from(Arc::new(config))
}
