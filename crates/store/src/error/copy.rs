//! A copy was not made, or a database not proved.
//!
//! Invariant: a backup or restore that fails leaves its target as it was. A copy that fails may have written rows; the
//! same command goes on with it.

use std::path::PathBuf;

use super::{OpenError, StoreError};

/// A copy was not made, or a database not proved.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A database, its keys or a file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A row cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing has a seal that could be proved.
    #[error("nothing was ever sealed in it; start a server on it first, or name another database")]
    Nothing,
    /// On a server.
    #[error(
        "a database on PostgreSQL is backed up and restored by PostgreSQL's own tools, such as pg_dump"
    )]
    OnServer,
    /// A copy is never written over anything.
    #[error("{} is there already; name another file, or move that one away", .0.display())]
    Exists(PathBuf),
    /// A database is never restored over another.
    #[error("there is a database: {}; if it is not needed, stop its server and move it away with its files ending \
         in -wal and -shm", .0.display()
    )]
    Occupied(PathBuf),
    /// Another process makes the same copy.
    #[error("another process is writing {}; let it end", .0.display())]
    Busy(PathBuf),
    /// There is no seal at the end.
    #[error("{} is no whole backup: it was cut off, or is something else; take another", .0.display())]
    NoBackup(PathBuf),
    /// The seal does not fit what is before it.
    #[error(
        "{} is damaged, or was made by another installation: its seal does not open; take another",
        .0.display()
    )]
    BrokenSeal(PathBuf),
    /// The target is neither new nor an earlier copy.
    #[error(
        "{0} is not a copy of the source: it has keys, users, applications or records that the source lacks, \
         or newer ones, so it is another installation's, or has been used since, or the source has removed \
         records since; name a new database"
    )]
    NotACopy(String),
    /// One side of a copy cannot be used.
    #[error("the {0} cannot be used")]
    Side(&'static str, #[source] Box<Self>),
    /// What should be a file is written as a folder.
    #[error("{} names a folder; add the name of a file", .0.display())]
    NoName(PathBuf),
    /// Both sides are not the same at the end.
    #[error(
        "both sides differ in {0} after all; stop every server that uses one of them, and run the same \
         command again"
    )]
    Differs(&'static str),
}
