//! The master keys (KEKs): files beside the database, and the sentinels that recognise them.
//!
//! Invariant: a `Keyring` holds the right key for every sentinel of the database. A key is made only
//! where there is neither a key nor a sentinel, and is on disk before anything is sealed under it.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use diesel::prelude::*;
use tracing::info;
use zeroize::Zeroizing;

use crate::{
    OpenError, StoreError,
    conn::{self, Conn, create_private_directory, failed},
    ids,
    schema::keks,
    seal::Kek,
};

const PREFIX: &str = "kek-";
const SUFFIX: &str = ".key";

/// All master keys that the database needs.
pub(crate) struct Keyring {
    active: Kek,
    others: Vec<Kek>,
}

impl Keyring {
    /// Loads the keys of the database, or makes the first one for a new database.
    pub(crate) fn open(directory: &Path, conn: &mut Conn) -> Result<Self, OpenError> {
        let sentinels: Vec<(String, Vec<u8>)> = keks::table
            .select((keks::id, keks::sentinel))
            .order((keks::created.desc(), keks::id.desc()))
            .load(conn)?;
        if sentinels.is_empty() {
            return Ok(Self { active: first_key(directory, conn)?, others: Vec::new() });
        }
        let mut keys = Vec::with_capacity(sentinels.len());
        for (id, sentinel) in sentinels {
            let path = path_of(directory, &id);
            if !path.exists() {
                return Err(OpenError::KeyMissing { id, path });
            }
            let key = read(&path, id)?;
            if !key.opens_sentinel(&sentinel) {
                return Err(OpenError::KeyWrong(path));
            }
            keys.push(key);
        }
        let active = keys.remove(0);
        Ok(Self { active, others: keys })
    }

    /// The key that new records are sealed under: the youngest.
    pub(crate) fn active(&self) -> &Kek {
        &self.active
    }

    /// The key with this id.
    pub(crate) fn find(&self, id: &str) -> Option<&Kek> {
        std::iter::once(&self.active).chain(&self.others).find(|key| key.id() == id)
    }

    /// Checks that the active key's sentinel is in the database and opens.
    pub(crate) fn check(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let sentinel: Option<Vec<u8>> =
            keks::table.find(self.active.id()).select(keks::sentinel).first(conn).optional()?;
        match sentinel {
            Some(sentinel) if self.active.opens_sentinel(&sentinel) => Ok(()),
            _ => Err(StoreError::Sentinel),
        }
    }
}

/// The key for a database without one: the only file there is, left by a start that was cut short or
/// put there by an operator, or else a new one.
fn first_key(directory: &Path, conn: &mut Conn) -> Result<Kek, OpenError> {
    create_private_directory(directory)?;
    let mut ids = ids_in(directory)?;
    let key = match (ids.pop(), ids.pop()) {
        (None, _) => generate(directory)?,
        (Some(id), None) => read(&path_of(directory, &id), id)?,
        (Some(_), Some(_)) => return Err(OpenError::KeyAmbiguous(directory.to_owned())),
    };
    let row =
        (keks::id.eq(key.id()), keks::sentinel.eq(key.sentinel()), keks::created.eq(ids::now()));
    conn::write(conn, |conn| Ok(diesel::insert_into(keks::table).values(row).execute(conn)?))
        .map_err(|error| OpenError::Database(error.into()))?;
    info!(kek.id = key.id(), "sealing under this master key from now on");
    Ok(key)
}

fn generate(directory: &Path) -> Result<Kek, OpenError> {
    let id: String = ids::random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes: Zeroizing<[u8; 32]> = ids::random();
    let path = path_of(directory, &id);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&path).map_err(failed("create", &path))?;
    file.write_all(bytes.as_slice())
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(directory)?.sync_all())
        .map_err(failed("write", &path))?;
    Ok(Kek::new(id, &bytes))
}

fn read(path: &Path, id: String) -> Result<Kek, OpenError> {
    let mode = fs::metadata(path).map_err(failed("read", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(OpenError::KeyExposed(path.to_owned()));
    }
    let contents = Zeroizing::new(fs::read(path).map_err(failed("read", path))?);
    let is_constant = contents.iter().all(|byte| Some(byte) == contents.first());
    match <&[u8; 32]>::try_from(contents.as_slice()) {
        Ok(bytes) if !is_constant => Ok(Kek::new(id, bytes)),
        _ => Err(OpenError::KeyMalformed { path: path.to_owned(), length: contents.len() }),
    }
}

fn path_of(directory: &Path, id: &str) -> PathBuf {
    directory.join(format!("{PREFIX}{id}{SUFFIX}"))
}

/// The ids of the key files in the folder.
fn ids_in(directory: &Path) -> Result<Vec<String>, OpenError> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed("read", directory))? {
        let name = entry.map_err(failed("read", directory))?.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
        ids.extend(id.map(str::to_owned));
    }
    Ok(ids)
}
