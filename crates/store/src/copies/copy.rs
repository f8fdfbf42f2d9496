//! Copying a database into another, of any backend.
//!
//! Invariant: a target that is neither new nor an earlier copy of the source is never changed. The source is never
//! changed. A copy is complete only after every row of both sides was compared.

mod tables;

use std::collections::{HashMap, HashSet};

use diesel::{connection::SimpleConnection as _, prelude::*};

use self::tables::{
    ApplicationRow, ExchangeRow, ProviderPauseRow, RetiredKekRow, Rows, Table, UserRow,
};
use crate::{
    Clock, CopyError, Database, KekSources, OpenError,
    backend::{
        conn::{self, Conn, on_backend},
        migrate,
        sqlite::instance_lock::{self, InstanceLock},
    },
    keys::keyring::{self, KekRow, Keyring},
    tables::{
        audit::{AnchorRow, AuditKeyRow},
        credentials::CredentialRow,
        deliveries::DeliveryRow,
        external_tokens::TokenRow,
        grants::GrantRow,
        idempotency_keys::IdempotencyRow,
        provider_states::{self, COPIED},
        schema::{external_tokens, retired_keks, users},
    },
};

/// Number of rows in each table that were copied, or were there already and equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Master keys: the rows that identify them, not the keys.
    pub master_keys: u64,
    /// Users of all tenants.
    pub users: u64,
    /// Tickets, sessions and access tokens.
    pub credentials: u64,
    /// Partner applications.
    pub applications: u64,
    /// Records.
    pub records: u64,
    /// Idempotency keys.
    pub idempotency_keys: u64,
    /// Grants that the server has tried to refresh.
    pub grants: u64,
}

/// Copies all rows of a database into a new one, or into an earlier copy, which then equals the source. Pauses the
/// target's grants. Locks an SQLite file for this process; servers on a PostgreSQL database must be stopped. Reports
/// the current step, the table and the number of rows done. Blocks.
///
/// # Errors
/// - `NotACopy`: the target is neither new nor an earlier copy; nothing was changed.
/// - `Differs`: a server changed rows meanwhile.
/// - After any error, the same call continues the copy.
pub fn copy(
    from: &Database,
    to: &Database,
    keys: &KekSources,
    progress: &mut dyn FnMut(&str, &str, u64),
) -> Result<Copied, CopyError> {
    let in_side = |side| move |error| CopyError::Side(side, Box::new(error));
    let source = Source::open(from, keys).map_err(in_side("source"))?;
    let target = Target::open(to).map_err(in_side("target"))?;
    let mut both = CopyJob { source: source.conn, target: target.conn, progress };
    if !both.is_copy()? {
        return Err(CopyError::NotACopy(to.to_string()));
    }
    both.copy_all()
}

/// The source. An SQLite file is locked against changes by servers and by commands.
struct Source {
    conn: Conn,
    _unchanged: Option<Conn>,
    _lock: Option<InstanceLock>,
}

impl Source {
    fn open(database: &Database, keys: &KekSources) -> Result<Self, CopyError> {
        // Checks that the database exists, because `take` would create it.
        instance_lock::look(database)?;
        let (database, lock) = instance_lock::take(database)?;
        let mut conn = Conn::reading(&database)?;
        conn::limit(&mut conn, None);
        migrate::refuse_newer(&mut conn)?;
        Keyring::load(keys, &mut conn)?.ok_or(CopyError::Nothing)?;
        migrate::require_current(&mut conn)?;
        let unchanged = match &database {
            Database::Sqlite(_) => Some(unchanged(&database)?),
            Database::Postgres(_) => None,
        };
        Ok(Self { conn, _unchanged: unchanged, _lock: lock })
    }
}

/// Opens a connection that blocks all writers while it is open.
fn unchanged(database: &Database) -> Result<Conn, OpenError> {
    let mut conn = Conn::writing(database)?;
    conn.batch_execute("BEGIN IMMEDIATE")?;
    Ok(conn)
}

/// The target, with this build's schema.
struct Target {
    conn: Conn,
    _lock: Option<InstanceLock>,
}

impl Target {
    fn open(database: &Database) -> Result<Self, CopyError> {
        let (database, lock) = instance_lock::take(database)?;
        let mut conn = Conn::writing(&database)?;
        if let Conn::Sqlite(conn) = &mut conn {
            // No server truncates the log of this file.
            conn.batch_execute("PRAGMA wal_autocheckpoint = 1000;")?;
        }
        conn::limit(&mut conn, None);
        migrate::refuse_newer(&mut conn)?;
        if is_empty(&mut conn)? {
            migrate::run(&mut conn)?;
        }
        migrate::require_current(&mut conn)?;
        Ok(Self { conn, _lock: lock })
    }
}

/// Returns whether the database holds no users, records or keys.
fn is_empty(conn: &mut Conn) -> Result<bool, OpenError> {
    if migrate::is_new(conn)? {
        return Ok(true);
    }
    let rows = users::table.count().get_result::<i64>(conn)?
        + external_tokens::table.count().get_result::<i64>(conn)?;
    Ok(rows == 0 && keyring::rows_of_any_schema(conn)?.is_empty())
}

/// Returns the generations of records by id.
fn generations(conn: &mut Conn, ids: &[i64]) -> Result<HashMap<i64, i32>, CopyError> {
    let rows = external_tokens::table.filter(external_tokens::id.eq_any(ids));
    let rows = rows.select((external_tokens::id, external_tokens::generation));
    let rows: Vec<(i64, i32)> = on_backend!(conn, |conn| rows.load(conn))?;
    Ok(rows.into_iter().collect())
}

/// Both sides of a copy.
struct CopyJob<'a> {
    source: Conn,
    target: Conn,
    progress: &'a mut dyn FnMut(&str, &str, u64),
}

impl CopyJob<'_> {
    /// Returns whether the target has no row that the source lacks, or has in an older state.
    fn is_copy(&mut self) -> Result<bool, CopyError> {
        let known = keyring::rows_of_any_schema(&mut self.source)?;
        let keys = keyring::rows_of_any_schema(&mut self.target)?;
        let retired: Vec<String> =
            retired_keks::table.select(retired_keks::id).load(&mut self.source)?;
        // Every server counts wraps when it starts.
        let is_before = |key: &KekRow, known: &KekRow| {
            known.id == key.id && known.sentinel == key.sentinel && key.wraps <= known.wraps
        };
        let is_known = |key: &KekRow| {
            retired.contains(&key.id) || known.iter().any(|known| is_before(key, known))
        };
        Ok(keys.iter().all(is_known)
            && self.has_no_more::<UserRow>()?
            && self.has_no_more::<ApplicationRow>()?
            && self.has_no_more::<TokenRow>()?
            && self.has_no_newer_grant()?
            && self.has_no_more::<ExchangeRow>()?)
    }

    /// Returns whether the source knows of every refresh in the target. Call it after the records were checked.
    fn has_no_newer_grant(&mut self) -> Result<bool, CopyError> {
        let mut last = None;
        loop {
            let page = GrantRow::stamps(&mut self.target, Rows::After(last.as_ref()))?;
            let ids: Vec<i64> = page.iter().map(|(record, _attempt)| *record).collect();
            let known = GrantRow::stamps(&mut self.source, Rows::These(&ids))?;
            let known: HashMap<i64, i64> = known.into_iter().collect();
            let here = generations(&mut self.target, &ids)?;
            let there = generations(&mut self.source, &ids)?;
            let is_newer = |(record, attempt): &(i64, i64)| {
                there.get(record).is_some_and(|generation| {
                    known.get(record).is_none_or(|known| known < attempt)
                        || here.get(record).is_some_and(|here| generation < here)
                })
            };
            if page.iter().any(is_newer) {
                return Ok(false);
            }
            last = ids.into_iter().next_back();
            if last.is_none() {
                return Ok(true);
            }
        }
    }

    /// Returns whether the target has no row that the source lacks or has in an older state. Rows that may expire count
    /// only if the source has them.
    fn has_no_more<T: Table>(&mut self) -> Result<bool, CopyError> {
        let mut last = None;
        loop {
            let page = T::stamps(&mut self.target, Rows::After(last.as_ref()))?;
            let keys: Vec<T::Key> = page.iter().map(|(key, _stamp)| key.clone()).collect();
            let known = T::stamps(&mut self.source, Rows::These(&keys))?;
            let known: HashMap<T::Key, i64> = known.into_iter().collect();
            if page.iter().any(|(key, stamp)| known.get(key).is_some_and(|known| known < stamp)) {
                return Ok(false);
            }
            let more: Vec<T::Key> =
                keys.iter().filter(|key| !known.contains_key(*key)).cloned().collect();
            if !more.is_empty() {
                let rows = T::rows(&mut self.target, Rows::These(&more))?;
                let more: HashSet<T::Key> = more.into_iter().collect();
                if rows.iter().any(|row| more.contains(&row.key()) && !row.expires_by_itself()) {
                    return Ok(false);
                }
            }
            last = keys.into_iter().next_back();
            if last.is_none() {
                return Ok(true);
            }
        }
    }

    fn copy_all(&mut self) -> Result<Copied, CopyError> {
        // Pauses first, because an interrupted copy must not use the source's refresh tokens either.
        let now = Clock::SYSTEM.now();
        conn::write(&mut self.target, |conn| provider_states::pause_all(conn, COPIED, now))?;
        // Keys are copied first, so that no record is ever without its key's row.
        self.copy::<KekRow>()?;
        self.copy::<RetiredKekRow>()?;
        self.copy::<UserRow>()?;
        self.remove_more::<CredentialRow>()?;
        self.copy::<CredentialRow>()?;
        self.copy::<ApplicationRow>()?;
        self.remove_more::<TokenRow>()?;
        self.copy::<TokenRow>()?;
        self.remove_more::<KekRow>()?;
        self.remove_more::<IdempotencyRow>()?;
        self.copy::<IdempotencyRow>()?;
        self.remove_more::<GrantRow>()?;
        self.copy::<GrantRow>()?;
        self.remove_more::<ProviderPauseRow>()?;
        self.copy::<ProviderPauseRow>()?;
        self.remove_more::<ExchangeRow>()?;
        self.copy::<ExchangeRow>()?;
        self.remove_more::<DeliveryRow>()?;
        self.copy::<DeliveryRow>()?;
        self.remove_more::<AnchorRow>()?;
        self.copy::<AnchorRow>()?;
        self.remove_more::<AuditKeyRow>()?;
        self.copy::<AuditKeyRow>()?;
        self.compare::<RetiredKekRow>()?;
        self.compare::<ProviderPauseRow>()?;
        self.compare::<ExchangeRow>()?;
        self.compare::<DeliveryRow>()?;
        self.compare::<AnchorRow>()?;
        self.compare::<AuditKeyRow>()?;
        Ok(Copied {
            master_keys: self.compare::<KekRow>()?,
            users: self.compare::<UserRow>()?,
            credentials: self.compare::<CredentialRow>()?,
            applications: self.compare::<ApplicationRow>()?,
            records: self.compare::<TokenRow>()?,
            idempotency_keys: self.compare::<IdempotencyRow>()?,
            grants: self.compare::<GrantRow>()?,
        })
    }

    /// Copies every row of the source that is missing or different in the target.
    fn copy<T: Table>(&mut self) -> Result<(), CopyError> {
        self.each_difference::<T>("copied", |target, rows, changed| {
            Ok(conn::write(target, |conn| {
                changed.iter().try_for_each(|key| T::remove(conn, key))?;
                T::insert(conn, rows)
            })?)
        })
        .map(|_rows| ())
    }

    /// Compares all rows of both sides. Returns how many there are.
    fn compare<T: Table>(&mut self) -> Result<u64, CopyError> {
        let differs = |_: &mut Conn, _: &[T], _: &[T::Key]| Err(CopyError::Differs(T::NAME));
        let rows = self.each_difference::<T>("compared", differs)?;
        if T::count(&mut self.target)? == rows {
            Ok(rows)
        } else {
            Err(CopyError::Differs(T::NAME))
        }
    }

    /// Calls `on` for each page, with the rows that are missing in the target, or differ, and the keys of the differing
    /// ones. Returns the number of rows in the source.
    fn each_difference<T: Table>(
        &mut self,
        what: &str,
        mut on: impl FnMut(&mut Conn, &[T], &[T::Key]) -> Result<(), CopyError>,
    ) -> Result<u64, CopyError> {
        let (mut last, mut done) = (None, 0);
        loop {
            let mut page = T::rows(&mut self.source, Rows::After(last.as_ref()))?;
            let keys: Vec<T::Key> = page.iter().map(T::key).collect();
            let there = T::rows(&mut self.target, Rows::These(&keys))?;
            let there: HashMap<T::Key, T> = there.into_iter().map(|row| (row.key(), row)).collect();
            last = keys.into_iter().next_back();
            if last.is_none() {
                return Ok(done);
            }
            done += page.len() as u64;
            page.retain(|row| there.get(&row.key()) != Some(row));
            if !page.is_empty() {
                let changed = page.iter().map(T::key).filter(|key| there.contains_key(key));
                on(&mut self.target, &page, &changed.collect::<Vec<_>>())?;
            }
            (self.progress)(what, T::NAME, done);
        }
    }

    /// Removes rows from an earlier copy that the source no longer has.
    fn remove_more<T: Table>(&mut self) -> Result<(), CopyError> {
        let mut last = None;
        loop {
            let page = T::stamps(&mut self.target, Rows::After(last.as_ref()))?;
            let keys: Vec<T::Key> = page.into_iter().map(|(key, _stamp)| key).collect();
            let known = T::stamps(&mut self.source, Rows::These(&keys))?;
            let known: HashSet<T::Key> = known.into_iter().map(|(key, _stamp)| key).collect();
            conn::write(&mut self.target, |conn| {
                let mut gone = keys.iter().filter(|key| !known.contains(*key));
                gone.try_for_each(|key| T::remove(conn, key))
            })?;
            last = keys.into_iter().next_back();
            if last.is_none() {
                return Ok(());
            }
        }
    }
}
