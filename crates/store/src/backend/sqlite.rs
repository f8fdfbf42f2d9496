//! What a database in a file needs: its place, its only server, its write-ahead log.
//!
//! Invariant: nobody writes to a file that another server has, or that is no longer in its place.

pub(crate) mod database_file;
pub(crate) mod instance_lock;
pub(crate) mod wal;
