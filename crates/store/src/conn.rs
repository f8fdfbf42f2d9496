//! Connections: which database, and how each one is set up.
//!
//! Invariant: every connection writes through to the disk (`synchronous = FULL`) or cannot write at
//! all, and the database's files can be read by their owner only.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use diesel::{
    Connection as _, SqliteConnection,
    connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _},
    r2d2,
};

use crate::{OpenError, StoreError};

/// A database, by the scheme of its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// An embedded database in one file.
    Sqlite(PathBuf),
}

impl FromStr for Database {
    type Err = OpenError;

    /// Reads a URL such as `sqlite:data/latchkey.db` or `sqlite:///var/lib/latchkey/latchkey.db`.
    fn from_str(url: &str) -> Result<Self, OpenError> {
        let rest = url.strip_prefix("sqlite:").ok_or(OpenError::UnsupportedUrl)?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path.starts_with(':') {
            return Err(OpenError::UnsupportedUrl);
        }
        Ok(Self::Sqlite(path.into()))
    }
}

impl Database {
    /// Opens a connection that may write, creating the database if there is none.
    pub(crate) fn connect(&self) -> Result<Conn, OpenError> {
        let Self::Sqlite(path) = self;
        create_private(path)?;
        self.establish("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
    }

    fn establish(&self, pragmas: &str) -> Result<Conn, OpenError> {
        let Self::Sqlite(path) = self;
        let path = path.to_str().ok_or(OpenError::UnsupportedUrl)?;
        let mut conn =
            SqliteConnection::establish(path).map_err(|error| OpenError::Database(error.into()))?;
        conn.batch_execute("PRAGMA busy_timeout = 5000;")?;
        conn.batch_execute(pragmas)?;
        Ok(Conn::Sqlite(conn))
    }
}

/// A connection to any backend; queries are written against what all of them share.
#[derive(diesel::MultiConnection)]
pub(crate) enum Conn {
    /// To SQLite.
    Sqlite(SqliteConnection),
}

/// Runs `work` in one transaction, which is committed when it succeeds and rolled back when not.
pub(crate) fn write<T>(
    conn: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    begin_write(conn)?;
    match work(conn) {
        Ok(value) => {
            <Conn as diesel::Connection>::TransactionManager::commit_transaction(conn)?;
            Ok(value)
        }
        Err(error) => {
            <Conn as diesel::Connection>::TransactionManager::rollback_transaction(conn)?;
            Err(error)
        }
    }
}

/// SQLite takes its write lock up front, so that two writers queue instead of failing half-way.
fn begin_write(conn: &mut Conn) -> diesel::QueryResult<()> {
    match conn {
        Conn::Sqlite(conn) => {
            AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")
        }
    }
}

/// Makes the pool's connections, which only read.
#[derive(Debug)]
pub(crate) struct Manager {
    pub(crate) database: Database,
}

impl r2d2::ManageConnection for Manager {
    type Connection = Conn;
    type Error = OpenError;

    fn connect(&self) -> Result<Conn, OpenError> {
        self.database.establish("PRAGMA query_only = ON;")
    }

    fn is_valid(&self, conn: &mut Conn) -> Result<(), OpenError> {
        Ok(conn.batch_execute("SELECT 1")?)
    }

    fn has_broken(&self, _conn: &mut Conn) -> bool {
        false
    }
}

/// Opens a file for its owner alone, making it and its folder if they are not there.
pub(crate) fn create_private(path: &Path) -> Result<File, OpenError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_private_directory(parent)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options.open(path).map_err(failed("open", path))
}

/// Makes a folder for its owner alone, and those above it, if they are not there.
pub(crate) fn create_private_directory(path: &Path) -> Result<(), OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create", path))
}

/// The error of a file operation.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_names_a_file() {
        for (url, path) in [
            ("sqlite:data/latchkey.db", "data/latchkey.db"),
            ("sqlite://data/latchkey.db", "data/latchkey.db"),
            ("sqlite:///var/lib/l.db", "/var/lib/l.db"),
            ("sqlite:/var/lib/l.db", "/var/lib/l.db"),
        ] {
            assert_eq!(url.parse::<Database>().expect(url), Database::Sqlite(path.into()));
        }
        for url in ["", "latchkey.db", "sqlite:", "sqlite::memory:", "postgres://localhost/x"] {
            assert!(url.parse::<Database>().is_err(), "{url}");
        }
    }
}
