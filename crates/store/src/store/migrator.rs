//! `Migrator`: the schema of a database that no server is using.
//!
//! Invariant: on SQLite it holds the server's lock, so that no server starts meanwhile. On PostgreSQL no lock keeps
//! servers from starting.

use crate::{
    Database, KekSources, OpenError,
    backend::{
        conn::Conn,
        migrate::{self, Migration},
        sqlite::instance_lock::{self, InstanceLock},
    },
    keys::keyring::Keyring,
};

/// Changes the schema of a database that no server is using.
pub struct Migrator {
    conn: Conn,
    _lock: Option<InstanceLock>,
}

impl Migrator {
    /// Opens the database, creating it if it is missing.
    ///
    /// # Errors
    /// - `InUse`: a server runs on it.
    /// - `Newer`: this build is too old for it.
    pub fn open(database: &Database) -> Result<Self, OpenError> {
        let (database, lock) = instance_lock::take(database)?;
        let mut conn = Conn::writing(&database)?;
        migrate::refuse_newer(&mut conn)?;
        Ok(Self { conn, _lock: lock })
    }

    /// Checks every master key of the database. An operator without the right key may have to return to the older
    /// version, which needs the older schema.
    pub fn check_keys(&mut self, keys: &KekSources) -> Result<(), OpenError> {
        Keyring::load(keys, &mut self.conn).map(|_keyring| ())
    }

    /// Runs the pending migrations and returns their names.
    pub fn run(&mut self) -> Result<Vec<String>, OpenError> {
        migrate::run(&mut self.conn)
    }

    /// Reverts the latest migration, with all data in the tables that it created. Returns its name, or `None` if there
    /// was none.
    pub fn revert(&mut self) -> Result<Option<String>, OpenError> {
        let Some(last) = self.status()?.into_iter().rfind(|migration| migration.is_applied) else {
            return Ok(None);
        };
        migrate::revert_last(&mut self.conn)?;
        Ok(Some(last.name))
    }

    /// Returns every migration of this build, oldest first.
    pub fn status(&mut self) -> Result<Vec<Migration>, OpenError> {
        migrate::status(&mut self.conn)
    }
}
