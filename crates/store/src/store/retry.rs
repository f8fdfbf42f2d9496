//! Retries while the database is busy or away.
//!
//! Invariant: a step that is retried does the same when it was done already.

use std::time::Duration;

use tokio::time;

use crate::StoreError;

/// How often a step is tried while the database is busy or away, and the pause between.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// Runs a step again while the database is busy or away.
pub(crate) async fn with_retries<T>(
    step: impl AsyncFn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for _ in 1..ATTEMPTS {
        match step().await {
            Err(StoreError::Overloaded | StoreError::Unavailable(_)) => time::sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
    step().await
}
