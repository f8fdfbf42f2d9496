//! The master keys (KEKs) of a database, and the sentinels that identify them.
//!
//! Invariant: for every sentinel of the database, a `Keyring` holds the right key or reports the key as missing. At the
//! start no key in use may be missing.

use std::sync::Arc;

use diesel::{dsl::exists, prelude::*};
use tracing::{info, warn};

use crate::{
    KekSources, OpenError, StoreError,
    backend::{
        conn::{self, Conn, with_slow_timeout},
        migrate,
    },
    error::error_chain,
    keys::{CandidateKek, KeySource, wrap_budget::WrapBudget},
    seal::Kek,
    tables::schema::{external_tokens, keks},
};

/// The migration that added the source to a key's row.
pub(crate) const LIFECYCLE: &str = "20261124030000";

/// Creation time of an announced key, which waits for running servers and is not in use yet. It sorts after all others.
pub(crate) const ANNOUNCED: i64 = 0;

/// A master key's row: everything except the key.
#[derive(Clone, Debug, Default, PartialEq, Insertable, Queryable, Selectable)]
#[diesel(table_name = keks)]
pub(crate) struct KekRow {
    pub(crate) id: String,
    pub(crate) sentinel: Vec<u8>,
    pub(crate) created: i64,
    pub(crate) source: String,
    pub(crate) sealed: Option<Vec<u8>>,
    pub(crate) wraps: i64,
}

impl KekRow {
    /// Returns whether a rotation announced the key and waits for running servers that lack it.
    pub(crate) fn is_announced(&self) -> bool {
        self.created == ANNOUNCED
    }
}

/// A key in memory.
struct LoadedKek {
    kek: Kek,
    wraps: WrapBudget,
}

/// A key that the database knows and this process lacks.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) id: String,
    /// The cause, and what to do.
    pub(crate) reason: String,
    is_announced: bool,
}

impl Missing {
    fn new(row: &KekRow, error: &OpenError) -> Self {
        Self { id: row.id.clone(), reason: error_chain(error), is_announced: row.is_announced() }
    }
}

/// The master keys that the database needs.
pub(crate) struct Keyring {
    /// Keys in use, newest first; never empty.
    held: Vec<Arc<LoadedKek>>,
    /// The announced key, while a rotation waits for running servers that lack it.
    announced: Option<Arc<LoadedKek>>,
    missing: Vec<Missing>,
}

impl Keyring {
    /// Loads the keys of the database. Returns `None` if nothing was ever sealed in it.
    pub(crate) fn load(keys: &KekSources, conn: &mut Conn) -> Result<Option<Self>, OpenError> {
        let rows = rows_of_any_schema(conn)?;
        Self::of(keys, &rows, conn)
    }

    /// Loads the keys of the database, except those that cannot be loaded, as long as at least one can. For showing and
    /// retiring missing keys.
    pub(crate) fn load_some(keys: &KekSources, conn: &mut Conn) -> Result<Option<Self>, OpenError> {
        let rows = rows_of_any_schema(conn)?;
        let some = Self::of_held(Vec::new()).follow(keys, &rows);
        if some.held.is_empty() { Self::of(keys, &rows, conn) } else { Ok(Some(some)) }
    }

    /// Loads the keys of these rows, which are newest first.
    fn of(keys: &KekSources, rows: &[KekRow], conn: &mut Conn) -> Result<Option<Self>, OpenError> {
        let mut keyring = Self::of_held(Vec::with_capacity(rows.len()));
        let held = &mut keyring.held;
        for row in rows {
            match LoadedKek::load(keys, row) {
                Ok(new) if row.is_announced() => keyring.announced = Some(Arc::new(new)),
                Ok(new) => held.push(Arc::new(new)),
                Err(error) if row.is_announced() => {
                    let missing = Missing::new(row, &error);
                    warn!(
                        kek.id = missing.id,
                        error = missing.reason,
                        "a rotation to a master key waits, because it is missing here"
                    );
                    keyring.missing.push(missing);
                }
                Err(OpenError::KeyMissing { id, .. } | OpenError::SecretMissing(id))
                    if !held.is_empty() && !is_needed(conn, &id)? =>
                {
                    return Err(OpenError::KeyNotNeeded(id));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((!held.is_empty()).then_some(keyring))
    }

    fn of_held(held: Vec<Arc<LoadedKek>>) -> Self {
        Self { held, announced: None, missing: Vec::new() }
    }

    /// Loads the keys of these rows, which are newest first. Keys in memory stay. A key that cannot be loaded counts as
    /// missing, and the others keep working.
    pub(crate) fn follow(&self, keys: &KekSources, rows: &[KekRow]) -> Self {
        let mut next = Self::of_held(Vec::with_capacity(rows.len()));
        for row in rows {
            let known = self.all().find(|held| held.kek.id() == row.id);
            let found = match known {
                Some(known) => Ok(Arc::clone(known)),
                None => LoadedKek::load(keys, row).map(Arc::new),
            };
            match found {
                Ok(held) if row.is_announced() => next.announced = Some(held),
                Ok(held) => next.held.push(held),
                Err(error) => next.missing.push(Missing::new(row, &error)),
            }
        }
        if next.held.is_empty() {
            next.held.clone_from(&self.held);
        }
        next
    }

    /// Returns the keys in use, newest first, and then the announced one.
    fn all(&self) -> impl Iterator<Item = &Arc<LoadedKek>> {
        self.held.iter().chain(&self.announced)
    }

    /// Returns the ids of the loaded keys, in the order of the database's rows.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.all().map(|held| held.kek.id())
    }

    /// Returns whether this keyring has exactly the keys of these rows.
    pub(crate) fn is_of(&self, rows: &[KekRow]) -> bool {
        let in_use = rows.iter().filter(|row| !row.is_announced()).map(|row| row.id.as_str());
        let announced = rows.iter().filter(|row| row.is_announced()).map(|row| row.id.as_str());
        self.missing.is_empty()
            && self.held.iter().map(|held| held.kek.id()).eq(in_use)
            && self.announced.iter().map(|held| held.kek.id()).eq(announced)
    }

    /// Returns the keys that records may need and this process lacks.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &Missing> {
        self.missing.iter().filter(|missing| !missing.is_announced)
    }

    /// Returns the missing keys, including a missing announced key.
    pub(crate) fn all_missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Returns the keys older than the active one.
    pub(crate) fn older(&self) -> impl Iterator<Item = &Kek> {
        self.held.iter().skip(1).map(|held| &held.kek)
    }

    /// Returns the number of keys in use.
    pub(crate) fn count(&self) -> usize {
        self.held.len()
    }

    /// Returns the wrap budget of the active key.
    pub(crate) fn wraps(&self) -> &WrapBudget {
        &self.active_held().wraps
    }

    fn active_held(&self) -> &LoadedKek {
        self.held.first().expect("it is never empty")
    }

    /// Adds the first key of a database that has none. If another server added one first, uses that one.
    pub(crate) fn begin(keys: &KekSources, conn: &mut Conn, now: i64) -> Result<Self, OpenError> {
        let new = keys.first()?;
        if !new.is_made && new.source == KeySource::Directory {
            warn!(
                kek.id = new.kek.id(),
                "the database is new but its master key is not; if there should be records, \
                 stop the server and restore the database"
            );
        }
        let row = row_of(&new, now);
        match conn::write_serially(conn, |conn| insert_first(conn, &row)) {
            Ok(()) => {
                info!(kek.id = new.kek.id(), "sealing under this master key from now on");
                Ok(Self::of_held(vec![Arc::new(LoadedKek {
                    kek: new.kek,
                    wraps: WrapBudget::default(),
                })]))
            }
            Err(StoreError::Conflict(_) | StoreError::Overloaded) => {
                info!("another server was faster: its master key is that of this database");
                let rows = rows(conn).map_err(|error| OpenError::database(error.into()))?;
                // Both servers may have picked up this key, if they share the folder.
                if rows.iter().all(|row| row.id != new.kek.id()) {
                    keys.discard(&new)?;
                }
                Self::of(keys, &rows, conn)?
                    .ok_or_else(|| OpenError::database(StoreError::Sentinel.into()))
            }
            Err(error) => Err(OpenError::database(error.into())),
        }
    }

    /// A keyring of these keys, newest first.
    #[cfg(test)]
    pub(crate) fn of_keys(keys: Vec<Kek>) -> Self {
        let held = |kek| Arc::new(LoadedKek { kek, wraps: WrapBudget::default() });
        Self::of_held(keys.into_iter().map(held).collect())
    }

    /// Returns the key that new records are sealed under: the newest.
    pub(crate) fn active(&self) -> &Kek {
        &self.active_held().kek
    }

    /// Returns every loaded key.
    pub(crate) fn keks(&self) -> impl Iterator<Item = &Kek> {
        self.all().map(|held| &held.kek)
    }

    /// Returns the key with this id.
    pub(crate) fn find(&self, id: &str) -> Option<&Kek> {
        self.keks().find(|key| key.id() == id)
    }

    /// Checks that the active key's sentinel is in the database and opens.
    pub(crate) fn check(&self, conn: &mut Conn) -> Result<(), StoreError> {
        let sentinel: Option<Vec<u8>> =
            keks::table.find(self.active().id()).select(keks::sentinel).first(conn).optional()?;
        match sentinel {
            Some(sentinel) if self.active().opens_sentinel(&sentinel) => Ok(()),
            _ => Err(StoreError::Sentinel),
        }
    }
}

impl LoadedKek {
    fn load(keys: &KekSources, row: &KekRow) -> Result<Self, OpenError> {
        let kek = keys.find(row)?;
        if !kek.opens_sentinel(&row.sentinel) {
            return Err(OpenError::KeyWrong(keys.place_of(row)));
        }
        Ok(Self { kek, wraps: WrapBudget::default() })
    }
}

/// Reads the rows of all keys, newest first.
pub(crate) fn rows(conn: &mut Conn) -> Result<Vec<KekRow>, StoreError> {
    let rows = keks::table.order((keks::created.desc(), keks::id.desc()));
    Ok(rows.select(KekRow::as_select()).load(conn)?)
}

/// Reads the rows of all keys, even if the schema is outdated or missing.
pub(crate) fn rows_of_any_schema(conn: &mut Conn) -> Result<Vec<KekRow>, OpenError> {
    if migrate::is_new(conn)? {
        return Ok(Vec::new());
    }
    if migrate::is_applied(conn, LIFECYCLE)? {
        return rows(conn).map_err(|error| OpenError::database(error.into()));
    }
    let rows = keks::table.order((keks::created.desc(), keks::id.desc()));
    let rows: Vec<(String, Vec<u8>, i64)> =
        rows.select((keks::id, keks::sentinel, keks::created)).load(conn)?;
    let row = |(id, sentinel, created)| KekRow {
        id,
        sentinel,
        created,
        source: KeySource::Directory.name().to_owned(),
        ..KekRow::default()
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Returns whether a record is under this key.
pub(crate) fn is_needed(conn: &mut Conn, kek: &str) -> diesel::QueryResult<bool> {
    let under = external_tokens::table.filter(external_tokens::kek_id.eq(kek));
    with_slow_timeout(conn, |conn| diesel::select(exists(under)).get_result(conn))
}

/// Adds the row of the first key. `Conflict`: it is not the first.
fn insert_first(conn: &mut Conn, row: &KekRow) -> Result<(), StoreError> {
    if keks::table.count().get_result::<i64>(conn)? > 0 {
        return Err(StoreError::Conflict("master key"));
    }
    diesel::insert_into(keks::table).values(row).execute(conn)?;
    Ok(())
}

/// Creates the row of a new key, created now.
pub(crate) fn row_of(new: &CandidateKek, now: i64) -> KekRow {
    KekRow {
        id: new.kek.id().to_owned(),
        sentinel: new.kek.sentinel(),
        created: now,
        source: new.source.name().to_owned(),
        sealed: new.sealed.clone(),
        wraps: 0,
    }
}

/// Writes a master key's row without changing it. Uses two steps, because SQLite skips writing a row that keeps its
/// values.
pub(crate) fn touch(conn: &mut Conn, id: &str) -> Result<(), StoreError> {
    for step in [1, -1] {
        let row = diesel::update(keks::table.find(id));
        row.set(keks::created.eq(keks::created + step)).execute(conn)?;
    }
    Ok(())
}
