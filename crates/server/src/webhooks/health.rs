//! Whether a receiver takes events, and when it is sent the next one.
//!
//! Invariant: a receiver that fails is sent one event after each pause, and no more until it takes that one.

use std::time::{Duration, Instant};

use super::with_jitter;

/// The pause after a failure: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// For how long a receiver is left alone; the longest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pause {
    /// Twice as long as the time before.
    Usual,
    /// As long as it asked for.
    Of(Duration),
    /// It wants no events any more.
    UntilReload,
}

/// What is known of a receiver.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// How many failures there were since the last event that it took.
    failures: u32,
    next: Option<Instant>,
    is_gone: bool,
}

impl Health {
    /// How many events may be sent now; `None` is none.
    pub(super) fn limit(&self, now: Instant, concurrent: usize) -> Option<usize> {
        if self.is_gone || self.next.is_some_and(|next| next > now) {
            return None;
        }
        Some(if self.failures > 0 { 1 } else { concurrent })
    }

    /// Notes a failure; whether it is the first one, and for how long nothing is sent.
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

    /// Notes that it took an event; how many failures there were before, if there were some.
    pub(super) fn succeeded(&mut self) -> Option<u32> {
        self.next = None;
        let failures = std::mem::take(&mut self.failures);
        (failures > 0).then_some(failures)
    }

    /// Lets it be sent events again although it wanted none.
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
