//! Jobs that keep refreshes going: they renew leases, and commit new tokens that the database could not store.
//!
//! Invariant: a held lease is renewed three times before it expires.

use std::time::Duration;

use store::{Store, StoreError};

use super::job::{Job, Outcome};

const RENEWAL_PERIOD: Duration = Duration::from_millis(1500);
const COMMIT_PERIOD: Duration = Duration::from_secs(1);

/// Renews the leases of the refreshes under way.
pub(super) struct RenewLeases {
    pub(super) store: Store,
}

impl Job for RenewLeases {
    fn name(&self) -> &'static str {
        "renewing leases of refreshes"
    }

    fn period(&self) -> Duration {
        RENEWAL_PERIOD
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        self.store.renew_leases().await.map(|()| Outcome::Done)
    }
}

/// Commits the new tokens that wait in files.
pub(super) struct SaveUnsaved {
    pub(super) store: Store,
}

impl Job for SaveUnsaved {
    fn name(&self) -> &'static str {
        "committing unsaved tokens"
    }

    fn period(&self) -> Duration {
        COMMIT_PERIOD
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        self.store.save_unsaved().await.map(|()| Outcome::Done)
    }
}
