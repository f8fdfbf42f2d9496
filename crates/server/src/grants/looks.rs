//! Polls a record that another server is refreshing, until it is free or the time has passed.
//!
//! Invariant: the pauses between polls grow, and every poll begins before the time has passed.

use std::time::{Duration, Instant};

use tokio::time;

use super::error::GrantError;

/// The pause between two polls: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(150));

/// The time of the next poll.
pub(super) struct Looks {
    pause: Duration,
    until: Instant,
}

impl Looks {
    pub(super) fn until(until: Instant) -> Self {
        Self { pause: PAUSES.0, until }
    }

    /// Waits for the next poll.
    ///
    /// # Errors
    /// `Busy`: the next poll would be too late.
    pub(super) async fn wait(&mut self) -> Result<(), GrantError> {
        if Instant::now() + self.pause > self.until {
            return Err(GrantError::Busy);
        }
        time::sleep(self.pause).await;
        self.pause = (2 * self.pause).min(PAUSES.1);
        Ok(())
    }
}
