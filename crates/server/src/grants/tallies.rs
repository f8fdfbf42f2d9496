//! Counts failures that may be the provider's: once three users meet the same cause, the provider is paused for all.
//!
//! Invariant: one user alone never causes a pause, with any saved tokens and any number of reads.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use model::{CauseKind, Login, TenantId};

/// The number of users who must have met a cause.
const USERS: usize = 3;

/// The failures since the last success, by client of a provider.
#[derive(Default)]
pub(super) struct Tallies(Mutex<HashMap<[u8; 32], Tally>>);

#[derive(Default)]
struct Tally {
    cause: Option<CauseKind>,
    users: BTreeSet<(String, String)>,
}

impl Tallies {
    pub(super) fn succeeded(&self, client_digest: [u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&client_digest);
    }

    /// Counts a failure of a record of this user, and returns whether `USERS` users have now met the cause.
    pub(super) fn failed(
        &self,
        client_digest: [u8; 32],
        cause: CauseKind,
        tenant: &TenantId,
        owner: &Login,
    ) -> bool {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(client_digest).or_default();
        if tally.cause != Some(cause) {
            *tally = Tally { cause: Some(cause), users: BTreeSet::new() };
        }
        tally.users.insert((tenant.as_str().to_owned(), owner.as_str().to_owned()));
        let is_enough = tally.users.len() >= USERS;
        if is_enough {
            tallies.remove(&client_digest);
        }
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_users_with_one_cause_and_no_success_between() {
        let tallies = Tallies::default();
        let fails = |cause, user: &str| {
            let owner = Login::parse(user).expect("login");
            tallies.failed([1; 32], cause, &TenantId::single(), &owner)
        };
        for _ in 0..10 {
            assert!(!fails(CauseKind::RateLimited, "a"), "one user alone");
        }
        assert!(!fails(CauseKind::RateLimited, "b"));
        assert!(!fails(CauseKind::Network, "c"), "another cause");
        assert!(!fails(CauseKind::Network, "a"));
        tallies.succeeded([1; 32]);
        assert!(!fails(CauseKind::Network, "b"));
        assert!(!fails(CauseKind::Network, "a"));
        assert!(fails(CauseKind::Network, "c"));
        assert!(!fails(CauseKind::Network, "c"), "it begins from the start");
    }
}
