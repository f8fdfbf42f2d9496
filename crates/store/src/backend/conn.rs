//! Connections: how each one is set up, and transactions on them.
//!
//! Invariant: every connection that writes writes through to the disk, and no connection makes a database that
//! is not there. Any other connection cannot write; on a server, where a connection keeps no settings, it only
//! looks up, or is in a transaction that cannot write.

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

/// Of a new file, in bytes: three records of two tokens of 1,000 characters fit a page of this size, and
/// one of half the size holds one.
pub(crate) const PAGE_SIZE: i32 = 8192;
/// How long a file may be locked by another program before a call fails.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to any backend; queries are written against what all of them share.
#[derive(diesel::MultiConnection)]
pub(crate) enum Conn {
    /// To SQLite.
    Sqlite(SqliteConnection),
    /// To PostgreSQL.
    Postgres(Session),
}

/// Runs a query on the backend's own connection, which knows a statement by its type and need not build
/// its text: for what every call asks.
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
        // `wal` checkpoints, at times that do not hold saves up.
        conn.batch_execute(
            // What is removed is overwritten.
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; \
             PRAGMA secure_delete = ON;",
        )?;
        Ok(Self::Sqlite(conn))
    }

    /// Opens a connection that changes an SQLite file which has no name as a database yet: without a write-ahead log, so
    /// that once the connection is closed the file is all there is.
    pub(crate) fn amending(file: &Path) -> Result<Self, OpenError> {
        let mut conn = open_file(file)?;
        conn.batch_execute("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;")?;
        Ok(Self::Sqlite(conn))
    }

    /// Opens a connection that copies an SQLite file's log.
    pub(crate) fn copying(database: &Database) -> Result<Self, OpenError> {
        let mut conn = Self::reading(database)?;
        conn.batch_execute("PRAGMA synchronous = FULL;")?;
        Ok(conn)
    }

    /// Opens a connection that only reads an SQLite file, where the disk has no room for the index of the
    /// write-ahead log, which is a file beside it: SQLite keeps the index in memory then, and no other process
    /// can use the database until this one has closed every such connection.
    pub(crate) fn reading_alone(database: &Database) -> Result<Self, OpenError> {
        let Database::Sqlite(path) = database else { return Self::reading(database) };
        let mut conn = open_uri(&(existing(path) + "&vfs=unix-excl"))?;
        conn.batch_execute("PRAGMA query_only = ON;")?;
        Ok(Self::Sqlite(conn))
    }

    /// Opens a connection that only reads.
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

/// SQLite's URI of a file that must be there.
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

/// Runs `work` in one transaction, which is committed when it succeeds and rolled back when not.
pub(crate) fn write<T>(
    conn: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    begin_write(conn, BEGIN)?;
    end(conn, work)
}

/// Runs `work`, which only reads: on a server in one transaction that cannot write.
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

/// Ends a transaction that began, with or without what `work` did.
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
            // If this fails too, the connection is of no more use, whatever the first error was.
            <Conn as diesel::Connection>::TransactionManager::rollback_transaction(conn)?;
            Err(error)
        }
    }
}

/// As `write`, and as if nobody else wrote meanwhile; `Overloaded` if somebody did.
pub(crate) fn write_serially<T>(
    conn: &mut Conn,
    work: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    begin_write(conn, BEGIN_SERIALLY)?;
    end(conn, work)
}

/// The time by the database's clock, in microseconds since 1970 UTC: those of several machines may differ. A file has
/// that of the one server.
pub(crate) fn time(conn: &mut Conn, clock: Clock) -> diesel::QueryResult<i64> {
    let now = sql::<BigInt>("(extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT");
    match conn {
        Conn::Sqlite(_) => Ok(clock.now()),
        Conn::Postgres(conn) => diesel::select(now).get_result(conn),
    }
}

/// Lets each statement on a server take no longer than this from now on, or as long as it takes; what was the
/// limit before.
pub(crate) fn limit(conn: &mut Conn, limit: Option<Duration>) -> Option<Duration> {
    match conn {
        Conn::Sqlite(_) => None,
        Conn::Postgres(session) => session.limit(limit),
    }
}

/// Runs `work` under a limit of its own.
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

/// Runs a query that looks at many rows.
pub(crate) fn with_slow_timeout<T>(conn: &mut Conn, query: impl FnOnce(&mut Conn) -> T) -> T {
    limited(conn, Some(SLOW_TIMEOUT), query)
}

/// SQLite takes its write lock up front, so that two writers queue instead of failing half-way.
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
