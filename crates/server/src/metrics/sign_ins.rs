//! The callers who showed a credential, by its scheme and by the outcome.
//!
//! Invariant: each call is counted once. The scheme is one that the server knows, never a text of the client.

use auth::Scheme;
use store::Counter;

/// The outcome of an authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignIn {
    Accepted,
    Refused,
    /// There were too many wrong passwords before.
    Throttled,
    /// The credential could not be checked.
    Unavailable,
}

const OUTCOMES: [(SignIn, &str); 4] = [
    (SignIn::Accepted, "accepted"),
    (SignIn::Refused, "refused"),
    (SignIn::Throttled, "throttled"),
    (SignIn::Unavailable, "unavailable"),
];
/// The scheme of a call without a credential, or with one that cannot be read.
const NO_SCHEME: &str = "none";

/// The authentications of this process.
#[derive(Default)]
pub(crate) struct SignIns([[Counter; OUTCOMES.len()]; Scheme::ALL.len() + 1]);

impl SignIns {
    /// Counts an authentication. The scheme is `None` if the call has none that is known.
    pub(crate) fn note(&self, scheme: Option<Scheme>, outcome: SignIn) {
        let index = Scheme::ALL.iter().position(|known| Some(*known) == scheme);
        self.0[index.unwrap_or(Scheme::ALL.len())][outcome as usize].note();
    }

    /// Returns the number of each scheme and outcome.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let schemes = Scheme::ALL.into_iter().map(Scheme::name).chain([NO_SCHEME]);
        schemes.zip(&self.0).flat_map(|(scheme, counters)| {
            let outcomes = OUTCOMES.iter().map(|(_, name)| *name).zip(counters);
            outcomes.map(move |(outcome, counter)| (scheme, outcome, counter.read()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_place() {
        for (index, (outcome, _)) in OUTCOMES.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
        let sign_ins = SignIns::default();
        sign_ins.note(Some(Scheme::Bearer), SignIn::Accepted);
        sign_ins.note(None, SignIn::Refused);
        let noted: Vec<_> = sign_ins.all().filter(|(.., count)| *count > 0).collect();
        assert_eq!(noted, [("Bearer", "accepted", 1), ("none", "refused", 1)]);
    }
}
