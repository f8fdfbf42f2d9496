//! The trait of a background job, and the one loop that runs every job.
//!
//! Invariant: a job that fails is run again after its period. Of several failures in a row, the log has the first one,
//! and the success that ends them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use store::StoreError;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::error_text::error_chain;

/// Work that a running server repeats.
pub(super) trait Job: 'static {
    /// Names the work in the log.
    fn name(&self) -> &'static str;

    /// Returns the time between two runs.
    fn period(&self) -> Duration;

    /// Does the work once.
    ///
    /// # Errors
    /// The work failed; the job runs again after its period.
    async fn run(&mut self) -> Result<Outcome, StoreError>;

    /// Returns the log text for the first failure.
    fn failure(&self) -> &'static str {
        "upkeep fails"
    }
}

/// The outcome of a run that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The work is done.
    Done,
    /// The job had no reason to try. The run counts neither as a success nor as a failure.
    Skipped,
}

/// The status of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) last_run: Option<Timestamp>,
    pub(crate) last_success: Option<Timestamp>,
    /// The time of the first failure since the last success; `None` if the job works.
    pub(crate) failing_since: Option<Timestamp>,
    /// The number of failures since the last success.
    pub(crate) failures: u64,
}

/// A running job.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) name: &'static str,
    status: Arc<Mutex<Status>>,
}

/// The change of a status that the log reports.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    BeganToFail,
    Recovered { failures: u64, since: Timestamp },
}

/// Runs a job at once and then after each period, until the server ends.
pub(super) fn start(mut job: impl Job) -> Handle {
    let handle = Handle { name: job.name(), status: Arc::default() };
    let Handle { name, status } = handle.clone();
    actix_web::rt::spawn(async move {
        let mut ticks = interval(job.period());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let outcome = job.run().await;
            let change = lock(&status).record(outcome.as_ref().ok(), Timestamp::now());
            match (change, outcome) {
                (Some(Change::BeganToFail), Err(error)) => {
                    warn!(step = name, error = error_chain(&error), "{}", job.failure());
                }
                (Some(Change::Recovered { failures, since }), _) => {
                    info!(step = name, failures, %since, "upkeep works again");
                }
                _ => {}
            }
        }
    });
    handle
}

impl Handle {
    /// Returns the current status.
    pub(crate) fn status(&self) -> Status {
        *lock(&self.status)
    }
}

fn lock(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Status {
    /// Counts a run; its outcome is `None` if it failed.
    fn record(&mut self, outcome: Option<&Outcome>, now: Timestamp) -> Option<Change> {
        self.last_run = Some(now);
        match outcome {
            Some(Outcome::Skipped) => None,
            Some(Outcome::Done) => {
                self.last_success = Some(now);
                let failures = std::mem::take(&mut self.failures);
                self.failing_since.take().map(|since| Change::Recovered { failures, since })
            }
            None => {
                self.failures += 1;
                let was_failing = self.failing_since.is_some();
                self.failing_since.get_or_insert(now);
                (!was_failing).then_some(Change::BeganToFail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_are_reported_when_they_begin_and_when_they_end() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let mut status = Status::default();
        assert_eq!(status.record(Some(&Outcome::Done), at(1)), None);
        assert_eq!(status.record(None, at(2)), Some(Change::BeganToFail));
        assert_eq!(status.record(None, at(3)), None);
        assert_eq!(status.record(Some(&Outcome::Skipped), at(4)), None);
        let failing = Status {
            last_run: Some(at(4)),
            last_success: Some(at(1)),
            failing_since: Some(at(2)),
            failures: 2,
        };
        assert_eq!(status, failing);
        let recovered = Change::Recovered { failures: 2, since: at(2) };
        assert_eq!(status.record(Some(&Outcome::Done), at(5)), Some(recovered));
        assert_eq!(status.record(None, at(6)), Some(Change::BeganToFail));
        assert_eq!(status.last_success, Some(at(5)));
    }
}
