//! The sweep: erases and removes expired data.
//!
//! Invariant: each part of the sweep is a job of its own, so that a failing or slow part delays no other.

use std::time::Duration;

use store::{Store, StoreError};

use super::job::{Job, Outcome};

/// The data that a part of the sweep removes.
#[derive(Clone, Copy)]
pub(super) enum Swept {
    ExpiredRecords,
    /// Ended records are kept for this time, in microseconds.
    EndedRecords {
        keep: i64,
    },
    ExpiredCredentials,
    ExpiredIdempotencyKeys,
    OldExchanges,
    /// Events are kept for this time, in microseconds.
    OldEvents {
        keep: i64,
    },
}

/// One part of the sweep.
pub(super) struct Sweep {
    pub(super) store: Store,
    pub(super) period: Duration,
    pub(super) swept: Swept,
}

impl Job for Sweep {
    fn name(&self) -> &'static str {
        match self.swept {
            Swept::ExpiredRecords => "erasing expired records",
            Swept::EndedRecords { .. } => "removing ended records",
            Swept::ExpiredCredentials => "removing expired credentials",
            Swept::ExpiredIdempotencyKeys => "removing expired idempotency keys",
            Swept::OldExchanges => "removing old exchanges of codes",
            Swept::OldEvents { .. } => "removing events that are too old to be sent",
        }
    }

    fn period(&self) -> Duration {
        self.period
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        match self.swept {
            Swept::ExpiredRecords => self.store.end_expired_records().await?,
            Swept::EndedRecords { keep } => self.store.remove_ended_records(keep).await?,
            Swept::ExpiredCredentials => self.store.remove_expired_credentials().await?,
            Swept::ExpiredIdempotencyKeys => self.store.remove_expired_idempotency_keys().await?,
            Swept::OldExchanges => self.store.remove_old_exchanges().await?,
            Swept::OldEvents { keep } => self.store.remove_old_deliveries(keep).await?,
        }
        Ok(Outcome::Done)
    }
}
