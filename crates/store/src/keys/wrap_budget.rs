//! The number of wraps that a master key may still do before the database counts more.
//!
//! Invariant: a process never wraps more often under a key than the database has counted in advance. So the count there
//! is never below the number of wraps, however the process ends.

use std::{
    cmp::Ordering::{Equal, Greater},
    sync::atomic::{AtomicI64, Ordering::Relaxed},
};

/// Wraps counted in one step.
pub(crate) const BLOCK: i64 = 65_536;
/// Maximum number of wraps of one key with random nonces (NIST SP 800-38D §8.3).
pub(crate) const MOST: i64 = 1 << 32;
/// Seconds of wraps, at the current rate, to count in advance.
const AHEAD: i64 = 16;

/// Wraps under one key by this process.
#[derive(Default)]
pub(crate) struct WrapBudget {
    counted: AtomicI64,
    taken: AtomicI64,
    /// `taken` at the last call of `due`.
    looked: AtomicI64,
}

impl WrapBudget {
    /// Takes wraps from the budget. Returns false if too few are left.
    pub(crate) fn take(&self, count: i64) -> bool {
        let taken = |taken: i64| match self.counted.load(Relaxed).cmp(&(taken + count)) {
            Greater | Equal => Some(taken + count),
            _ => None,
        };
        self.taken.fetch_update(Relaxed, Relaxed, taken).is_ok()
    }

    /// Adds wraps that the database counted.
    pub(crate) fn add(&self, count: i64) {
        self.counted.fetch_add(count, Relaxed);
    }

    /// Returns the number of wraps to count now, if any, judged by the rate since the last call. Called once a second.
    pub(crate) fn due(&self) -> Option<i64> {
        let taken = self.taken.load(Relaxed);
        let rate = taken - self.looked.swap(taken, Relaxed);
        let left = self.counted.load(Relaxed) - taken;
        let wanted = (rate * AHEAD).max(BLOCK);
        (left < wanted / 2).then(|| wanted.unsigned_abs().next_multiple_of(BLOCK as u64) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_was_counted() {
        let wraps = WrapBudget::default();
        assert!(!wraps.take(1));
        wraps.add(BLOCK);
        assert!(wraps.take(BLOCK - 1) && !wraps.take(2) && wraps.take(1) && !wraps.take(1));
    }

    #[test]
    fn the_busier_the_further_ahead() {
        let wraps = WrapBudget::default();
        assert_eq!(wraps.due(), Some(BLOCK));
        wraps.add(BLOCK);
        assert_eq!(wraps.due(), None, "half a block is enough while nothing happens");
        assert!(wraps.take(30_000));
        let due = wraps.due().expect("it is busy");
        assert!((480_000..480_000 + BLOCK).contains(&due), "{due}");
        assert_eq!(wraps.due(), None, "it is idle again, and half a block is left");
        assert!(wraps.take(3_000));
        assert_eq!(wraps.due(), Some(BLOCK));
    }
}
