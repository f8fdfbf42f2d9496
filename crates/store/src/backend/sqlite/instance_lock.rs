//! One server per SQLite database.
//!
//! Invariant: while an `InstanceLock` lives, no other process has one for the same database, under any name. The system
//! releases it when the process ends, however it ends.

use std::{
    fs::{self, File, TryLockError},
    io::{ErrorKind, Read as _},
    ops::Range,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{
    Database, OpenError,
    backend::{conn::APPLICATION_ID, postgres::pooler},
    files::{self, beside, failed},
};

/// The exclusive use of a database.
pub(crate) struct InstanceLock {
    _file: File,
}

/// Locks a database for this process, and creates its file if it is missing. Returns its canonical path, with all
/// symbolic links resolved. Refuses a file of another program and leaves it unchanged.
///
/// This is the only place that reads the file without SQLite, and it runs before there is a connection. SQLite's own
/// locks belong to the process, which loses them when it closes any handle on the file.
///
/// A PostgreSQL database gets no lock, because PostgreSQL decides who may use it. Instead, this checks for a pooler.
pub(crate) fn take(database: &Database) -> Result<(Database, Option<InstanceLock>), OpenError> {
    let path = match database {
        Database::Sqlite(path) => path,
        Database::Postgres(url) => {
            pooler::refuse(url)?;
            return Ok((database.clone(), None));
        }
    };
    let (path, lock) = take_place(path)?;
    if files::create_new(&path, files::folder_of(&path))?.is_none() {
        refuse_foreign(&path)?;
        for file in [path.clone(), beside(&path, "-wal"), beside(&path, "-shm")] {
            files::shut_out_others(&file)?;
        }
    }
    Ok((Database::Sqlite(path), Some(lock)))
}

/// Finds a database to read from, without a lock and without creating anything.
pub(crate) fn look(database: &Database) -> Result<Database, OpenError> {
    let Database::Sqlite(path) = database else { return Ok(database.clone()) };
    match fs::canonicalize(path) {
        Ok(path) => refuse_foreign(&path).map(|()| Database::Sqlite(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(OpenError::NotThere(path.clone())),
        Err(error) => Err(failed("find", path)(error)),
    }
}

/// Locks the place of a database, even if the file is missing, and returns its canonical path. Creates the folder.
pub(crate) fn take_place(path: &Path) -> Result<(PathBuf, InstanceLock), OpenError> {
    let folder = files::folder_of(path);
    files::create_folder(folder)?;
    let name = path.file_name().ok_or(OpenError::UnsupportedUrl)?;
    let path: PathBuf = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(_not_there_yet) => fs::canonicalize(folder).map_err(failed("find", folder))?.join(name),
    };
    let lock = beside(&path, ".lock");
    let like = if path.exists() { &path } else { files::folder_of(&path) };
    let file = files::open_or_create(&lock, like)?;
    match file.try_lock() {
        Ok(()) => Ok((path, InstanceLock { _file: file })),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path)),
        Err(TryLockError::Error(error)) => Err(failed("lock", &lock)(error)),
    }
}

/// Refuses a file that is neither empty nor a database with this server's mark, and a file with several names.
pub(crate) fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    const MARK: Range<usize> = 68..72;
    let file = File::open(path).map_err(failed("read", path))?;
    let links = file.metadata().map_err(failed("read", path))?.nlink();
    if links > 1 {
        return Err(OpenError::Linked(links));
    }
    let mut header = Vec::new();
    file.take(MARK.end as u64).read_to_end(&mut header).map_err(failed("read", path))?;
    let is_own = header.starts_with(MAGIC)
        && header.get(MARK) == Some(APPLICATION_ID.to_be_bytes().as_slice());
    if is_own || header.is_empty() { Ok(()) } else { Err(OpenError::Foreign) }
}
