//! The job of the audit log: it anchors the last line in the database, and follows the master key.
//!
//! Invariant: an anchored line is on the disk.

use std::time::Duration;

use store::{Store, StoreError};

use super::job::{Job, Outcome};
use crate::audit::Audit;

const PERIOD: Duration = Duration::from_secs(1);

/// Anchors the last line of the audit log.
pub(super) struct AnchorAudit {
    pub(super) store: Store,
    pub(super) audit: Audit,
    /// The sequence number of the last anchored line.
    pub(super) anchored: i64,
}

impl Job for AnchorAudit {
    fn name(&self) -> &'static str {
        "anchoring the audit log"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        self.audit.follow_key(self.store.audit_key());
        let Some(last) = self.audit.synced().await else { return Ok(Outcome::Skipped) };
        if last.sequence > self.anchored {
            let sequence = last.sequence;
            self.store.anchor_audit(last).await?;
            self.anchored = sequence;
        }
        Ok(Outcome::Done)
    }
}
