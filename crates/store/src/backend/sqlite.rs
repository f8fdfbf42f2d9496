//! A database in an SQLite file: its place, its lock, its write-ahead log.
//!
//! Invariant: no process writes to a file that another server holds, or that is no longer in its place.

pub(crate) mod database_file;
pub(crate) mod instance_lock;
pub(crate) mod wal;
