//! Backups of an SQLite file, and restoring them.
//!
//! Invariant: under the requested name there is either a complete copy that was read back and verified, or nothing.
//! Every seal is opened before any part of its backup is used. Every restored database is paused before it gets its
//! name.

mod scratch;
mod trailer;

use std::{
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use diesel::{RunQueryDsl as _, connection::SimpleConnection as _, sql_query, sql_types::Text};

use self::{
    scratch::{BACKUP, PROOF, Scratch},
    trailer::Trailer,
};
use crate::{
    Clock, CopyError, Database, KekSources, OpenError, Store, VerifyReport,
    backend::{
        conn::{self, Conn},
        migrate,
        sqlite::instance_lock,
    },
    copies::verify,
    files::{beside, failed},
    keys::keyring::{self, Keyring},
    tables::{
        grants,
        provider_states::{self, RESTORED},
    },
};

/// Copies the database, as it is at one moment, into a new file; a server may be running on it. Seals the copy under
/// the active master key, then restores and verifies it as `restore` does. Reports how many records were checked.
/// Blocks.
///
/// # Errors
/// Each message says what to do. After an error the new file does not exist.
pub fn backup(
    database: &Database,
    keys: &KekSources,
    file: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<VerifyReport, CopyError> {
    let Database::Sqlite(_) = database else { return Err(CopyError::OnServer) };
    copy_to(file, keys, progress, || Ok(Conn::reading(&instance_lock::look(database)?)?))
}

impl Store {
    /// Backs up this store's own database, as `backup` does. Blocks.
    ///
    /// # Errors
    /// As `backup`.
    pub fn back_up(&self, keys: &KekSources, file: &Path) -> Result<VerifyReport, CopyError> {
        let database_file = self.0.database_file.as_ref().ok_or(CopyError::OnServer)?;
        let database = Database::Sqlite(database_file.path().to_owned());
        // Only SQLite may open the file: this process would lose its locks by closing another handle.
        copy_to(file, keys, &mut |_records| {}, || Ok(Conn::reading(&database)?))
    }
}

/// Removes what killed backups have left in a folder, if their names begin like this.
pub fn remove_unfinished(folder: &Path, start: &str) {
    scratch::remove_all_left(folder, start);
}

/// Makes, seals and proves a copy of the database that `open` reads.
fn copy_to(
    file: &Path,
    keys: &KekSources,
    progress: &mut dyn FnMut(u64),
    open: impl FnOnce() -> Result<Conn, CopyError>,
) -> Result<VerifyReport, CopyError> {
    if file.as_os_str().as_bytes().ends_with(b"/") {
        return Err(CopyError::NoName(file.to_owned()));
    }
    scratch::remove_left(file)?;
    refuse_existing(file, CopyError::Exists)?;
    let mut conn = open()?;
    let keyring = Keyring::load(keys, &mut conn)?.ok_or(CopyError::Nothing)?;
    let kek = keyring.active();
    let rows = keyring::rows_of_any_schema(&mut conn)?;
    let row = rows.into_iter().find(|row| row.id == kek.id()).ok_or(CopyError::Nothing)?;
    let scratch = Scratch::take(file)?;
    let copy = scratch.create(BACKUP)?;
    copy_into(&mut conn, &scratch.path(BACKUP))?;
    drop(conn);
    trailer::append((&copy, &scratch.path(BACKUP)), kek, &row)?;
    let mut trailer = Trailer::read(copy, scratch.path(BACKUP))?;
    let (_restored, proof) = unpack(&mut trailer, &scratch, keys, progress)?;
    put_in_place(&scratch, trailer.file(), BACKUP, file, CopyError::Exists)?;
    Ok(proof)
}

/// Restores a backup as a new database. Its grants are paused. Blocks.
///
/// # Errors
/// Each message says what to do. After an error the new database does not exist.
pub fn restore(
    file: &Path,
    database: &Database,
    keys: &KekSources,
    progress: &mut dyn FnMut(u64),
) -> Result<VerifyReport, CopyError> {
    let Database::Sqlite(path) = database else { return Err(CopyError::OnServer) };
    scratch::remove_left(path)?;
    refuse_existing(path, CopyError::Occupied)?;
    // The backup is opened before a folder is created for the database.
    let opened = File::open(file).map_err(failed("read", file))?;
    let mut trailer = Trailer::read(opened, file.to_owned())?;
    trailer.check(keys)?;
    let (path, _lock) = instance_lock::take_place(path)?;
    let scratch = Scratch::take(&path)?;
    let (restored, proof) = unpack(&mut trailer, &scratch, keys, progress)?;
    pause_grants(&scratch.path(PROOF))?;
    put_in_place(&scratch, &restored, PROOF, &path, CopyError::Occupied)?;
    Ok(proof)
}

/// Copies one snapshot of the database, without deleted data, into an empty file. Does not block a writer.
fn copy_into(conn: &mut Conn, path: &Path) -> Result<(), OpenError> {
    let Conn::Sqlite(conn) = conn else { unreachable!("a file is read by SQLite") };
    // SQLite treats a write into the new file as one into the database.
    conn.batch_execute("PRAGMA query_only = OFF;")?;
    let copied = sql_query("VACUUM INTO ?").bind::<Text, _>(conn::existing(path)).execute(conn);
    match copied {
        Ok(_rows) => Ok(()),
        // Diesel keeps only SQLite's message for SQLITE_CORRUPT.
        Err(error) if error.to_string().contains("malformed") => Err(error.into()),
        Err(error) => Err(failed("copy the database to", path)(io::Error::other(error))),
    }
}

/// Copies the database out of a backup, opens the seal, and verifies the copy, which is on the disk then.
fn unpack(
    trailer: &mut Trailer,
    scratch: &Scratch,
    keys: &KekSources,
    progress: &mut dyn FnMut(u64),
) -> Result<(File, VerifyReport), CopyError> {
    let (mut target, copy) = (scratch.create(PROOF)?, scratch.path(PROOF));
    trailer.pour(keys, Some((&mut target, &copy)))?;
    target.sync_all().map_err(failed("write", &copy))?;
    instance_lock::refuse_foreign(&copy)?;
    let mut conn = Conn::reading(&Database::Sqlite(copy))?;
    Ok((target, verify::prove(&mut conn, keys, progress)?))
}

/// Pauses the grants of the restored database until its operator resumes them, because the original may be using the
/// same refresh tokens. A schema without the table for that gets a mark, which the migration turns into a row.
fn pause_grants(restored: &Path) -> Result<(), CopyError> {
    let mut conn = Conn::amending(restored)?;
    if migrate::is_applied(&mut conn, grants::MIGRATION)? {
        let now = Clock::SYSTEM.now();
        conn::write(&mut conn, |conn| provider_states::pause_all(conn, RESTORED, now))?;
    } else {
        conn.batch_execute("PRAGMA user_version = 1;")?;
    }
    Ok(())
}

/// Moves a file to its final name, which must be free.
fn put_in_place(
    scratch: &Scratch,
    file: &File,
    made: &str,
    name: &Path,
    refusal: fn(PathBuf) -> CopyError,
) -> Result<(), CopyError> {
    refuse_existing(name, refusal)?;
    scratch.put_in_place(file, made, name).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => refusal(name.to_owned()),
        _ => failed("write", name)(error).into(),
    })
}

/// Suffixes of the files that SQLite keeps for a database.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Refuses a place that holds a file, or one of SQLite's files for it.
fn refuse_existing(path: &Path, refusal: fn(PathBuf) -> CopyError) -> Result<(), CopyError> {
    for path in SUFFIXES.map(|suffix| beside(path, suffix)) {
        match fs::symlink_metadata(&path) {
            Ok(_there) => return Err(refusal(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at", &path)(error).into()),
        }
    }
    Ok(())
}
