//! Reading, beside the writer.
//!
//! Invariant: a read never waits for a commit.

pub(crate) mod lookups;
pub(crate) mod readers;
pub(crate) mod use_buffer;
