//! Expiry of records, by age and by idle time.
//!
//! Invariant: a record without a limit lives until it is revoked. Expiry depends only on the record's row and these
//! limits.

use std::collections::HashMap;

/// How long after a written use further uses need no write, in microseconds: one hour.
pub(crate) const USE_COUNTS_FOR_US: i64 = 3_600_000_000;

/// How long a save can be repeated with its idempotency key, in microseconds (CONTRACT 42): one day.
pub(crate) const IDEMPOTENCY_KEY_LIFETIME_US: i64 = 24 * 60 * 60 * 1_000_000;

/// The expiry limits of a record, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpiryLimits {
    /// The maximum age.
    pub max_age_us: Option<i64>,
    /// The maximum idle time.
    pub max_idle_us: Option<i64>,
}

/// The expiry limits of all records, by provider.
#[derive(Clone, Debug, Default)]
pub struct ExpiryPolicy {
    /// Limits by exact provider name.
    pub by_provider: HashMap<String, ExpiryLimits>,
    /// Limits of all other providers.
    pub default: ExpiryLimits,
}

impl ExpiryPolicy {
    /// Returns the limits of a provider's records.
    pub(crate) fn of(&self, provider: &str) -> ExpiryLimits {
        self.by_provider.get(provider).copied().unwrap_or(self.default)
    }
}

impl ExpiryLimits {
    /// Returns the expiry of a record created at `now`, or `None` for never. Both are microseconds since 1970 UTC.
    pub(crate) fn expiry(self, now: i64) -> Option<i64> {
        self.earlier(now, now)
    }

    /// Returns the new expiry when a use is recorded at `now`, or `None` for never. Idle expiry is extended by
    /// `USE_COUNTS_FOR_US`, because uses in the next hour are not recorded. A record that is already older than the
    /// current limits keeps its expiry, because a use never ends a record.
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

    /// CONTRACT 40: idle expiry runs from the last use that the written use covers. New limits apply at the next use,
    /// but never expire the record at once.
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
