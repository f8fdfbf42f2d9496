//! The master keys (KEKs) of a database, and the sentinels that recognise them.
//!
//! Invariant: a `Keyring` holds the right key for every sentinel of the database.

use std::fs;

use diesel::prelude::*;
use tracing::{info, warn};

use crate::{
    Keys, OpenError, StoreError,
    conn::{self, Conn},
    files::failed,
    ids,
    keys::{KeySource, NewKek},
    migrate,
    schema::keks,
    seal::Kek,
};

/// The migration since which a key's row says where it is kept.
const LIFECYCLE: &str = "20261124030000";

/// A master key's row: everything but the key.
#[derive(Clone, Debug, Default, Insertable, Queryable, Selectable)]
#[diesel(table_name = keks)]
pub(crate) struct KekRow {
    pub(crate) id: String,
    pub(crate) sentinel: Vec<u8>,
    pub(crate) created: i64,
    pub(crate) source: String,
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) wraps: i64,
}

/// All master keys that the database needs.
pub(crate) struct Keyring {
    active: Kek,
    others: Vec<Kek>,
}

impl Keyring {
    /// Loads the keys of the database; `None` if nothing was ever sealed in it.
    pub(crate) fn load(keys: &Keys, conn: &mut Conn) -> Result<Option<Self>, OpenError> {
        if migrate::is_new(conn)? {
            return Ok(None);
        }
        Self::of(keys, rows(conn)?)
    }

    /// The keys of these rows, the youngest first.
    fn of(keys: &Keys, rows: Vec<KekRow>) -> Result<Option<Self>, OpenError> {
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let key = keys.find(&row)?;
            if !key.opens_sentinel(&row.sentinel) {
                return Err(OpenError::KeyWrong(keys.place_of(&row)));
            }
            found.push(key);
        }
        let mut found = found.into_iter();
        Ok(found.next().map(|active| Self { active, others: found.collect() }))
    }

    /// Takes the first key of a database that has none. If another server was faster, its key is the
    /// database's.
    pub(crate) fn begin(keys: &Keys, conn: &mut Conn) -> Result<Self, OpenError> {
        let new = keys.first()?;
        if !new.is_made && new.source == KeySource::Directory {
            warn!(
                kek.id = new.kek.id(),
                "the database is new but its master key is not; if there should be records, \
                 stop the server and restore the database"
            );
        }
        match conn::write_serially(conn, |conn| insert_first(conn, &new)) {
            Ok(()) => {
                info!(kek.id = new.kek.id(), "sealing under this master key from now on");
                Ok(Self { active: new.kek, others: Vec::new() })
            }
            Err(StoreError::Conflict(_) | StoreError::Overloaded) => {
                info!("another server was faster: its master key is that of this database");
                let rows = rows(conn)?;
                // It may have taken up this very key, where both have the same folder.
                let is_file = new.is_made && new.source == KeySource::Directory;
                if is_file && rows.iter().all(|row| row.id != new.kek.id()) {
                    let path = keys.file_of(new.kek.id());
                    fs::remove_file(&path).map_err(failed("remove", &path))?;
                }
                Self::of(keys, rows)?
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

/// The rows of all keys, the youngest first.
fn rows(conn: &mut Conn) -> Result<Vec<KekRow>, OpenError> {
    let rows = keks::table.order((keks::created.desc(), keks::id.desc()));
    // Keys are looked at before the schema is brought up to date.
    if !migrate::is_applied(conn, LIFECYCLE)? {
        let rows: Vec<(String, Vec<u8>, i64)> =
            rows.select((keks::id, keks::sentinel, keks::created)).load(conn)?;
        let row = |(id, sentinel, created)| KekRow {
            id,
            sentinel,
            created,
            source: KeySource::Directory.name().to_owned(),
            ..KekRow::default()
        };
        return Ok(rows.into_iter().map(row).collect());
    }
    Ok(rows.select(KekRow::as_select()).load(conn)?)
}

/// Adds the row of the first key; `Conflict` if it is not the first.
fn insert_first(conn: &mut Conn, new: &NewKek) -> Result<(), StoreError> {
    if keks::table.count().get_result::<i64>(conn)? > 0 {
        return Err(StoreError::Conflict("master key"));
    }
    diesel::insert_into(keks::table).values(row_of(new)).execute(conn)?;
    Ok(())
}

fn row_of(new: &NewKek) -> KekRow {
    KekRow {
        id: new.kek.id().to_owned(),
        sentinel: new.kek.sentinel(),
        created: ids::now(),
        source: new.source.name().to_owned(),
        sealed: new.sealed.clone(),
        wraps: 0,
    }
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
