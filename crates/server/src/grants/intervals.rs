//! How long the life of a grant waits for what, in microseconds, as the database's clock counts.
//!
//! Invariant: a wait that callers are answered is a whole number of seconds, and never zero.

pub(super) const SECOND: i64 = 1_000_000;
/// For how long a provider that refused the client is left alone, and between two requests that look whether it still
/// does.
pub(super) const PROVIDER_PAUSE: i64 = 60 * SECOND;
/// The least time between two refreshes of a record that callers ask for.
pub(super) const REFRESH_INTERVAL: i64 = 30 * SECOND;
/// In how long the metadata of a provider is fetched again.
pub(super) const METADATA_PAUSE: i64 = 60 * SECOND;

/// Microseconds as seconds, rounded up, and one at least.
pub(super) fn seconds(us: i64) -> u64 {
    us.max(1).unsigned_abs().div_ceil(SECOND.unsigned_abs())
}
