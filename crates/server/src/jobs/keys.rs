//! The jobs of the master keys: they follow the keys of the database, and re-wrap data keys with the active one.
//!
//! Invariant: no request waits for either.

use std::time::{Duration, Instant};

use store::{Store, StoreError};
use tracing::{error, info};

use super::job::{Job, Outcome};
use crate::{
    audit::{Audit, Details, Event},
    error_text::error_chain,
};

const PERIOD: Duration = Duration::from_secs(1);
/// The time until the job looks again for records that could not be re-wrapped, or that were saved under an older key.
const MOVE_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// The time between two log lines about a key that is due for rotation and cannot be rotated.
const REMINDER: Duration = Duration::from_secs(600);
/// The maximum number of record ids in a log line.
const LISTED_RECORDS: usize = 100;

/// Follows the master keys, and starts a rotation when one has reached its limit of wraps.
pub(super) struct FollowKeys {
    pub(super) store: Store,
    pub(super) rotate_after_wraps: i64,
    pub(super) audit: Audit,
    /// The time of the last failed rotation.
    pub(super) failed_rotation: Option<Instant>,
}

impl Job for FollowKeys {
    fn name(&self) -> &'static str {
        "following the master keys"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn failure(&self) -> &'static str {
        "the master keys cannot be looked at"
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        let wraps = self.store.tend_keys().await?;
        let is_due = wraps.is_some_and(|wraps| wraps >= self.rotate_after_wraps);
        if is_due && self.failed_rotation.is_none_or(|failed| failed.elapsed() >= REMINDER) {
            self.rotate().await;
        }
        Ok(Outcome::Done)
    }
}

impl FollowKeys {
    async fn rotate(&mut self) {
        match self.store.announce_key(None).await {
            Ok(rotation) if rotation.is_resumed => {}
            Ok(rotation) => {
                info!(kek.id = rotation.id, "the master key wrapped often enough: rotating it");
                let details = Details { subject: Some(rotation.id), ..Details::default() };
                self.audit.record_later(Event::done("key.rotate", details));
            }
            Err(error) => {
                self.failed_rotation = Some(Instant::now());
                error!(
                    error = error_chain(&error),
                    "the master key wrapped often enough, but cannot be rotated"
                );
            }
        }
    }
}

/// Re-wraps the data keys of older master keys with the active one: after a rotation, and after an interrupted move.
pub(super) struct Rewrap {
    pub(super) store: Store,
    /// The key of the last move, and its time.
    pub(super) last_move: Option<(String, Instant)>,
    /// The number of records that did not open then.
    pub(super) unopenable: usize,
}

impl Job for Rewrap {
    fn name(&self) -> &'static str {
        "moving records to the active master key"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn failure(&self) -> &'static str {
        "records cannot be moved to the master key"
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        let Some(active) = self.store.rewrap_target() else { return Ok(Outcome::Done) };
        let was_moved_to_it =
            |(kek, moved): &(String, Instant)| *kek == active && moved.elapsed() < MOVE_AGAIN_AFTER;
        if self.last_move.as_ref().is_some_and(was_moved_to_it) {
            return Ok(Outcome::Skipped);
        }
        let moved = self.store.rewrap().await;
        self.last_move = Some((active.clone(), Instant::now()));
        let moved = moved?;
        if moved.records > 0 {
            info!(kek.id = active, records = moved.records, "moved to this master key");
        }
        let count = moved.unopenable.len();
        if count > self.unopenable {
            let records = &moved.unopenable[..count.min(LISTED_RECORDS)];
            error!(count, ?records, "the data keys of these records do not open");
        }
        self.unopenable = count;
        Ok(Outcome::Done)
    }
}
