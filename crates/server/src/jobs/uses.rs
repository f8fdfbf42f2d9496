//! The jobs that write the counts in memory to the database and read them from it: uses of records, and users' records.
//!
//! Invariant: no call waits for either.

use std::time::Duration;

use store::{Store, StoreError};

use super::job::{Job, Outcome};

const PERIOD: Duration = Duration::from_secs(1);

/// Writes the uses of records to the database.
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

/// Counts the records of the users that are due, for the limit of each user.
pub(super) struct CountRecords {
    pub(super) store: Store,
    /// The maximum age of a count.
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
