//! Copies of a whole database: backups, copies between backends, and their verification.
//!
//! Invariant: every copy is complete and verified, or there is none.

pub(crate) mod backup;
pub(crate) mod copy;
pub(crate) mod verify;
