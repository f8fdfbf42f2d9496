//! The requests that were answered, and those under way.
//!
//! Invariant: a request is counted once, under its route, whether it is answered or fails.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use store::{Counter, Distribution};

/// The methods that have counters of their own. The last stands for every other one, because a client chooses its text.
pub(crate) const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "(other)"];
/// The classes of a status.
pub(crate) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Bounds of the times of requests, in microseconds.
const TIMES: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// The cause of a status 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    Overloaded,
    Database,
    DiskFull,
    DatabaseReplaced,
    Stopping,
    KeyMissing,
    KeyUsedUp,
    IssuerKeys,
    GrantsPaused,
    GrantBusy,
    GrantFailing,
    GrantUnsaved,
    Audit,
    Other,
}

impl Unavailable {
    /// All causes, in the order of their declaration.
    pub(crate) const ALL: [Self; 14] = [
        Self::Overloaded,
        Self::Database,
        Self::DiskFull,
        Self::DatabaseReplaced,
        Self::Stopping,
        Self::KeyMissing,
        Self::KeyUsedUp,
        Self::IssuerKeys,
        Self::GrantsPaused,
        Self::GrantBusy,
        Self::GrantFailing,
        Self::GrantUnsaved,
        Self::Audit,
        Self::Other,
    ];

    /// Returns the value of the label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Database => "database",
            Self::DiskFull => "disk_full",
            Self::DatabaseReplaced => "database_replaced",
            Self::Stopping => "stopping",
            Self::KeyMissing => "key_missing",
            Self::KeyUsedUp => "key_used_up",
            Self::IssuerKeys => "issuer_keys",
            Self::GrantsPaused => "grants_paused",
            Self::GrantBusy => "grant_busy",
            Self::GrantFailing => "grant_failing",
            Self::GrantUnsaved => "grant_unsaved",
            Self::Audit => "audit",
            Self::Other => "other",
        }
    }
}

/// All requests.
pub(crate) struct Calls {
    /// By the number of the route. The last one is for requests without a route.
    routes: Box<[RouteCalls]>,
    under_way: AtomicU64,
    unavailable: [Counter; Unavailable::ALL.len()],
}

/// The requests of a route, by the numbers of their methods.
struct RouteCalls {
    /// And by the class of the status.
    answered: [[Counter; CLASSES.len()]; METHODS.len()],
    times: [Distribution; METHODS.len()],
}

/// A request under way, until it is dropped.
pub(crate) struct UnderWay<'a>(&'a Calls);

impl Calls {
    /// Creates the counters of this number of routes.
    pub(crate) fn new(routes: usize) -> Self {
        let route = || RouteCalls {
            answered: Default::default(),
            times: std::array::from_fn(|_| Distribution::new(TIMES)),
        };
        Self {
            routes: std::iter::repeat_with(route).take(routes + 1).collect(),
            under_way: AtomicU64::default(),
            unavailable: Default::default(),
        }
    }

    /// Counts a request that begins.
    pub(crate) fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Relaxed);
        UnderWay(self)
    }

    /// Counts an answer. `route` is the number of the route, if the request has one.
    pub(crate) fn answered(&self, route: Option<usize>, method: &str, status: u16, time: Duration) {
        let none = self.routes.len() - 1;
        let route = &self.routes[route.unwrap_or(none).min(none)];
        let other = METHODS.len() - 1;
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(other);
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        route.answered[method][class].note();
        route.times[method].note_time(time);
    }

    /// Counts an answer with status 503.
    pub(crate) fn unavailable(&self, cause: Unavailable) {
        self.unavailable[cause as usize].note();
    }

    /// Returns the number of requests under way.
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way.load(Relaxed)
    }

    /// Returns the numbers of answers that are not 0: number of the route, method, class of the status.
    pub(crate) fn all_answered(
        &self,
    ) -> impl Iterator<Item = (usize, &'static str, &'static str, u64)> {
        let of_route = |(route, calls): (usize, &RouteCalls)| {
            let of_method = move |method: usize| {
                CLASSES
                    .into_iter()
                    .zip(&calls.answered[method])
                    .map(move |(class, counter)| (route, METHODS[method], class, counter.read()))
            };
            (0..METHODS.len())
                .flat_map(of_method)
                .filter(|(.., count)| *count > 0)
                .collect::<Vec<_>>()
        };
        self.routes.iter().enumerate().flat_map(of_route)
    }

    /// Returns the times of answers, with the number of the route and the method, if there are any.
    pub(crate) fn all_times(
        &self,
    ) -> impl Iterator<Item = (usize, &'static str, store::Distributed)> {
        self.routes.iter().enumerate().flat_map(|(route, calls)| {
            let times = METHODS.into_iter().zip(calls.times.iter().map(Distribution::read));
            times
                .filter(|(_, times)| times.counts.iter().any(|count| *count > 0))
                .map(move |(method, times)| (route, method, times))
        })
    }

    /// Returns the number of answers with status 503 of each cause.
    pub(crate) fn all_unavailable(&self) -> impl Iterator<Item = (Unavailable, u64)> {
        Unavailable::ALL.into_iter().zip(self.unavailable.iter().map(Counter::read))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_counted_in_the_order_of_their_declaration() {
        for (index, cause) in Unavailable::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
        }
    }

    #[test]
    fn a_request_without_a_route_and_with_a_method_of_its_own_is_counted() {
        let calls = Calls::new(2);
        let under_way = calls.begin();
        calls.answered(None, "BREW", 418, Duration::from_millis(1));
        calls.answered(Some(1), "GET", 200, Duration::ZERO);
        assert_eq!(calls.under_way(), 1);
        drop(under_way);
        assert_eq!(calls.under_way(), 0);
        let answered: Vec<_> = calls.all_answered().collect();
        assert_eq!(answered, [(1, "GET", "2xx", 1), (2, "(other)", "4xx", 1)]);
    }
}
