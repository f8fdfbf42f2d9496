//! What a running server does beside the calls.
//!
//! Invariant: a step that fails is tried again at its next turn, and no call waits for it.

mod keys;

use std::time::Duration;

use store::{Store, StoreError};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::http::problem::chain;

/// How often uses of records are written down.
const WRITE_USES_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked for users whose records are to be counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// What is done, and how often.
pub(crate) struct Upkeep {
    pub(crate) store: Store,
    /// How long records that ended are kept, in microseconds.
    pub(crate) keep_ended: i64,
    pub(crate) sweep_every: Duration,
    /// After how many wraps a master key is rotated.
    pub(crate) rotate_after_wraps: i64,
}

impl Upkeep {
    /// Does each step at once and then in its time, until the server ends.
    pub(crate) fn start(self) {
        let Self { store, keep_ended, sweep_every, rotate_after_wraps } = self;
        actix_web::rt::spawn(keys::run(store.clone(), rotate_after_wraps));
        // Each by itself, so that one that fails or takes long keeps none of the others.
        let swept = store.clone();
        repeat("erasing expired records", sweep_every, async move || {
            swept.end_expired_records().await
        });
        let swept = store.clone();
        repeat("removing ended records", sweep_every, async move || {
            swept.remove_ended_records(keep_ended).await
        });
        let swept = store.clone();
        repeat("removing expired credentials", sweep_every, async move || {
            swept.remove_expired_credentials().await
        });
        let swept = store.clone();
        repeat("removing expired idempotency keys", sweep_every, async move || {
            swept.remove_expired_idempotency_keys().await
        });
        let counted = store.clone();
        repeat("counting records", COUNT_EVERY, async move || {
            counted.count_records(sweep_every).await
        });
        repeat("writing uses", WRITE_USES_EVERY, async move || {
            store.write_uses().await.map(|_is_all| ())
        });
    }
}

/// Writes down all uses that were noted.
pub(crate) async fn finish(store: &Store) {
    loop {
        match store.write_uses().await {
            Ok(false) => {}
            Ok(true) => return,
            Err(error) => {
                let error = chain(&error);
                return warn!(error, "the last uses of records were not written");
            }
        }
    }
}

/// Logs the first failure of several, and that it is over.
fn repeat(
    step: &'static str,
    every: Duration,
    work: impl AsyncFn() -> Result<(), StoreError> + 'static,
) {
    actix_web::rt::spawn(async move {
        let mut turns = interval(every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_failing = false;
        loop {
            turns.tick().await;
            match work().await {
                Ok(()) if is_failing => info!(step, "upkeep works again"),
                Err(error) if !is_failing => {
                    warn!(step, error = chain(&error), "upkeep fails");
                }
                _ => continue,
            }
            is_failing = !is_failing;
        }
    });
}
