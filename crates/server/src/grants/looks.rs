//! Looks at a record that another server is at work with, until it is free or the time is over.
//!
//! Invariant: the pauses between looks grow, and no look begins after the time is over.

use std::time::{Duration, Instant};

use tokio::time;

use super::error::GrantError;

/// The pause between two looks: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(150));

/// When the next look is due.
pub(super) struct Looks {
    pause: Duration,
    until: Instant,
}

impl Looks {
    pub(super) fn until(until: Instant) -> Self {
        Self { pause: PAUSES.0, until }
    }

    /// Waits for the next look.
    ///
    /// # Errors
    /// `Busy` if it would be too late.
    pub(super) async fn wait(&mut self) -> Result<(), GrantError> {
        if Instant::now() + self.pause > self.until {
            return Err(GrantError::Busy);
        }
        time::sleep(self.pause).await;
        self.pause = (2 * self.pause).min(PAUSES.1);
        Ok(())
    }
}
