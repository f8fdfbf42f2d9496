//! The jobs of webhooks: they send events to receivers, and write the events that depend on time.
//!
//! Invariant: each receiver has a job of its own, so that a slow one delays no other.

use std::{sync::Arc, time::Duration};

use store::{Store, StoreError};

use super::job::{Job, Outcome};
use crate::webhooks::Receiver;

const SEND_PERIOD: Duration = Duration::from_secs(1);
const REPORT_PERIOD: Duration = Duration::from_secs(10);

/// Sends the events that wait for a receiver.
pub(super) struct SendEvents {
    pub(super) store: Store,
    pub(super) receiver: Arc<Receiver>,
}

impl Job for SendEvents {
    fn name(&self) -> &'static str {
        "sending events to a receiver of webhooks"
    }

    fn period(&self) -> Duration {
        SEND_PERIOD
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        self.receiver.send_due(&self.store).await.map(|()| Outcome::Done)
    }
}

/// Counts the waiting events, and writes those about grants that have failed for a while and about refresh tokens that
/// expire soon.
pub(super) struct ReportGrants {
    pub(super) store: Store,
}

impl Job for ReportGrants {
    fn name(&self) -> &'static str {
        "counting events, and reporting grants that fail or end soon"
    }

    fn period(&self) -> Duration {
        REPORT_PERIOD
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        self.store.count_deliveries().await?;
        self.store.report_grants().await.map(|()| Outcome::Done)
    }
}
