//! What the server adds up in memory and keeps in step with the database: uses of records, and users' records.
//!
//! Invariant: no call waits for either.

use std::time::Duration;

use store::{Store, StoreError};

use super::job::{Job, Outcome};

const PERIOD: Duration = Duration::from_secs(1);

/// Writes the uses of records that gets noted.
pub(super) struct WriteUses {
    pub(super) store: Store,
}

impl Job for WriteUses {
    fn name(&self) -> &'static str {
        "writing uses"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        self.store.write_uses().await.map(|_is_all| Outcome::Done)
    }
}

/// Counts the records of the users that are due, for the limit of each.
pub(super) struct CountRecords {
    pub(super) store: Store,
    /// How old a count may become.
    pub(super) max_age: Duration,
}

impl Job for CountRecords {
    fn name(&self) -> &'static str {
        "counting records"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        self.store.count_records(self.max_age).await.map(|()| Outcome::Done)
    }
}
