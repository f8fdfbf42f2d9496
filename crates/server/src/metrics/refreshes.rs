//! The refreshes at each configured provider.
//!
//! Invariant: only providers of the configuration are counted, which do not change while the server runs.

use std::{collections::BTreeMap, time::Duration};

use provider::RefusalClass;
use store::{Counter, Distributed, Distribution};

/// Bounds of the times of refreshes, in microseconds.
const TIMES: &[u64] =
    &[50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000];

/// The outcome of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshEnd {
    /// The provider gave new tokens.
    Refreshed,
    /// The provider refused.
    Refused(RefusalClass),
    /// There was no answer.
    NoAnswer,
}

const NAMES: [&str; 9] = [
    "refreshed",
    "no_answer",
    "dead",
    "interaction",
    "client_blocked",
    "client_fault",
    "busy",
    "ambiguous",
    "other",
];

impl RefreshEnd {
    fn index(self) -> usize {
        match self {
            Self::Refreshed => 0,
            Self::NoAnswer => 1,
            Self::Refused(RefusalClass::Dead) => 2,
            Self::Refused(RefusalClass::Interaction) => 3,
            Self::Refused(RefusalClass::ClientBlocked) => 4,
            Self::Refused(RefusalClass::ClientFault) => 5,
            Self::Refused(RefusalClass::Busy) => 6,
            Self::Refused(RefusalClass::Ambiguous) => 7,
            Self::Refused(RefusalClass::Other) => 8,
        }
    }
}

/// The refreshes of this process, by the name of the provider.
pub(crate) struct Refreshes(BTreeMap<String, OfProvider>);

struct OfProvider {
    ends: [Counter; NAMES.len()],
    times: Distribution,
}

impl Refreshes {
    /// Creates the counters of these providers.
    pub(crate) fn new(providers: impl IntoIterator<Item = String>) -> Self {
        let of_provider =
            |name| (name, OfProvider { ends: Default::default(), times: Distribution::new(TIMES) });
        Self(providers.into_iter().map(of_provider).collect())
    }

    /// Counts a refresh.
    pub(crate) fn note(&self, provider: &str, end: RefreshEnd, time: Duration) {
        if let Some(provider) = self.0.get(provider) {
            provider.ends[end.index()].note();
            provider.times.note_time(time);
        }
    }

    /// Returns the number of refreshes of each provider and outcome.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &'static str, u64)> {
        self.0.iter().flat_map(|(name, provider)| {
            let ends = NAMES.into_iter().zip(provider.ends.iter().map(Counter::read));
            ends.map(move |(end, count)| (name.as_str(), end, count))
        })
    }

    /// Returns the times of refreshes of each provider.
    pub(crate) fn all_times(&self) -> impl Iterator<Item = (&str, Distributed)> {
        self.0.iter().map(|(name, provider)| (name.as_str(), provider.times.read()))
    }
}
