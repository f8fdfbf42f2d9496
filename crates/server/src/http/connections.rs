//! The connections of clients: their number, the eviction of idle ones, and the bounds of each.
//!
//! Invariant: the memory that an unknown client can make the server keep is bounded. Connections are limited in total
//! and per address. Each keeps one head, a few requests, and their answers until they are sent or abandoned.

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

pub(crate) use self::registry::ConnectionFigures;
use self::registry::{Bounds, Connections};
pub(crate) use self::stream::Stream;
use crate::config::{Limits, Server};

/// The timeout of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that the system has accepted but that are not admitted yet, or that are about to be closed.
const IN_PASSING: usize = 64;
/// Files that are open regardless of clients: the log, those of the database, pipes of the runtime, the connections of
/// `metrics.listen`.
const OTHER_FILES: usize = 96;
/// Files that the thread of each core may have open: its poll, and a reader of the database with its log.
const FILES_PER_CORE: usize = 8;
/// The minimum number of connections. The process does not start if it can have only fewer.
const FEWEST_CONNECTIONS: usize = 16;

/// Admits connections. Cheap to clone; all clones share the same connections.
#[derive(Clone)]
pub(crate) struct Acceptor {
    connections: Arc<Connections>,
    tls: Option<TlsAcceptor>,
    times: Times,
}

/// The timeouts of a client.
#[derive(Clone, Copy)]
struct Times {
    /// From the first byte of a head to its last. A body that is read late counts as a head.
    head: Duration,
    /// From the moment an answer is blocked until it is sent completely.
    answer: Duration,
}

impl Acceptor {
    /// Creates an acceptor for the configured number of connections, or for as many as there are file descriptors.
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
            settings: ["server.connections", "server.connections_per_address"],
        };
        Ok(Self {
            connections: Arc::new(Connections::new(bounds, trusted)),
            tls: tls.map(tls_acceptor),
            times: Times {
                // The bytes after a body look like the start of a head.
                head: Duration::from_secs(
                    limits.idle_seconds.max(limits.head_seconds + limits.body_seconds),
                ),
                answer: Duration::from_secs(limits.answer_seconds),
            },
        })
    }

    /// Creates an acceptor of this number of plain connections, whose clients get `deadline` to send a head and to
    /// receive an answer.
    pub(crate) fn plain(total: usize, deadline: Duration) -> Self {
        let bounds = Bounds { total, per_address: total, settings: ["metrics.listen"; 2] };
        let times = Times { head: deadline, answer: deadline };
        Self { connections: Arc::new(Connections::new(bounds, Vec::new())), tls: None, times }
    }

    /// Returns the connections as they are now.
    pub(crate) fn figures(&self) -> ConnectionFigures {
        self.connections.figures()
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

    /// Returns the maximum number of connections per thread of the server. The sum is a little above the limit of
    /// admitted connections. Above it no connection is accepted.
    pub(crate) fn most_per_worker(&self, workers: usize) -> usize {
        self.connections.total().div_ceil(workers) + IN_PASSING.div_ceil(workers)
    }

    /// Admits a connection, and does the TLS handshake if TLS is configured.
    ///
    /// # Errors
    /// There is no room, the connection was evicted for another one, or the handshake failed. The connection is
    /// closed.
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

/// Returns the possible number of connections, at most `wanted`.
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

/// Raises the limit of open files to the maximum that the process may set. Returns `None` if there is no limit.
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

/// On other systems the operator sets the limit.
#[cfg(not(target_os = "linux"))]
fn raise_open_files() -> Option<usize> {
    None
}

/// Creates an acceptor that offers only HTTP/1. HTTP/2 is disabled because the framework does not bound the memory
/// that a client can use by streams, resets and header lists.
fn tls_acceptor(mut config: rustls::ServerConfig) -> TlsAcceptor {
    config.alpn_protocols = vec![b"http/1.1".into(), b"http/1.0".into()];
    TlsAcceptor::from(Arc::new(config))
}
