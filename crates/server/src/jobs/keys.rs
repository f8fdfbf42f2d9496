//! What a running server does about master keys: it follows those of the database, and moves records to the
//! active one.
//!
//! Invariant: whatever fails here is tried again, and no request waits for it.

use std::time::{Duration, Instant};

use store::Store;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use crate::http::problem::chain;

/// How often the keys of the database are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How long records that could not be moved, or came under an older key since, are left alone.
const REST: Duration = Duration::from_secs(60);
/// How often it is said again that a key wraps too often.
const REMINDER: Duration = Duration::from_secs(600);

/// Does both, for ever.
pub(super) async fn run(store: Store, rotate_after_wraps: i64) {
    tokio::join!(follow_keys(&store, rotate_after_wraps), rewrap(&store));
}

/// Follows the master keys, and begins a rotation when one wrapped often enough.
async fn follow_keys(store: &Store, rotate_after_wraps: i64) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_failing, mut told) = (false, None::<Instant>);
    loop {
        ticks.tick().await;
        let wraps = match store.tend_keys().await {
            Ok(wraps) => {
                is_failing = false;
                wraps
            }
            Err(error) => {
                if !is_failing {
                    warn!(error = chain(&error), "the master keys cannot be looked at");
                }
                is_failing = true;
                None
            }
        };
        let is_due = wraps.is_some_and(|wraps| wraps >= rotate_after_wraps);
        if !is_due || told.is_some_and(|told| told.elapsed() < REMINDER) {
            continue;
        }
        match store.announce_key(None).await {
            Ok(rotation) if rotation.is_resumed => {}
            Ok(rotation) => {
                info!(kek.id = rotation.id, "the master key wrapped often enough: rotating it");
            }
            Err(error) => {
                told = Some(Instant::now());
                error!(
                    error = chain(&error),
                    "the master key wrapped often enough, but cannot be rotated"
                );
            }
        }
    }
}

/// Moves records of older keys to the active one: after a rotation, and of one that was cut short.
async fn rewrap(store: &Store) {
    let (mut done, mut unopenable) = (None::<(String, Instant)>, 0);
    loop {
        sleep(PERIOD).await;
        let Some(active) = store.is_between_keys() else { continue };
        if done.as_ref().is_some_and(|(kek, time)| *kek == active && time.elapsed() < REST) {
            continue;
        }
        match store.rewrap().await {
            Ok(outcome) => {
                if outcome.records > 0 {
                    info!(kek.id = active, records = outcome.records, "moved to this master key");
                }
                if outcome.unopenable.len() > unopenable {
                    let count = outcome.unopenable.len();
                    let records = &outcome.unopenable[..count.min(100)];
                    error!(count, ?records, "the data keys of these records do not open");
                }
                unopenable = outcome.unopenable.len();
            }
            Err(error) => warn!(error = chain(&error), "records cannot be moved to the master key"),
        }
        done = Some((active, Instant::now()));
    }
}
