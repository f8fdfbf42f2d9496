//! How long records live: by their age, and by how long they were not used.
//!
//! Invariant: a record without a limit lives until it is revoked, and when it expires never depends on
//! anything but its row and these limits.

use std::collections::HashMap;

/// How long a use that was written stands for those after it, in microseconds: an hour.
pub(crate) const USE_COUNTS_FOR_US: i64 = 3_600_000_000;

/// How long a save can be repeated, in microseconds (CONTRACT 42): a day.
pub(crate) const IDEMPOTENCY_KEY_LIFETIME_US: i64 = 24 * 60 * 60 * 1_000_000;

/// The limits of a record's life, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpiryLimits {
    /// How old it gets.
    pub max_age_us: Option<i64>,
    /// How long it lives unused.
    pub max_idle_us: Option<i64>,
}

/// The limits of all records: those of some providers, and of the others.
#[derive(Clone, Debug, Default)]
pub struct ExpiryPolicy {
    /// By the provider's name, exactly.
    pub by_provider: HashMap<String, ExpiryLimits>,
    /// Of every other provider.
    pub default: ExpiryLimits,
}

impl ExpiryPolicy {
    /// The limits of a provider's records.
    pub(crate) fn of(&self, provider: &str) -> ExpiryLimits {
        self.by_provider.get(provider).copied().unwrap_or(self.default)
    }
}

impl ExpiryLimits {
    /// When a record expires that is created now; both are microseconds since 1970 UTC.
    pub(crate) fn expiry(self, now: i64) -> Option<i64> {
        self.earlier(now, now)
    }

    /// When a record expires whose use now is written, so that those that it stands for are not cut short:
    /// `None` for never. What it has now stays if it is older than these limits allow: they are of later than
    /// its save, and no use of a record ends it.
    pub(crate) fn expiry_when_used(
        self,
        created: i64,
        now: i64,
        expires: Option<i64>,
    ) -> Option<i64> {
        let is_too_old = self.max_age_us.is_some_and(|time| created.saturating_add(time) <= now);
        let used = now.saturating_add(USE_COUNTS_FOR_US);
        if is_too_old { expires } else { self.earlier(created, used) }
    }

    fn earlier(self, created: i64, used: i64) -> Option<i64> {
        let max_age_us = self.max_age_us.map(|time| created.saturating_add(time));
        let max_idle_us = self.max_idle_us.map(|time| used.saturating_add(time));
        max_age_us.into_iter().chain(max_idle_us).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(max_age_us: Option<i64>, max_idle_us: Option<i64>) -> ExpiryLimits {
        ExpiryLimits { max_age_us, max_idle_us }
    }

    /// CONTRACT 40: the earlier limit counts.
    #[test]
    fn a_record_expires_by_its_age_or_unused() {
        assert_eq!(span(None, None).expiry(5), None);
        assert_eq!(span(Some(10), None).expiry(5), Some(15));
        assert_eq!(span(None, Some(3)).expiry(5), Some(8));
        assert_eq!(span(Some(10), Some(3)).expiry(5), Some(8));
        assert_eq!(span(Some(i64::MAX), None).expiry(5), Some(i64::MAX));
    }

    /// CONTRACT 40: from the last of the uses that are written as one; by the limits of that time, but never
    /// at once.
    #[test]
    fn a_use_sets_the_end_by_the_limits_of_its_time() {
        const HOUR: i64 = USE_COUNTS_FOR_US;
        for (limits, created, expires, expected) in [
            (span(None, Some(3 * HOUR)), 0, Some(2 * HOUR), Some(5 * HOUR)),
            (span(Some(4 * HOUR), Some(3 * HOUR)), 0, Some(2 * HOUR), Some(4 * HOUR)),
            (span(Some(4 * HOUR), None), 0, None, Some(4 * HOUR)),
            (span(None, None), 0, Some(2 * HOUR), None),
            (span(Some(HOUR), Some(3 * HOUR)), 0, Some(2 * HOUR), Some(2 * HOUR)),
            (span(Some(HOUR), Some(3 * HOUR)), 0, None, None),
            (span(Some(HOUR), Some(3 * HOUR)), 1, None, Some(HOUR + 1)),
        ] {
            let found = limits.expiry_when_used(created, HOUR, expires);
            assert_eq!(found, expected, "{limits:?} {created} {expires:?}");
        }
    }

    #[test]
    fn a_provider_has_its_own_limits_or_those_of_all() {
        let own = ExpiryLimits { max_age_us: Some(1), max_idle_us: None };
        let others = ExpiryLimits { max_age_us: None, max_idle_us: Some(2) };
        let by_provider = HashMap::from([("et".to_owned(), own)]);
        let spans = ExpiryPolicy { by_provider, default: others };
        assert_eq!((spans.of("et"), spans.of("ET")), (own, others));
    }
}
