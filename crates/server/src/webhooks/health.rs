//! The health of a receiver: whether it takes events, and when the next one is sent.
//!
//! Invariant: while a receiver fails, one event is sent to it after each pause, until it confirms one.

use std::time::{Duration, Instant};

use super::with_jitter;

/// The pause after a failure: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The pause of a receiver; the longest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pause {
    /// Twice as long as the one before.
    Usual,
    /// As long as the receiver asked for.
    Of(Duration),
    /// The receiver wants no more events.
    UntilReload,
}

/// The state of a receiver.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// The number of failures since the last confirmed event.
    failures: u32,
    next: Option<Instant>,
    is_gone: bool,
}

impl Health {
    /// Returns the number of events that may be sent now; `None` is none.
    pub(super) fn limit(&self, now: Instant, concurrent: usize) -> Option<usize> {
        if self.is_gone || self.next.is_some_and(|next| next > now) {
            return None;
        }
        Some(if self.failures > 0 { 1 } else { concurrent })
    }

    /// Records a failure, and returns whether it is the first one, and how long nothing is sent.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        pause: Pause,
        took_some: bool,
    ) -> (bool, Duration) {
        let has_begun = self.failures == 0;
        self.failures = if took_some { 1 } else { self.failures.saturating_add(1) };
        let (first, most) = PAUSES;
        let usual = first.saturating_mul(1 << (self.failures - 1).min(16)).min(most);
        self.is_gone = pause == Pause::UntilReload;
        let pause = match pause {
            Pause::Of(wanted) => wanted.max(usual),
            Pause::Usual | Pause::UntilReload => usual,
        };
        let pause = with_jitter(pause);
        self.next = Some(now + pause);
        (has_begun, pause)
    }

    /// Records a success, and returns the number of failures before it, if there were any.
    pub(super) fn succeeded(&mut self) -> Option<u32> {
        self.next = None;
        let failures = std::mem::take(&mut self.failures);
        (failures > 0).then_some(failures)
    }

    /// Resumes a receiver that wanted no more events.
    pub(super) fn come_back(&mut self) {
        if std::mem::take(&mut self.is_gone) {
            self.next = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// CONTRACT 68: the pause is 72 seconds at most.
    #[test]
    fn a_receiver_that_fails_is_sent_one_event_after_each_pause() {
        let begun = Instant::now();
        let mut health = Health::default();
        assert_eq!(health.limit(begun, 8), Some(8));
        assert!(health.failed(begun, Pause::Usual, false).0);
        assert_eq!(health.limit(begun, 8), None);
        assert_eq!(health.limit(begun + 2 * SECOND, 8), Some(1));
        for _ in 0..40 {
            assert!(!health.failed(begun, Pause::Usual, false).0);
        }
        assert_eq!(health.limit(begun + 59 * SECOND, 8), None);
        assert_eq!(health.limit(begun + 73 * SECOND, 8), Some(1));
        assert_eq!(health.succeeded(), Some(41));
        assert_eq!(health.limit(begun, 8), Some(8));
        assert_eq!(health.succeeded(), None);
    }

    /// One event that the receiver cannot take is no outage.
    #[test]
    fn a_receiver_that_takes_others_is_left_alone_for_a_short_time() {
        let begun = Instant::now();
        let mut health = Health::default();
        for _ in 0..10 {
            health.failed(begun, Pause::Usual, true);
        }
        assert_eq!(health.limit(begun + 2 * SECOND, 8), Some(1));
    }

    #[test]
    fn a_receiver_says_for_how_long_it_is_left_alone() {
        let begun = Instant::now();
        let mut health = Health::default();
        health.failed(begun, Pause::Of(600 * SECOND), false);
        assert_eq!(health.limit(begun + 599 * SECOND, 8), None);
        assert_eq!(health.limit(begun + 721 * SECOND, 8), Some(1));
        health.failed(begun, Pause::UntilReload, false);
        assert_eq!(health.limit(begun + 100_000 * SECOND, 8), None);
        health.come_back();
        assert_eq!(health.limit(begun, 8), Some(1));
    }
}
