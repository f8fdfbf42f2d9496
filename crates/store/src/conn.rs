//! Connections: which database, and how each one is set up.
//!
//! Invariant: every connection writes through to the disk (`synchronous = FULL`) or cannot write at
//! all, and no connection makes a database that is not there.

use std::{
    fmt::{self, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use diesel::{
    Connection as _, RunQueryDsl as _, SqliteConnection,
    connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager as _},
    dsl::sql,
    r2d2,
    sql_types::Integer,
};

use crate::{OpenError, StoreError};

/// "Ltch", in the header of every SQLite database of this server.
pub(crate) const APPLICATION_ID: i32 = 0x4c74_6368;

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
        let path = rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest);
        if path.is_empty()
            || path.starts_with("//")
            || path.ends_with('/')
            || path.starts_with(':')
            || path.starts_with("file:")
            || path.contains('?')
        {
            return Err(OpenError::UnsupportedUrl);
        }
        Ok(Self::Sqlite(path.into()))
    }
}

impl fmt::Display for Database {
    /// Where it is, without anything secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Sqlite(path) = self;
        path.display().fmt(f)
    }
}

impl Database {
    /// Whether there is a database to open.
    pub fn exists(&self) -> bool {
        let Self::Sqlite(path) = self;
        path.exists()
    }

    /// Opens a connection that may write.
    pub(crate) fn connect(&self) -> Result<Conn, OpenError> {
        // The mark is written before the write-ahead log begins, so that it is in the file itself.
        let Conn::Sqlite(mut conn) = self.establish()?;
        let mark: i32 =
            diesel::select(sql::<Integer>("(SELECT application_id FROM pragma_application_id)"))
                .get_result(&mut conn)?;
        if mark != APPLICATION_ID {
            conn.batch_execute(&format!("PRAGMA application_id = {};", APPLICATION_ID))?;
        }
        conn.batch_execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        Ok(Conn::Sqlite(conn))
    }

    fn establish(&self) -> Result<Conn, OpenError> {
        let Self::Sqlite(path) = self;
        let mut conn = SqliteConnection::establish(&existing(path))
            .map_err(|error| OpenError::database(error.into()))?;
        conn.batch_execute("PRAGMA busy_timeout = 5000;")?;
        Ok(Conn::Sqlite(conn))
    }
}

/// SQLite's URI of a file that must be there.
fn existing(path: &Path) -> String {
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
            // If this fails too, the first error is the one that tells why.
            let _ = <Conn as diesel::Connection>::TransactionManager::rollback_transaction(conn);
            Err(error)
        }
    }
}

/// Leaves a database that is whole in its one file, as far as nobody is using it.
pub(crate) fn settle(conn: &mut Conn) -> diesel::QueryResult<()> {
    match conn {
        Conn::Sqlite(conn) => conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE);"),
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

/// A connection that only reads, thrown away once it failed.
pub(crate) struct Reader {
    pub(crate) conn: Conn,
    pub(crate) has_failed: bool,
}

impl r2d2::ManageConnection for Manager {
    type Connection = Reader;
    type Error = OpenError;

    fn connect(&self) -> Result<Reader, OpenError> {
        let mut conn = self.database.establish()?;
        conn.batch_execute("PRAGMA query_only = ON;")?;
        Ok(Reader { conn, has_failed: false })
    }

    fn is_valid(&self, reader: &mut Reader) -> Result<(), OpenError> {
        Ok(reader.conn.batch_execute("SELECT 1")?)
    }

    fn has_broken(&self, reader: &mut Reader) -> bool {
        reader.has_failed || std::thread::panicking()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_names_a_file() {
        for (url, path) in [
            ("sqlite:data/latchkey.db", "data/latchkey.db"),
            ("sqlite:///var/lib/l.db", "/var/lib/l.db"),
            ("sqlite:/var/lib/l.db", "/var/lib/l.db"),
        ] {
            assert_eq!(url.parse::<Database>().expect(url), Database::Sqlite(path.into()));
        }
        for url in [
            "",
            "latchkey.db",
            "sqlite:",
            "sqlite:data/",
            "sqlite://data/latchkey.db",
            "sqlite::memory:",
            "sqlite:file:x.db",
            "sqlite:x.db?mode=memory",
            "postgres://localhost/x",
        ] {
            assert!(url.parse::<Database>().is_err(), "{url}");
        }
    }

    #[test]
    fn a_path_of_any_characters_is_opened_if_it_is_there() {
        let folder = tempfile::tempdir().expect("folder");
        let database = Database::Sqlite(folder.path().join("a %41?#å b.db"));
        assert!(database.connect().is_err(), "none is made");
        let Database::Sqlite(path) = &database;
        std::fs::write(path, b"").expect("file");
        assert!(database.connect().is_ok());
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1);
    }
}
