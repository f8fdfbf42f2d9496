//! Retries while the database is busy or away.
//!
//! Invariant: every step that is retried is idempotent.

use std::time::Duration;

use tokio::time;

use crate::StoreError;

/// The most attempts of a step, and the pause between two.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// Retries a step while the database is busy or away.
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
