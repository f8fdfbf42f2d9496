//! The open connections, and the choice of the one that is evicted for a new one.
//!
//! Invariant: a connection with a request in progress is never evicted. When room is needed, the client with the most
//! connections loses the one that has been idle longest.

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use ipnet::IpNet;
use tokio::sync::oneshot;
use tracing::warn;

use crate::callers::proxy_trust;

/// The minimum time between two log lines about evicted connections.
const REMINDER: Duration = Duration::from_secs(60);

/// The limits of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) total: usize,
    /// The limit per IPv4 address, or per /64 of IPv6. Trusted proxies have no such limit.
    pub(super) per_address: usize,
    /// The settings of the two, for the log.
    pub(super) settings: [&'static str; 2],
}

/// Numbers of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionFigures {
    pub(crate) open: u64,
    /// Those of the open ones that have no request.
    pub(crate) idle: u64,
    /// Closed for new ones.
    pub(crate) evicted: u64,
    /// Not admitted, because no other could be closed.
    pub(crate) refused: u64,
}

/// All connections of the process.
pub(super) struct Connections {
    bounds: Bounds,
    trusted: Vec<IpNet>,
    started: Instant,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    connections: HashMap<u64, Connection>,
    of_network: HashMap<IpAddr, usize>,
    /// The time of the last log line about missing room. `unreported` counts the cases since then.
    reported: Option<Instant>,
    unreported: u64,
    evicted: u64,
    refused: u64,
}

struct Connection {
    network: IpAddr,
    activity: Arc<Activity>,
    /// Dropped to close the connection.
    _close: oneshot::Sender<()>,
}

/// The state of a connection.
struct Activity {
    has_request: AtomicBool,
    /// The time of the last activity. Times are milliseconds since `Connections::started`.
    last: AtomicU64,
    /// The time at which the connection is closed unless the awaited action occurs. 0 if nothing is awaited.
    deadline: AtomicU64,
}

/// The right to be connected. Dropping it returns it.
pub(super) struct Place {
    connections: Arc<Connections>,
    id: u64,
    activity: Arc<Activity>,
    close: oneshot::Receiver<()>,
    is_closed: bool,
}

impl Connections {
    pub(super) fn new(bounds: Bounds, trusted: Vec<IpNet>) -> Self {
        Self { bounds, trusted, started: Instant::now(), open: Mutex::default() }
    }

    pub(super) fn total(&self) -> usize {
        self.bounds.total
    }

    /// Returns a place for a client of this address, or `None` if no connection can be evicted.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let network = proxy_trust::network(address);
        let mut open = self.lock();
        let is_trusted = self.trusted.iter().any(|trusted| trusted.contains(&address));
        if open.make_room(network, is_trusted, self.bounds).is_none() {
            open.refused += 1;
            return None;
        }
        let activity = Arc::new(Activity {
            has_request: AtomicBool::new(false),
            last: AtomicU64::new(self.milliseconds()),
            deadline: AtomicU64::new(0),
        });
        let (close, closed) = oneshot::channel();
        let id = open.next;
        open.next += 1;
        let connection = Connection { network, activity: Arc::clone(&activity), _close: close };
        open.connections.insert(id, connection);
        *open.of_network.entry(network).or_default() += 1;
        drop(open);
        Some(Place { connections: Arc::clone(self), id, activity, close: closed, is_closed: false })
    }

    pub(super) fn figures(&self) -> ConnectionFigures {
        let open = self.lock();
        let is_idle =
            |connection: &&Connection| !connection.activity.has_request.load(Ordering::Relaxed);
        ConnectionFigures {
            open: open.connections.len() as u64,
            idle: open.connections.values().filter(is_idle).count() as u64,
            evicted: open.evicted,
            refused: open.refused,
        }
    }

    /// Closes the connections whose deadline has passed.
    pub(super) fn close_late(&self) {
        let now = self.milliseconds();
        self.lock().close_all(|connection| {
            let deadline = connection.activity.deadline.load(Ordering::Relaxed);
            deadline != 0 && deadline <= now
        });
    }

    fn milliseconds(&self) -> u64 {
        milliseconds(self.started.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn count(&self, network: IpAddr) -> usize {
        self.of_network.get(&network).copied().unwrap_or_default()
    }

    /// Makes room for a connection of this network, by closing idle ones. Returns `None` if that is not possible.
    fn make_room(&mut self, network: IpAddr, is_trusted: bool, bounds: Bounds) -> Option<()> {
        if !is_trusted && self.count(network) >= bounds.per_address {
            self.report(bounds.settings[1]);
            self.close_idle_of(network)?;
        }
        if self.connections.len() >= bounds.total {
            self.report(bounds.settings[0]);
            self.close_idle()?;
        }
        Some(())
    }

    /// Closes an idle connection of the client with the most connections, or of any client if that one has no idle
    /// one.
    fn close_idle(&mut self) -> Option<()> {
        let (crowd, _) = self.of_network.iter().max_by_key(|(_, count)| **count)?;
        self.close_idle_of(*crowd).or_else(|| self.close_oldest(|_any| true))
    }

    fn close_idle_of(&mut self, network: IpAddr) -> Option<()> {
        self.close_oldest(|connection| connection.network == network)
    }

    /// Closes the connection that has been idle longest. Returns `None` if none is idle.
    fn close_oldest(&mut self, is_meant: impl Fn(&Connection) -> bool) -> Option<()> {
        let idle = self.connections.iter().filter(|(_, connection)| {
            is_meant(connection) && !connection.activity.has_request.load(Ordering::Relaxed)
        });
        let age = |(id, connection): &(&u64, &Connection)| {
            (connection.activity.last.load(Ordering::Relaxed), **id)
        };
        let id = *idle.min_by_key(age)?.0;
        self.remove(id);
        self.evicted += 1;
        Some(())
    }

    fn close_all(&mut self, is_meant: impl Fn(&Connection) -> bool) {
        let meant = self.connections.iter().filter(|(_, connection)| is_meant(connection));
        let ids: Vec<u64> = meant.map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.remove(id));
    }

    fn remove(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if let Some(count) = self.of_network.get_mut(&connection.network) {
            *count -= 1;
            if *count == 0 {
                self.of_network.remove(&connection.network);
            }
        }
    }

    /// Logs that there is no room, at most once per `REMINDER`.
    fn report(&mut self, setting: &'static str) {
        self.unreported += 1;
        if self.reported.is_none_or(|time| time.elapsed() > REMINDER) {
            let times = self.unreported;
            warn!(setting, times, "all connections are taken: idle ones are closed for new ones");
            (self.reported, self.unreported) = (Some(Instant::now()), 0);
        }
    }
}

impl Place {
    /// Waits until the registry closes the connection.
    pub(super) async fn closed(&mut self) {
        std::future::poll_fn(|context| self.poll_closed(context)).await;
    }

    /// Like `closed`, for polling.
    pub(super) fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_closed {
            let _dropped = ready!(Pin::new(&mut self.close).poll(context));
            self.is_closed = true;
        }
        Poll::Ready(())
    }

    /// Records an action of the client.
    pub(super) fn note_activity(&self) {
        self.activity.last.store(self.connections.milliseconds(), Ordering::Relaxed);
    }

    /// Records whether a request is in progress.
    pub(super) fn set_has_request(&self, has_request: bool) {
        self.activity.has_request.store(has_request, Ordering::Relaxed);
    }

    pub(super) fn has_request(&self) -> bool {
        self.activity.has_request.load(Ordering::Relaxed)
    }

    /// Closes the connection after this time, unless the deadline is changed before. `None` removes the deadline.
    pub(super) fn set_deadline(&self, within: Option<Duration>) {
        let deadline =
            within.map(|time| self.connections.milliseconds() + milliseconds(time).max(1));
        self.activity.deadline.store(deadline.unwrap_or(0), Ordering::Relaxed);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn connections(total: usize, per_address: usize) -> Arc<Connections> {
        let trusted = "10.0.0.1/32".parse().expect("a network");
        Arc::new(Connections::new(Bounds { total, per_address, settings: [""; 2] }, vec![trusted]))
    }

    fn admit(connections: &Arc<Connections>, address: &str) -> Option<Place> {
        connections.admit(address.parse().expect("an address"))
    }

    fn is_closed(place: &mut Place) -> bool {
        place.poll_closed(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_client_with_the_most_connections_makes_room() {
        let connections = connections(4, 4);
        let mut quiet = admit(&connections, "192.0.2.1").expect("room");
        let mut crowd: Vec<Place> =
            (0..3).map(|_| admit(&connections, "192.0.2.2").expect("room")).collect();
        let _next = admit(&connections, "192.0.2.3").expect("room is made");
        assert!(is_closed(&mut crowd[0]) && !is_closed(&mut crowd[1]) && !is_closed(&mut quiet));
    }

    #[test]
    fn an_address_has_a_bound_of_its_own_unless_it_is_a_trusted_proxy() {
        let connections = connections(10, 2);
        let mut places: Vec<Place> = ["2001:db8::1", "2001:db8::2", "2001:db8::3"]
            .map(|address| admit(&connections, address).expect("room"))
            .into();
        assert!(is_closed(&mut places[0]) && !is_closed(&mut places[1]));
        let mut proxied: Vec<Place> =
            (0..5).map(|_| admit(&connections, "10.0.0.1").expect("room")).collect();
        assert!(!proxied.iter_mut().any(is_closed));
    }

    #[test]
    fn what_has_a_request_makes_no_room_and_what_left_gives_its_place_back() {
        let connections = connections(2, 2);
        let busy = [(); 2].map(|()| admit(&connections, "192.0.2.1").expect("room"));
        busy.iter().for_each(|place| place.set_has_request(true));
        assert!(admit(&connections, "192.0.2.2").is_none());
        drop(busy);
        let _places = [(); 2].map(|()| admit(&connections, "192.0.2.2").expect("room"));
        assert!(connections.lock().of_network.len() == 1);
    }

    #[test]
    fn what_is_late_is_closed() {
        let connections = connections(2, 2);
        let [mut late, mut other] =
            [(); 2].map(|()| admit(&connections, "192.0.2.1").expect("room"));
        late.set_deadline(Some(Duration::ZERO));
        other.set_deadline(Some(Duration::ZERO));
        other.set_deadline(None);
        std::thread::sleep(Duration::from_millis(2));
        connections.close_late();
        assert!(is_closed(&mut late) && !is_closed(&mut other));
    }
}
