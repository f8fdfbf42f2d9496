//! The place of an SQLite file: whether the file that a server has open is still the one at its path, and whether
//! its disk has room.
//!
//! Invariant: no connection is opened to a file that took the place of the one that is open. Its write-ahead log
//! has the same name, so SQLite would read the log of one file into the other. The file is looked at by its path
//! alone (`stat`), for opening it would cost this process its locks.

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

/// Where a file is, and which one it was when the first connection was opened.
pub(crate) struct DatabaseFile {
    path: PathBuf,
    file: Identity,
    is_other: AtomicBool,
    /// Whether the write-ahead log was removed or replaced under its connections, which only a restart mends.
    is_log_other: AtomicBool,
    /// Why nothing can be written, as long as the disk has no room for what SQLite needs beside the file.
    no_room: Mutex<Option<Source>>,
}

/// Device and inode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

/// Why nothing is read or written.
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
    /// That of a file to which a connection was just opened; `None` for a database on a server.
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

    /// Looks whether the file is still there. A change is logged once.
    ///
    /// # Errors
    /// `Unavailable` if another file is there, or none, or `stat` fails.
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

    /// As `check`, by what was found the last time.
    pub(crate) fn known(&self) -> Result<(), StoreError> {
        if self.is_log_other.load(Relaxed) {
            return Err(Replaced::error(self.log()));
        }
        if self.is_other.load(Relaxed) {
            return Err(Replaced::error(self.path.clone()));
        }
        Ok(())
    }

    /// Looks whether the write-ahead log is still the one that this connection began with; the first time, which it
    /// is. To be called after a commit: SQLite keeps the log as long as a connection is open.
    ///
    /// # Errors
    /// `Unavailable` if it is not, from now on.
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

    fn log(&self) -> PathBuf {
        beside(&self.path, "-wal")
    }

    /// The database that the file is.
    pub(crate) fn database(&self) -> Database {
        Database::Sqlite(self.path.clone())
    }

    /// Why there is no room; `None` if there is.
    pub(crate) fn no_room(&self) -> Option<Source> {
        self.no_room.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that there is no room: until there is, nothing is written.
    pub(crate) fn set_no_room(&self, error: OpenError) {
        warn!(
            error = error_chain(&error),
            "the disk has no room; until it has, records can only be got"
        );
        *self.no_room.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(error));
    }

    /// Notes that there is room.
    pub(crate) fn set_room(&self) {
        info!("the disk has room again");
        *self.no_room.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|metadata| Identity(metadata.dev(), metadata.ino()))
}
