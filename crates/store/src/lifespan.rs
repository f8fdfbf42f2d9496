//! How long records live: by their age, and by how long they were not used.
//!
//! Invariant: a record without a limit lives until it is revoked, and when it expires never depends on
//! anything but its row and these limits.

use std::collections::HashMap;

/// How often the use of a record is written at most, in microseconds.
const HOUR: i64 = 3_600_000_000;
/// The part of the time that a record may be unused, in which its uses are written once at most.
const PART_OF_IDLE: i64 = 10;

/// The limits of a record's life, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifespan {
    /// How old it gets.
    pub at_most: Option<i64>,
    /// How long it lives unused.
    pub unused: Option<i64>,
}

/// The limits of all records: those of some providers, and of the others.
#[derive(Clone, Debug, Default)]
pub struct Lifespans {
    /// By the provider's name, exactly.
    pub of_providers: HashMap<String, Lifespan>,
    /// Of every other provider.
    pub of_others: Lifespan,
}

impl Lifespans {
    /// The limits of a provider's records.
    pub(crate) fn of(&self, provider: &str) -> Lifespan {
        self.of_providers.get(provider).copied().unwrap_or(self.of_others)
    }
}

impl Lifespan {
    /// When a record expires that was created and last used at these times; all are microseconds since
    /// 1970 UTC.
    pub(crate) fn expiry(self, created: i64, used: i64) -> Option<i64> {
        let at_most = self.at_most.map(|time| created.saturating_add(time));
        let unused = self.unused.map(|time| used.saturating_add(time));
        at_most.into_iter().chain(unused).min()
    }

    /// How long a use that was written stands for those after it.
    pub(crate) fn use_counts_for(self) -> i64 {
        self.unused.map_or(HOUR, |unused| (unused / PART_OF_IDLE).min(HOUR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONTRACT 40: the earlier limit counts.
    #[test]
    fn a_record_expires_by_its_age_or_unused() {
        let span = |at_most, unused| Lifespan { at_most, unused };
        assert_eq!(span(None, None).expiry(5, 7), None);
        assert_eq!(span(Some(10), None).expiry(5, 7), Some(15));
        assert_eq!(span(None, Some(3)).expiry(5, 7), Some(10));
        assert_eq!(span(Some(10), Some(3)).expiry(5, 7), Some(10));
        assert_eq!(span(Some(10), Some(3)).expiry(5, 14), Some(15));
        assert_eq!(span(Some(i64::MAX), None).expiry(5, 5), Some(i64::MAX));
    }

    #[test]
    fn uses_are_written_as_often_as_the_limit_needs() {
        let every = |unused| Lifespan { at_most: None, unused }.use_counts_for();
        assert_eq!(every(None), HOUR);
        assert_eq!(every(Some(HOUR)), HOUR / 10);
        assert_eq!(every(Some(1000 * HOUR)), HOUR);
    }

    #[test]
    fn a_provider_has_its_own_limits_or_those_of_all() {
        let own = Lifespan { at_most: Some(1), unused: None };
        let others = Lifespan { at_most: None, unused: Some(2) };
        let of_providers = HashMap::from([("et".to_owned(), own)]);
        let spans = Lifespans { of_providers, of_others: others };
        assert_eq!((spans.of("et"), spans.of("ET")), (own, others));
    }
}
