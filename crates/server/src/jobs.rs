//! The background jobs of a running server.
//!
//! Invariant: each job runs in a task of its own. No call waits for a job, and no job waits for another.

mod audit;
mod backups;
mod grants;
mod job;
mod keys;
mod sweep;
mod uses;
mod webhooks;

use std::time::Duration;

use store::Store;
use tracing::warn;

use self::{
    audit::AnchorAudit,
    backups::BackUp,
    grants::{RenewLeases, SaveUnsaved},
    keys::{FollowKeys, Rewrap},
    sweep::{Sweep, Swept},
    uses::{CountRecords, WriteUses},
    webhooks::{ReportGrants, SendEvents},
};
pub(crate) use self::{
    backups::{Backups, Retention},
    job::{Handle, Status},
};
use crate::{audit::Audit, error_text::error_chain, webhooks::Receivers};

/// The settings of the jobs.
pub(crate) struct Schedule {
    /// The time for which ended records are kept, in microseconds.
    pub(crate) keep_ended: i64,
    pub(crate) sweep_every: Duration,
    /// The number of wraps after which a master key is rotated.
    pub(crate) rotate_after_wraps: i64,
    /// The time for which events are sent, in microseconds.
    pub(crate) keep_events: i64,
}

/// The running jobs.
pub(crate) struct Jobs {
    store: Store,
    handles: Vec<Handle>,
}

impl Jobs {
    /// Starts all jobs.
    pub(crate) fn start(
        store: &Store,
        schedule: &Schedule,
        receivers: &Receivers,
        audit: &Audit,
        backups: Option<Backups>,
    ) -> Self {
        let Schedule { keep_ended, sweep_every, rotate_after_wraps, keep_events } = *schedule;
        let sweep = |swept| job::start(Sweep { store: store.clone(), period: sweep_every, swept });
        let mut handles = vec![
            job::start(FollowKeys {
                store: store.clone(),
                rotate_after_wraps,
                audit: audit.clone(),
                failed_rotation: None,
            }),
            job::start(Rewrap { store: store.clone(), last_move: None, unopenable: 0 }),
            sweep(Swept::ExpiredRecords),
            sweep(Swept::EndedRecords { keep: keep_ended }),
            sweep(Swept::ExpiredCredentials),
            sweep(Swept::ExpiredIdempotencyKeys),
            sweep(Swept::OldExchanges),
            sweep(Swept::OldEvents { keep: keep_events }),
            job::start(RenewLeases { store: store.clone() }),
            job::start(SaveUnsaved { store: store.clone() }),
            job::start(CountRecords { store: store.clone(), max_age: sweep_every }),
            job::start(WriteUses { store: store.clone() }),
        ];
        handles.extend(backups.map(|backups| job::start(BackUp { store: store.clone(), backups })));
        let send = |receiver| job::start(SendEvents { store: store.clone(), receiver });
        handles.extend(receivers.all().iter().cloned().map(send));
        if audit.is_on() {
            let (store, audit) = (store.clone(), audit.clone());
            handles.push(job::start(AnchorAudit { store, audit, anchored: 0 }));
        }
        if !receivers.all().is_empty() {
            handles.push(job::start(ReportGrants { store: store.clone() }));
        }
        Self { store: store.clone(), handles }
    }

    /// Returns a handle of each job, for its status.
    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }

    /// Returns the name and the status of each job.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = (&'static str, Status)> {
        self.handles.iter().map(|job| (job.name, job.status()))
    }

    /// Logs the jobs that are failing at the stop, and writes all recorded uses.
    pub(crate) async fn finish(self) {
        for (step, status) in self.statuses() {
            let Status { failing_since, failures, last_run, last_success } = status;
            if let Some(since) = failing_since {
                warn!(step, failures, %since, ?last_run, ?last_success, "upkeep failed until the stop");
            }
        }
        loop {
            match self.store.write_uses().await {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => {
                    let error = error_chain(&error);
                    return warn!(error, "the last uses of records were not written");
                }
            }
        }
    }
}
