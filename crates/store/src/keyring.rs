//! The master keys (KEKs): files beside the database, and the sentinels that recognise them.
//!
//! Invariant: a `Keyring` holds the right key for every sentinel of the database. A key is made only
//! where there is neither a key nor a sentinel, and is on disk before anything is sealed under it.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use diesel::prelude::*;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::{
    OpenError, StoreError,
    conn::{self, Conn},
    files::{self, failed},
    ids, migrate,
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
    /// Loads the keys of the database; `None` if nothing was ever sealed in it.
    pub(crate) fn load(directory: &Path, conn: &mut Conn) -> Result<Option<Self>, OpenError> {
        if migrate::is_new(conn)? {
            return Ok(None);
        }
        Self::of(directory, sentinels(conn)?)
    }

    /// The keys of these sentinels, the youngest first.
    fn of(directory: &Path, sentinels: Vec<(String, Vec<u8>)>) -> Result<Option<Self>, OpenError> {
        let mut keys = Vec::with_capacity(sentinels.len());
        for (id, sentinel) in sentinels {
            let path = path_of(directory, &id);
            let key = read(&path, id)?;
            if !key.opens_sentinel(&sentinel) {
                return Err(OpenError::KeyWrong(path));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        Ok(keys.next().map(|active| Self { active, others: keys.collect() }))
    }

    /// Takes the first key of a database that has none: the only file there is, put there by an
    /// operator or left by a start that was cut short, or else a new one. If another server was faster,
    /// its key is the database's.
    pub(crate) fn begin(directory: &Path, conn: &mut Conn) -> Result<Self, OpenError> {
        files::create_folder(directory)?;
        let mut ids = ids_in(directory)?;
        let (active, is_made) = match (ids.pop(), ids.pop()) {
            (None, _) => (generate(directory)?, true),
            (Some(id), None) => {
                warn!(
                    kek.id = id,
                    "the database is new but its master key is not; if there should be records, \
                     stop the server and restore the database"
                );
                (read(&path_of(directory, &id), id)?, false)
            }
            (Some(_), Some(_)) => return Err(OpenError::KeyAmbiguous(directory.to_owned())),
        };
        match conn::write_serially(conn, |conn| insert_first(conn, &active)) {
            Ok(()) => {
                info!(kek.id = active.id(), "sealing under this master key from now on");
                Ok(Self { active, others: Vec::new() })
            }
            Err(StoreError::Conflict(_) | StoreError::Overloaded) => {
                info!("another server was faster: its master key is that of this database");
                let sentinels = sentinels(conn)?;
                // It may have taken up this very key, where both have the same folder.
                if is_made && sentinels.iter().all(|(id, _sentinel)| id != active.id()) {
                    let path = path_of(directory, active.id());
                    fs::remove_file(&path).map_err(failed("remove", &path))?;
                }
                Self::of(directory, sentinels)?
                    .ok_or_else(|| OpenError::database(StoreError::Sentinel.into()))
            }
            Err(error) => Err(OpenError::database(error.into())),
        }
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

/// The ids and sentinels of all keys, the youngest first.
fn sentinels(conn: &mut Conn) -> Result<Vec<(String, Vec<u8>)>, OpenError> {
    let sentinels = keks::table
        .select((keks::id, keks::sentinel))
        .order((keks::created.desc(), keks::id.desc()));
    Ok(sentinels.load(conn)?)
}

/// Adds the sentinel of the first key; `Conflict` if it is not the first.
fn insert_first(conn: &mut Conn, key: &Kek) -> Result<(), StoreError> {
    if keks::table.count().get_result::<i64>(conn)? > 0 {
        return Err(StoreError::Conflict("master key"));
    }
    let row =
        (keks::id.eq(key.id()), keks::sentinel.eq(key.sentinel()), keks::created.eq(ids::now()));
    diesel::insert_into(keks::table).values(row).execute(conn)?;
    Ok(())
}

/// Writes a master key's row, and leaves it as it was. SQLite writes nothing for a row that is set to
/// what it is, hence the two steps.
pub(crate) fn touch(conn: &mut Conn, id: &str) -> Result<(), StoreError> {
    for step in [1, -1] {
        let row = diesel::update(keks::table.find(id));
        row.set(keks::created.eq(keks::created + step)).execute(conn)?;
    }
    Ok(())
}

fn generate(directory: &Path) -> Result<Kek, OpenError> {
    let id: String = ids::random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes: Zeroizing<[u8; 32]> = ids::random();
    files::write_whole(&path_of(directory, &id), bytes.as_slice())?;
    Ok(Kek::new(id, &bytes))
}

fn read(path: &Path, id: String) -> Result<Kek, OpenError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(OpenError::KeyMissing { id, path: path.to_owned() });
        }
        Err(error) => return Err(failed("read", path)(error)),
    };
    let mode = file.metadata().map_err(failed("read", path))?.permissions().mode();
    if files::is_exposed(mode) {
        return Err(OpenError::KeyExposed(path.to_owned()));
    }
    let mut contents = Zeroizing::new(Vec::new());
    file.read_to_end(&mut contents).map_err(failed("read", path))?;
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
