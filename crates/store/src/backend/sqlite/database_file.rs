//! The place of an SQLite file. Checks that the file at the path is still the one that the server has open, and that
//! its disk has room.
//!
//! Invariant: no connection is opened to a file that replaced the open one. Its write-ahead log has the same name, so
//! SQLite would read the log of one file into the other. The path is only examined by `stat`, because opening the file
//! would lose this process's locks on it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tracing::{error, info, warn};

use crate::{
    Database, OpenError, StoreError,
    error::{Source, error_chain},
    files::{beside, failed},
};

/// The path of a file, and its identity when the first connection was opened.
pub(crate) struct DatabaseFile {
    path: PathBuf,
    file: Identity,
    is_other: AtomicBool,
    /// Whether the write-ahead log was removed or replaced under its connections. Only a restart fixes that.
    is_log_other: AtomicBool,
    /// The error while the disk has no room for SQLite's files next to the database.
    no_room: Mutex<Option<Source>>,
}

/// Device and inode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

/// The error of all reads and writes after the file was replaced.
#[derive(Debug, thiserror::Error)]
#[error(
    "the file {} is not the one that this server has open: it was moved, removed or replaced; put that file \
     back, or restart the server to use what is there now", .0.display()
)]
pub(crate) struct Replaced(PathBuf);

impl Replaced {
    fn error(path: PathBuf) -> StoreError {
        StoreError::Unavailable(Arc::new(Self(path)))
    }
}

impl DatabaseFile {
    /// Returns its path, with all symbolic links resolved.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Identifies a file to which a connection was just opened. Returns `None` for PostgreSQL.
    pub(crate) fn of(database: &Database) -> Result<Option<Arc<Self>>, OpenError> {
        let Database::Sqlite(path) = database else { return Ok(None) };
        let file = identity(path).map_err(failed("look at", path))?;
        Ok(Some(Arc::new(Self {
            path: path.clone(),
            file,
            is_other: AtomicBool::default(),
            is_log_other: AtomicBool::default(),
            no_room: Mutex::default(),
        })))
    }

    /// Checks that the file is still in its place. A change is logged once.
    ///
    /// # Errors
    /// `Unavailable`: the file was replaced or removed, or `stat` fails.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let is_other = match identity(&self.path) {
            Ok(file) => file != self.file,
            Err(_gone_or_unknown) => true,
        };
        match (self.is_other.swap(is_other, Relaxed), is_other) {
            (false, true) => error!("{}", Replaced(self.path.clone())),
            (true, false) => info!(file = %self.path.display(), "the database's file is back"),
            _ => {}
        }
        self.known()
    }

    /// Returns the result of the last `check`.
    pub(crate) fn known(&self) -> Result<(), StoreError> {
        if self.is_log_other.load(Relaxed) {
            return Err(Replaced::error(self.log()));
        }
        if self.is_other.load(Relaxed) {
            return Err(Replaced::error(self.path.clone()));
        }
        Ok(())
    }

    /// Checks that the write-ahead log is still the one that this connection began with. The first call identifies the
    /// log. Call it after a commit: SQLite keeps the log as long as a connection is open.
    ///
    /// # Errors
    /// `Unavailable`: the log was replaced or removed. The error persists.
    pub(crate) fn check_log(&self, known: &mut Option<Identity>) -> Result<(), StoreError> {
        let now = identity(&self.log()).ok();
        if known.is_none() || *known == now {
            *known = now;
            return Ok(());
        }
        if !self.is_log_other.swap(true, Relaxed) {
            error!("{}", Replaced(self.log()));
        }
        self.known()
    }

    /// Returns the path of the write-ahead log.
    pub(crate) fn log(&self) -> PathBuf {
        beside(&self.path, "-wal")
    }

    /// Returns the database of this file.
    pub(crate) fn database(&self) -> Database {
        Database::Sqlite(self.path.clone())
    }

    /// Returns the error while the disk has no room, or `None`.
    pub(crate) fn no_room(&self) -> Option<Source> {
        self.no_room.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that the disk has no room. Nothing is written until it has.
    pub(crate) fn set_no_room(&self, error: OpenError) {
        warn!(
            error = error_chain(&error),
            "the disk has no room; until it has, records can be read but not saved"
        );
        *self.no_room.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(error));
    }

    /// Records that the disk has room again.
    pub(crate) fn set_room(&self) {
        info!("the disk has room again");
        *self.no_room.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|metadata| Identity(metadata.dev(), metadata.ino()))
}
