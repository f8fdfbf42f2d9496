//! `log`: the filter, the format and the buffer of the log.
//!
//! Invariant: the buffer of waiting lines is bounded.

use std::ops::RangeInclusive;

use anyhow::bail;
use serde::{Deserialize, Serialize};

/// The size of the log's buffer, in bytes.
const BUFFER: RangeInclusive<usize> = 1 << 16..=1 << 30;

/// The format of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// An object on each line, for programs.
    Json,
}

/// The log.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) filter: String,
    pub(super) format: Option<LogFormat>,
    pub(crate) buffer_bytes: usize,
}

impl Log {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !BUFFER.contains(&self.buffer_bytes) {
            bail!("log.buffer_bytes must be from {} to {}", BUFFER.start(), BUFFER.end());
        }
        Ok(())
    }
}
