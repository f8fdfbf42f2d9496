//! Reads, which run concurrently with the writer.
//!
//! Invariant: no read waits for a commit.

pub(crate) mod lookups;
pub(crate) mod readers;
pub(crate) mod use_buffer;
