//! Whether tokens that are read are refreshed before.
//!
//! Invariant: pure. All servers of a database come to the same decision, because its jitter is a hash of the record and
//! of its generation.

use store::SavedTokens;

use super::providers::{ConfiguredProvider, Margins};

/// The part of the soft margin over which refreshes are spread.
const JITTER_PART: i64 = 10;

/// What is done with a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The stored tokens are answered.
    Answer,
    /// They are answered, and refreshed beside.
    AnswerAndRefresh,
    /// They are refreshed first.
    Refresh,
}

/// How long the stored access token lives from `now` on, in microseconds; negative if it has ended, `None` if nothing
/// says that it ends.
pub(crate) fn time_left(saved: &SavedTokens, margins: &Margins, now: i64) -> Option<i64> {
    if saved.carrier.access_token.is_none() {
        return Some(i64::MIN);
    }
    let assumed = || Some(saved.updated.saturating_add(margins.assume_expires_in?));
    Some(saved.access_expires.or_else(assumed)?.saturating_sub(now))
}

/// What to do with tokens that have a refresh token, for a caller that wants the access token to live as long as
/// `at_least`.
pub(crate) fn decide(
    saved: &SavedTokens,
    provider: &ConfiguredProvider,
    at_least: i64,
    now: i64,
) -> Decision {
    let margins = &provider.margins;
    let Some(left) = time_left(saved, margins, now) else { return Decision::Answer };
    if margins.earliest.is_some_and(|earliest| left > earliest) {
        Decision::Answer
    } else if left < margins.minimum.max(at_least) {
        Decision::Refresh
    } else if left <= margins.refresh_before - jitter(saved, margins) && !provider.ends_access_token
    {
        Decision::AnswerAndRefresh
    } else {
        Decision::Answer
    }
}

fn jitter(saved: &SavedTokens, margins: &Margins) -> i64 {
    let range = (margins.refresh_before / JITTER_PART).max(1).unsigned_abs();
    let seed = (saved.times.record.as_i64() as u64) ^ ((saved.generation as u64) << 48);
    // The multiplier spreads neighbours (Knuth's multiplicative hashing).
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % range) as i64
}
