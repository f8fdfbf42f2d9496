//! The servers that run on one PostgreSQL database, and the master keys that each of them has.
//!
//! Invariant: every running server has a row younger than `STALE`, and the row names no key that the server lacks. On
//! SQLite the only server is the one that holds the `InstanceLock`, and it has no row.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::prelude::*;

use crate::{
    Clock, Store, StoreError,
    backend::conn::{self, Conn},
    keys::keyring::Keyring,
    seal::random_name,
    store::Inner,
    tables::schema::servers,
    write::lock_order::{LockOrder, Write},
};

/// Interval between two writes of a server's row.
const EVERY: Duration = Duration::from_secs(2);
/// Age from which a row's server counts as stopped.
const STALE: Duration = Duration::from_secs(7);
/// Age at which the row of a stopped server is removed.
const REMOVED_AFTER: Duration = Duration::from_secs(60);

/// This process as other processes see it.
pub(crate) struct Presence {
    id: String,
    /// The machine and the process, for people.
    name: String,
    /// The last row that was written, and when.
    written: Mutex<Option<(Instant, String)>>,
    /// How far the database's clock is ahead of this machine's, in microseconds.
    clock_ahead: AtomicI64,
}

impl Default for Presence {
    fn default() -> Self {
        let id = random_name();
        let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = format!("{machine} (process {})", std::process::id());
        Self { id, name, written: Mutex::default(), clock_ahead: AtomicI64::default() }
    }
}

impl Presence {
    /// Returns the unique name of this process.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Inner {
    /// Returns the time by the database's clock, in microseconds since 1970 UTC. For seconds after either clock is
    /// changed, it may be wrong by the size of the change.
    pub(crate) fn database_time(&self) -> i64 {
        self.clock.now().saturating_add(self.presence.clock_ahead.load(Ordering::Relaxed))
    }
}

impl Store {
    /// Writes which keys this server has, if that is due.
    pub(crate) async fn report_keys(&self, keyring: &Keyring) -> Result<(), StoreError> {
        let presence = &self.0.presence;
        let keks: String = keyring.ids().flat_map(|id| [" ", id]).collect();
        let is_written = || {
            let written = presence.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.as_ref().is_some_and(|(time, said)| time.elapsed() < EVERY && *said == keks)
        };
        if self.0.database_file.is_some() || is_written() {
            return Ok(());
        }
        let (begun, id, name) = (Instant::now(), presence.id.clone(), presence.name.clone());
        let (said, clock) = (keks.clone(), self.0.clock);
        let report = move |conn: &mut Conn| report(conn, clock, &id, &name, &said);
        let ahead = self.0.writer.run(Write::alone(), report).await?;
        presence.clock_ahead.store(ahead, Ordering::Relaxed);
        *presence.written.lock().unwrap_or_else(PoisonError::into_inner) = Some((begun, keks));
        Ok(())
    }

    /// Removes this server's row, because it stops.
    pub async fn sign_off(&self) -> Result<(), StoreError> {
        if self.0.database_file.is_some() {
            return Ok(());
        }
        let id = self.0.presence.id.clone();
        let leave = move |conn: &mut Conn| {
            diesel::delete(servers::table.find(&id)).execute(conn)?;
            Ok(())
        };
        self.0.writer.run(Write::of(LockOrder::Nothing), leave).await
    }

    /// Returns the names of the running servers that lack a key. Next to the server of a SQLite file, returns that
    /// server until it puts the key in use.
    pub(crate) async fn servers_without(
        &self,
        kek: &str,
        keyring: &Keyring,
    ) -> Result<Vec<String>, StoreError> {
        if self.0.database_file.is_some() {
            let is_there = self.0.lock.is_some() && keyring.find(kek).is_some();
            return Ok(if is_there { vec![] } else { vec!["the one on this database".to_owned()] });
        }
        let (kek, clock) = (kek.to_owned(), self.0.clock);
        self.0.readers.run(move |conn| without(conn, clock, &kek)).await
    }
}

/// Writes a server's row. Returns how far the database's clock is ahead of this machine's, in microseconds.
fn report(
    conn: &mut Conn,
    clock: Clock,
    id: &str,
    name: &str,
    keks: &str,
) -> Result<i64, StoreError> {
    let now = conn::time(conn, clock)?;
    let ahead = now - clock.now();
    let gone = now - REMOVED_AFTER.as_micros() as i64;
    diesel::delete(servers::table.filter(servers::seen.lt(gone))).execute(conn)?;
    diesel::delete(servers::table.find(id)).execute(conn)?;
    let row =
        (servers::id.eq(id), servers::name.eq(name), servers::seen.eq(now), servers::keks.eq(keks));
    diesel::insert_into(servers::table).values(row).execute(conn)?;
    Ok(ahead)
}

fn without(conn: &mut Conn, clock: Clock, kek: &str) -> Result<Vec<String>, StoreError> {
    let living = servers::seen.ge(conn::time(conn, clock)? - STALE.as_micros() as i64);
    let running = servers::table.filter(living).order(servers::name);
    let running: Vec<(String, String)> =
        running.select((servers::name, servers::keks)).load(conn)?;
    let lacks = |keks: &str| keks.split(' ').all(|id| id != kek);
    Ok(running.into_iter().filter(|(_, keks)| lacks(keks)).map(|(name, _)| name).collect())
}
