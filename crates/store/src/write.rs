//! Writing: one writer, in groups.
//!
//! Invariant: a write is answered after its transaction was committed.

pub(crate) mod commit;
