//! Connections: their setup, and transactions on them.
//!
//! Invariant: every connection that writes flushes its commits to the disk. No connection creates a missing database.
//! Every other connection is read-only; on PostgreSQL, where connections keep no settings, it only runs look-ups and
//! read-only transactions.

use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use diesel::{
    Connection as _, RunQueryDsl as _, SqliteConnection,
    connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _},
    dsl::sql,
    sql_types::{BigInt, Integer},
};

use crate::{
    Clock, Database, OpenError, StoreError,
    backend::postgres::{BEGIN, BEGIN_READ_ONLY, BEGIN_SERIALLY, SLOW_TIMEOUT, Session},
};

/// "Ltch", in the header of every SQLite database of this server.
pub(crate) const APPLICATION_ID: i32 = 0x4c74_6368;

/// Page size of a new file, in bytes. A page holds three records of two tokens of 1,000 characters; a page of half the
/// size would hold one.
pub(crate) const PAGE_SIZE: i32 = 8192;
/// How long another program may lock the file before a call fails.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to any backend. Queries use only what all backends share.
#[derive(diesel::MultiConnection)]
pub(crate) enum Conn {
    /// SQLite.
    Sqlite(SqliteConnection),
    /// PostgreSQL.
    Postgres(Session),
}

/// Runs a frequent query on the backend's own connection, which finds the prepared statement by its type without
/// building its text.
macro_rules! on_backend {
    ($conn:expr, |$backend:ident| $query:expr) => {
        match $conn {
            $crate::backend::conn::Conn::Sqlite($backend) => $query,
            $crate::backend::conn::Conn::Postgres($backend) => $query,
        }
    };
}
pub(crate) use on_backend;

impl Conn {
    /// Opens a connection that may write.
    pub(crate) fn writing(database: &Database) -> Result<Self, OpenError> {
        let path = match database {
            Database::Sqlite(path) => path,
            Database::Postgres(url) => {
                return Session::open(url).map(Self::Postgres);
            }
        };
        // The mark is written before the write-ahead log begins, so that it is in the file itself.
        let mut conn = open_file(path)?;
        let mark: i32 =
            diesel::select(sql::<Integer>("(SELECT application_id FROM pragma_application_id)"))
                .get_result(&mut conn)?;
        if mark != APPLICATION_ID {
            conn.batch_execute(&format!(
                "PRAGMA page_size = {PAGE_SIZE}; PRAGMA application_id = {APPLICATION_ID};"
            ))?;
        }
        // Automatic checkpoints are off, because `wal` checkpoints at times that do not delay saves.
        conn.batch_execute(
            // `secure_delete` overwrites removed data.
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; \
             PRAGMA secure_delete = ON;",
        )?;
        Ok(Self::Sqlite(conn))
    }

    /// Opens a connection that changes an unnamed SQLite file. It uses no write-ahead log, so that after closing, the
    /// file is complete.
    pub(crate) fn amending(file: &Path) -> Result<Self, OpenError> {
        let mut conn = open_file(file)?;
        conn.batch_execute("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;")?;
        Ok(Self::Sqlite(conn))
    }

    /// Opens a connection that checkpoints an SQLite file's log.
    pub(crate) fn copying(database: &Database) -> Result<Self, OpenError> {
        let mut conn = Self::reading(database)?;
        conn.batch_execute("PRAGMA synchronous = FULL;")?;
        Ok(conn)
    }

    /// Opens a read-only connection to an SQLite file, for a disk without room for the index of the write-ahead log.
    /// SQLite keeps the index in memory then. No other process can use the database until all such connections are
    /// closed.
    pub(crate) fn reading_alone(database: &Database) -> Result<Self, OpenError> {
        let Database::Sqlite(path) = database else { return Self::reading(database) };
        let mut conn = open_uri(&(existing(path) + "&vfs=unix-excl"))?;
        conn.batch_execute("PRAGMA query_only = ON;")?;
        Ok(Self::Sqlite(conn))
    }

    /// Opens a read-only connection.
    pub(crate) fn reading(database: &Database) -> Result<Self, OpenError> {
        match database {
            Database::Sqlite(path) => {
                let mut conn = open_file(path)?;
                conn.batch_execute("PRAGMA query_only = ON;")?;
                Ok(Self::Sqlite(conn))
            }
            Database::Postgres(url) => Session::open(url).map(Self::Postgres),
        }
    }
}

fn open_file(path: &Path) -> Result<SqliteConnection, OpenError> {
    open_uri(&existing(path))
}

fn open_uri(uri: &str) -> Result<SqliteConnection, OpenError> {
    let mut conn = SqliteConnection::establish(uri)?;
    conn.batch_execute(&format!("PRAGMA busy_timeout = {};", BUSY_TIMEOUT.as_millis()))?;
    Ok(conn)
}

/// Returns SQLite's URI of a file that must exist.
pub(crate) fn existing(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(byte));
            }
            _ => write!(uri, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
    uri + "?mode=rw"
}

/// Runs `work` in one transaction. Commits it on success and rolls it back on an error.
pub(crate) fn write<T>(
    conn: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    begin_write(conn, BEGIN)?;
    end(conn, work)
}

/// Runs `work`, which only reads. On PostgreSQL it runs in one read-only transaction.
pub(crate) fn read<T>(
    conn: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    match conn {
        Conn::Sqlite(_) => return work(conn),
        Conn::Postgres(session) => {
            AnsiTransactionManager::begin_transaction_sql(session, BEGIN_READ_ONLY)?;
        }
    }
    end(conn, work)
}

/// Ends a transaction with a commit or a rollback, depending on the outcome of `work`.
fn end<T>(
    conn: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    match work(conn) {
        Ok(value) => {
            <Conn as diesel::Connection>::TransactionManager::commit_transaction(conn)?;
            Ok(value)
        }
        Err(error) => {
            // If the rollback fails too, the connection is unusable, whichever error came first.
            <Conn as diesel::Connection>::TransactionManager::rollback_transaction(conn)?;
            Err(error)
        }
    }
}

/// Runs `work` like `write`, in a serializable transaction. `Overloaded`: it conflicted with another one.
pub(crate) fn write_serially<T>(
    conn: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    begin_write(conn, BEGIN_SERIALLY)?;
    end(conn, work)
}

/// Returns the time by the database's clock, in microseconds since 1970 UTC, because servers' clocks may differ. On
/// SQLite this is the clock of the one server.
pub(crate) fn time(conn: &mut Conn, clock: Clock) -> diesel::QueryResult<i64> {
    let now = sql::<BigInt>("(extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT");
    match conn {
        Conn::Sqlite(_) => Ok(clock.now()),
        Conn::Postgres(conn) => diesel::select(now).get_result(conn),
    }
}

/// Sets the timeout of each statement on PostgreSQL, or none. Returns the former one.
pub(crate) fn limit(conn: &mut Conn, limit: Option<Duration>) -> Option<Duration> {
    match conn {
        Conn::Sqlite(_) => None,
        Conn::Postgres(session) => session.limit(limit),
    }
}

/// Runs `work` with another timeout.
pub(crate) fn limited<T>(
    conn: &mut Conn,
    while_working: Option<Duration>,
    work: impl FnOnce(&mut Conn) -> T,
) -> T {
    let before = limit(conn, while_working);
    let outcome = work(conn);
    limit(conn, before);
    outcome
}

/// Runs a query that reads many rows, with `SLOW_TIMEOUT`.
pub(crate) fn with_slow_timeout<T>(conn: &mut Conn, query: impl FnOnce(&mut Conn) -> T) -> T {
    limited(conn, Some(SLOW_TIMEOUT), query)
}

/// Begins a transaction that writes. Takes SQLite's write lock first, so that two writers queue instead of failing
/// half-way.
fn begin_write(conn: &mut Conn, on_server: &str) -> diesel::QueryResult<()> {
    match conn {
        Conn::Sqlite(conn) => {
            AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")
        }
        Conn::Postgres(session) => {
            AnsiTransactionManager::begin_transaction_sql(session, on_server)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_characters_is_opened_if_it_is_there() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a %41?#å b.db");
        let database = Database::Sqlite(path.clone());
        assert!(Conn::writing(&database).is_err(), "none is made");
        std::fs::write(path, b"").expect("file");
        assert!(Conn::writing(&database).is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1);
    }
}
