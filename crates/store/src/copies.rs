//! Copies of a whole database: backups, copies from one backend to another, and their proof.
//!
//! Invariant: a copy is complete and proved, or there is none.

pub(crate) mod backup;
pub(crate) mod copy;
pub(crate) mod verify;
