//! `Migrator`: the schema of a database that no server is using.
//!
//! Invariant: on SQLite it holds the lock of a server, so that none starts meanwhile. On PostgreSQL nothing keeps
//! servers away.

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
    /// Takes the database, creating it if there is none.
    ///
    /// # Errors
    /// `InUse` while a server runs on it, `Newer` when this build is too old for it.
    pub fn open(database: &Database) -> Result<Self, OpenError> {
        let (database, lock) = instance_lock::take(database)?;
        let mut conn = Conn::writing(&database)?;
        migrate::refuse_newer(&mut conn)?;
        Ok(Self { conn, _lock: lock })
    }

    /// Checks that every master key of the database is there and is the right one. An operator without it may have to
    /// go back to the older version, which needs the older schema.
    pub fn check_keys(&mut self, keys: &KekSources) -> Result<(), OpenError> {
        Keyring::load(keys, &mut self.conn).map(|_keyring| ())
    }

    /// Runs what is pending; the names of what was run.
    pub fn run(&mut self) -> Result<Vec<String>, OpenError> {
        migrate::run(&mut self.conn)
    }

    /// Reverts the latest migration, and all data in what it created; its name, if there was one.
    pub fn revert(&mut self) -> Result<Option<String>, OpenError> {
        let Some(last) = self.status()?.into_iter().rfind(|migration| migration.is_applied) else {
            return Ok(None);
        };
        migrate::revert_last(&mut self.conn)?;
        Ok(Some(last.name))
    }

    /// Every migration of this build, the oldest first.
    pub fn status(&mut self) -> Result<Vec<Migration>, OpenError> {
        migrate::status(&mut self.conn)
    }
}
