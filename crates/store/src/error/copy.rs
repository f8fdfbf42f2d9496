//! Errors of backups, copies and verification.
//!
//! Invariant: a backup or restore that fails leaves its target as it was. A copy that fails may have written rows; the
//! same command continues it.

use std::path::PathBuf;

use super::{OpenError, StoreError};

/// A copy was not made, or a database was not verified.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A database, its keys or a file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A row cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database has no seal to verify.
    #[error("nothing was ever sealed in it; start a server on it first, or name another database")]
    Nothing,
    /// The database is on PostgreSQL.
    #[error(
        "a database on PostgreSQL is backed up and restored by PostgreSQL's own tools, such as pg_dump"
    )]
    OnServer,
    /// The copy's file exists; copies never overwrite.
    #[error("{} is there already; name another file, or move that one away", .0.display())]
    Exists(PathBuf),
    /// The restore's target exists; restores never overwrite.
    #[error("there is a database: {}; if it is not needed, stop its server and move it away with its files ending \
         in -wal and -shm", .0.display()
    )]
    Occupied(PathBuf),
    /// Another process makes the same copy.
    #[error("another process is writing {}; let it end", .0.display())]
    Busy(PathBuf),
    /// The file has no seal at its end.
    #[error("{} is no whole backup: it was cut off, or is something else; take another", .0.display())]
    NoBackup(PathBuf),
    /// The seal does not match the file.
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
    /// The path names a folder instead of a file.
    #[error("{} names a folder; add the name of a file", .0.display())]
    NoName(PathBuf),
    /// The two sides still differ after the copy.
    #[error(
        "both sides differ in {0} after all; stop every server that uses one of them, and run the same \
         command again"
    )]
    Differs(&'static str),
}
