//! The intervals in the life of a grant, in microseconds of the database's clock.
//!
//! Invariant: an interval in an answer to a caller is a whole number of seconds, and never zero.

pub(super) const SECOND: i64 = 1_000_000;
/// The pause of a provider that refused the client, and the time between two requests that test whether it still does.
pub(super) const PROVIDER_PAUSE: i64 = 60 * SECOND;
/// The minimum time between two refreshes of a record that callers ask for.
pub(super) const REFRESH_INTERVAL: i64 = 30 * SECOND;
/// The time until the metadata of a provider is fetched again after a failure.
pub(super) const METADATA_PAUSE: i64 = 60 * SECOND;

/// Converts microseconds to seconds, rounded up, at least one.
pub(super) fn seconds(us: i64) -> u64 {
    us.max(1).unsigned_abs().div_ceil(SECOND.unsigned_abs())
}
