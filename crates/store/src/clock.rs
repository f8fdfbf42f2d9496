//! The clock, which the store is given.
//!
//! Invariant: every time is read inside the transaction that depends on it, and only through `Clock`.

use jiff::Timestamp;

/// Returns the current time.
#[derive(Clone, Copy, Debug)]
pub struct Clock(fn() -> i64);

impl Clock {
    /// The system clock.
    pub const SYSTEM: Self = Self(|| Timestamp::now().as_microsecond());

    /// Creates a clock that reads the time from `read`, in microseconds since 1970-01-01 UTC.
    pub const fn of(read: fn() -> i64) -> Self {
        Self(read)
    }

    /// Returns the time in microseconds since 1970-01-01 UTC, the form in which every time is stored.
    pub(crate) fn now(self) -> i64 {
        (self.0)()
    }
}
