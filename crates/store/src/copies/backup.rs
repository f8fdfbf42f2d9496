//! Backups of an SQLite file, and what is made of them.
//!
//! Invariant: under the name that was asked for there is either a whole copy that was read back and proved, or
//! nothing; and nothing of a backup is used before its seal was opened. A restored database is paused before it has
//! its name.

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
    Clock, CopyError, Database, KekSources, OpenError, VerifyReport,
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

/// Copies the database as it is at one moment into a new file, also beside a server. The copy is sealed under
/// the master key in use, and then restored and proved as `restore` does. Tells how many records of it were
/// looked at. Blocks.
///
/// # Errors
/// Each says what to do; then there is no such file.
pub fn backup(
    database: &Database,
    keys: &KekSources,
    file: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<VerifyReport, CopyError> {
    let Database::Sqlite(_) = database else { return Err(CopyError::OnServer) };
    if file.as_os_str().as_bytes().ends_with(b"/") {
        return Err(CopyError::NoName(file.to_owned()));
    }
    scratch::remove_left(file)?;
    refuse_existing(file, CopyError::Exists)?;
    let mut conn = Conn::reading(&instance_lock::look(database)?)?;
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

/// Makes the database of a backup where there is none. Its grants are paused. Blocks.
///
/// # Errors
/// Each says what to do; then nothing is there.
pub fn restore(
    file: &Path,
    database: &Database,
    keys: &KekSources,
    progress: &mut dyn FnMut(u64),
) -> Result<VerifyReport, CopyError> {
    let Database::Sqlite(path) = database else { return Err(CopyError::OnServer) };
    scratch::remove_left(path)?;
    refuse_existing(path, CopyError::Occupied)?;
    // Before a folder is made for it.
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

/// Copies what SQLite reads in one snapshot, without what was deleted, into an empty file; a writer is not held
/// up.
fn copy_into(conn: &mut Conn, path: &Path) -> Result<(), OpenError> {
    let Conn::Sqlite(conn) = conn else { unreachable!("a file is read by SQLite") };
    // SQLite takes a write into the new file for one into the database.
    conn.batch_execute("PRAGMA query_only = OFF;")?;
    let copied = sql_query("VACUUM INTO ?").bind::<Text, _>(conn::existing(path)).execute(conn);
    match copied {
        Ok(_rows) => Ok(()),
        // SQLite's words are all that diesel tells of SQLITE_CORRUPT.
        Err(error) if error.to_string().contains("malformed") => Err(error.into()),
        Err(error) => Err(failed("copy the database to", path)(io::Error::other(error))),
    }
}

/// Copies the database out of a backup, opens the seal, and proves the copy, which is then on the disk.
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

/// Lets no server on the restored database send a refresh token before its operator says so, because the original may
/// be using the same ones. A schema without the table for that gets a mark, of which the migration makes a row.
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

/// Gives a file the name that it was made for, which is still free.
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

/// What SQLite keeps in files beside that of a database.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Refuses a place where there is a file, or what belongs to one.
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
