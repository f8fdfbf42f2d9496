//! The clock, which the store is given.
//!
//! Invariant: the time is read where it is used, inside the transaction that depends on it, and never from anywhere
//! else.

use jiff::Timestamp;

/// Tells the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock(fn() -> i64);

impl Clock {
    /// The clock of the system.
    pub const SYSTEM: Self = Self(|| Timestamp::now().as_microsecond());

    /// A clock that reads the time from this function, in microseconds since 1970-01-01 UTC.
    pub const fn of(read: fn() -> i64) -> Self {
        Self(read)
    }

    /// Microseconds since 1970-01-01 UTC, the form in which every time is stored.
    pub(crate) fn now(self) -> i64 {
        (self.0)()
    }
}
