//! Writes: a queue, one thread, many writes in a transaction.
//!
//! Invariant: every caller is answered only after the transaction that holds its write was committed.

mod batch;
mod committer;
pub(crate) mod lock_order;
pub(crate) mod writer;
