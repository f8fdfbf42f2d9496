//! `limits`: how much clients may send, and how long they may take.
//!
//! Invariant: a token fits into a body, and a body into the budget of all bodies.

use std::{ops::RangeInclusive, time::Duration};

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::at_least_1;

/// How long the server may wait for a client, in seconds.
const SECONDS: RangeInclusive<u64> = 1..=3600;

/// Limits on the data that clients send, and on the time that they take.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) token_bytes: usize,
    pub(crate) body_bytes: usize,
    pub(crate) bodies_bytes: usize,
    pub(crate) body_seconds: u64,
    pub(crate) head_seconds: u64,
    pub(crate) answer_seconds: u64,
    pub(crate) idle_seconds: u64,
    pub(crate) idempotency_keys_per_user: u64,
}

impl Limits {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        at_least_1("limits.token_bytes", self.token_bytes as u64)?;
        at_least_1("limits.idempotency_keys_per_user", self.idempotency_keys_per_user)?;
        for (key, seconds) in [
            ("limits.body_seconds", self.body_seconds),
            ("limits.head_seconds", self.head_seconds),
            ("limits.answer_seconds", self.answer_seconds),
            ("limits.idle_seconds", self.idle_seconds),
        ] {
            if !SECONDS.contains(&seconds) {
                bail!("{key} must be from 1 to 3600");
            }
        }
        if self.body_bytes <= self.token_bytes {
            bail!("limits.body_bytes must be more than limits.token_bytes");
        }
        if self.bodies_bytes < self.body_bytes {
            bail!("limits.bodies_bytes must be at least limits.body_bytes");
        }
        Ok(())
    }

    /// How long a client may take to send the head of its first request.
    pub(crate) fn head_time(&self) -> Duration {
        Duration::from_secs(self.head_seconds)
    }

    /// How long a connection stays open for the next request.
    pub(crate) fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }
}
