//! Decides whether tokens are refreshed before they are returned.
//!
//! Invariant: pure. All servers of a database come to the same decision, because its jitter is a hash of the record and
//! of its generation.

use store::SavedTokens;

use super::{intervals::REFRESH_INTERVAL, providers::Margins};
use crate::expiry;

/// Refreshes are spread over one part in this many of the soft margin.
const JITTER_PART: i64 = 10;

/// The action for a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Return the stored tokens.
    Answer,
    /// Return the stored tokens, and refresh them in the background.
    AnswerAndRefresh,
    /// Refresh first.
    Refresh,
}

/// Returns how long the stored access token lives from `now` on, in microseconds: negative if it has expired, `None` if
/// no expiry is known.
pub(crate) fn time_left(saved: &SavedTokens, margins: &Margins, now: i64) -> Option<i64> {
    Some(end(saved, margins)?.saturating_sub(now))
}

/// Returns when the stored access token expires.
fn end(saved: &SavedTokens, margins: &Margins) -> Option<i64> {
    let Some(token) = &saved.carrier.access_token else { return Some(i64::MIN) };
    // For a record that was saved before the expiry was stored.
    let of_jwt = || Some(expiry::of_token(token.expose())?.as_microsecond());
    let assumed = || Some(saved.updated.saturating_add(margins.assume_expires_in?));
    saved.access_expires.or_else(of_jwt).or_else(assumed)
}

/// Decides what to do with tokens that have a refresh token, for a caller that needs the access token for `at_least`
/// microseconds. If a refresh ends the access token, there is no refresh in the background.
pub(crate) fn decide(
    saved: &SavedTokens,
    margins: &Margins,
    ends_access_token: bool,
    at_least: i64,
    now: i64,
) -> Decision {
    let Some(end) = end(saved, margins) else { return Decision::Answer };
    let left = end.saturating_sub(now);
    // Half of the life at most, because otherwise every get would refresh tokens that live shorter than the margins.
    let most = end.saturating_sub(saved.updated) / 2;
    // Without this check, a caller that wants a longer life than the provider grants would cause a request at every
    // get.
    let is_new = saved.generation > 1 && now.saturating_sub(saved.updated) < REFRESH_INTERVAL;
    if is_new && (left > 0 || most <= 0) {
        return Decision::Answer;
    }
    if margins.earliest.is_some_and(|earliest| left > earliest) {
        Decision::Answer
    } else if left < margins.minimum.min(most).max(at_least).max(1) {
        Decision::Refresh
    } else if left <= (margins.refresh_before - jitter(saved, margins)).min(most)
        && !ends_access_token
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::{GrantDetails, Login, Provider, RecordId, TokenManagementInfo};
    use store::RecordTimes;

    const SECOND: i64 = 1_000_000;
    const SAVED: i64 = 1_800_000_000_000_000;

    fn saved(lives_for: Option<i64>) -> SavedTokens {
        SavedTokens {
            owner: Login::parse("tje0").expect("login"),
            carrier: TokenManagementInfo {
                access_token: Some("opaque".into()),
                ..TokenManagementInfo::of(Provider::parse("et").expect("provider"))
            },
            details: GrantDetails::default(),
            generation: 1,
            updated: SAVED,
            access_expires: lives_for.map(|seconds| SAVED + seconds * SECOND),
            times: RecordTimes {
                record: RecordId::from_i64(1).expect("id"),
                created: SAVED,
                last_used: None,
                expires: None,
            },
        }
    }

    fn margins() -> Margins {
        Margins {
            refresh_before: 300 * SECOND,
            minimum: 60 * SECOND,
            replay_within: 0,
            assume_expires_in: Some(3600 * SECOND),
            earliest: None,
            idle: None,
            absolute: None,
        }
    }

    /// CONTRACT 44: both margins, the caller's minimum, and an assumed expiry.
    #[test]
    fn tokens_are_refreshed_before_they_end() {
        use Decision::{Answer, AnswerAndRefresh, Refresh};
        for (lives_for, at_least, age, expected) in [
            (Some(3600), 0, 0, Answer),
            (Some(3600), 0, 3600 - 301, Answer),
            (Some(3600), 0, 3600 - 269, AnswerAndRefresh),
            (Some(3600), 0, 3600 - 60, AnswerAndRefresh),
            (Some(3600), 0, 3600 - 59, Refresh),
            (Some(3600), 0, 4000, Refresh),
            (Some(3600), 600, 3600 - 599, Refresh),
            (None, 0, 3600 - 301, Answer),
            (None, 0, 3600 - 59, Refresh),
            // Short-lived tokens wait for the second half of their lives.
            (Some(100), 0, 40, Answer),
            (Some(100), 0, 50, AnswerAndRefresh),
            (Some(100), 0, 51, Refresh),
            (Some(0), 0, 0, Refresh),
        ] {
            let now = SAVED + age * SECOND;
            let found = decide(&saved(lives_for), &margins(), false, at_least * SECOND, now);
            assert_eq!(found, expected, "{lives_for:?} {at_least} {age}");
        }
    }

    /// CONTRACT 44: not within the soft margin if that would end the token, and never before the provider allows it.
    #[test]
    fn a_provider_may_not_want_it_so_early() {
        let now = SAVED + 3400 * SECOND;
        let ending = decide(&saved(Some(3600)), &margins(), true, 0, now);
        assert_eq!(ending, Decision::Answer);
        let earliest = Margins { earliest: Some(30 * SECOND), ..margins() };
        for (age, expected) in [(3600 - 31, Decision::Answer), (3600 - 30, Decision::Refresh)] {
            let found = decide(&saved(Some(3600)), &earliest, true, 0, SAVED + age * SECOND);
            assert_eq!(found, expected, "{age}");
        }
    }

    /// CONTRACT 44: a caller's minimum causes at most one request in 30 seconds.
    #[test]
    fn tokens_that_were_refreshed_a_moment_ago_are_answered() {
        for (lives_for, at_least, age, expected) in [
            (3600, 86_400, 29, Decision::Answer),
            (3600, 86_400, 30, Decision::Refresh),
            (20, 0, 19, Decision::Answer),
            (20, 0, 20, Decision::Refresh),
            (0, 0, 29, Decision::Answer),
            (0, 0, 30, Decision::Refresh),
        ] {
            let refreshed = SavedTokens { generation: 2, ..saved(Some(lives_for)) };
            let now = SAVED + age * SECOND;
            let found = decide(&refreshed, &margins(), false, at_least * SECOND, now);
            assert_eq!(found, expected, "{lives_for} {at_least} {age}");
        }
    }

    #[test]
    fn what_has_no_access_token_is_refreshed() {
        let mut bare = saved(Some(3600));
        bare.carrier.access_token = None;
        assert_eq!(decide(&bare, &margins(), false, 0, SAVED), Decision::Refresh);
        let endless = Margins { assume_expires_in: None, ..margins() };
        assert_eq!(decide(&saved(None), &endless, false, 0, SAVED), Decision::Answer);
    }
}
