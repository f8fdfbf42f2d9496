//! One server per SQLite database.
//!
//! Invariant: while an `InstanceLock` lives, no other process has one for the same database. The
//! system releases it when the process ends, however it ends.

use std::fs::{File, TryLockError};

use crate::{Database, OpenError, conn::create_private};

/// The exclusive use of a database.
pub(crate) struct InstanceLock {
    _file: File,
}

impl InstanceLock {
    pub(crate) fn take(database: &Database) -> Result<Self, OpenError> {
        let Database::Sqlite(path) = database;
        let mut name = path.clone().into_os_string();
        name.push(".lock");
        let lock = std::path::PathBuf::from(name);
        let file = create_private(&lock)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.clone())),
            Err(TryLockError::Error(source)) => {
                Err(OpenError::File { action: "lock", path: lock, source })
            }
        }
    }
}
