//! Metrics: the figures that a running server keeps about itself, in memory.
//!
//! Invariant: the value of every label is of a fixed list, a route's pattern, or a name of the configuration. No text
//! that a client sends is one, and no tenant, login or record. Counting waits for no lock and takes no memory.

pub(crate) mod calls;
pub(crate) mod exposition;
pub(crate) mod process;
pub(crate) mod refreshes;
pub(crate) mod sign_ins;

use std::sync::Arc;

use jiff::Timestamp;
use store::Counter;

use self::{calls::Calls, refreshes::Refreshes, sign_ins::SignIns};

/// The figures of this process.
pub(crate) struct Metrics {
    pub(crate) calls: Calls,
    pub(crate) sign_ins: SignIns,
    pub(crate) refreshes: Refreshes,
    /// Lines of the log that standard error did not take.
    pub(crate) lost_lines: Arc<Counter>,
    /// The time of the start.
    pub(crate) started: Timestamp,
}
