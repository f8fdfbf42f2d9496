//! One server per SQLite database.
//!
//! Invariant: while an `InstanceLock` lives, no other process has one for the same database, whatever
//! name it uses. The system releases it when the process ends, however it ends.

use std::{
    fs::{self, File, TryLockError},
    path::PathBuf,
};

use crate::{Database, OpenError, files};

/// The exclusive use of a database.
pub(crate) struct InstanceLock {
    _file: File,
}

/// Takes a database for this process, making its file if there is none; the same database by the one
/// name that all links to it lead to.
///
/// SQLite's own locks belong to the process and are lost when it closes any handle on the file, so the
/// database is never opened here, but through SQLite alone.
pub(crate) fn take(database: &Database) -> Result<(Database, InstanceLock), OpenError> {
    let Database::Sqlite(path) = database;
    let folder = files::folder_of(path);
    files::create_folder(folder)?;
    let name = path.file_name().ok_or(OpenError::UnsupportedUrl)?;
    let path: PathBuf = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(_not_there_yet) => {
            fs::canonicalize(folder).map_err(files::failed("find", folder))?.join(name)
        }
    };

    let mut lock_name = path.clone().into_os_string();
    lock_name.push(".lock");
    let lock = PathBuf::from(lock_name);
    let file = files::open_or_create(&lock)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(path)),
        Err(TryLockError::Error(error)) => return Err(files::failed("lock", &lock)(error)),
    }
    files::ensure_private(&path)?;
    Ok((Database::Sqlite(path), InstanceLock { _file: file }))
}
