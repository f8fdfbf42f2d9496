//! The database of a test: a SQLite file in the data folder, which is the default.

use std::{
    fs,
    path::{Path, PathBuf},
};

use diesel::{
    Connection as _, RunQueryDsl as _, SqliteConnection,
    connection::SimpleConnection as _,
    dsl,
    sql_types::{BigInt, Binary, Text},
};

/// A SQLite file.
pub(crate) struct Database {
    path: PathBuf,
}

impl Database {
    /// The current time, in microseconds, as SQL.
    pub(crate) const NOW: &str = "CAST(strftime('%s') AS INTEGER) * 1000000";

    /// The folder of its migrations.
    pub(crate) const MIGRATIONS: &str = "sqlite";

    /// This number of zero bytes, as SQL.
    pub(crate) fn zeros(length: &str) -> String {
        format!("zeroblob({length})")
    }

    /// These bytes, given in hexadecimal, as SQL.
    pub(crate) fn blob(hex: &str) -> String {
        format!("X'{hex}'")
    }

    /// A column of bytes in hexadecimal, as SQL.
    pub(crate) fn hex(column: &str) -> String {
        format!("lower(hex({column}))")
    }

    /// The database that the server makes in its data folder.
    pub(crate) fn new(data: &Path) -> Self {
        Self { path: data.join("latchkey.db") }
    }

    /// The value of `database.url`: `None` for the default.
    pub(crate) fn url(&self) -> Option<String> {
        None
    }

    /// Runs SQL directly on the database; returns the number of rows that the last statement changed.
    pub(crate) fn sql(&self, sql: &str) -> usize {
        let mut connection = self.open();
        connection.batch_execute(sql).expect(sql);
        let changed: Result<i64, _> =
            dsl::sql::<BigInt>("SELECT changes()").get_result(&mut connection);
        usize::try_from(changed.expect("a number")).expect("no less than none")
    }

    /// The result of a query, as a number.
    pub(crate) fn number(&self, query: &str) -> i64 {
        dsl::sql::<BigInt>(query).get_result(&mut self.open()).expect(query)
    }

    /// The result of a query, as bytes.
    pub(crate) fn bytes(&self, query: &str) -> Vec<u8> {
        dsl::sql::<Binary>(query).get_result(&mut self.open()).expect(query)
    }

    /// The result of a query, as text.
    pub(crate) fn text(&self, query: &str) -> String {
        dsl::sql::<Text>(query).get_result(&mut self.open()).expect(query)
    }

    /// Frees the space of removed rows.
    pub(crate) fn compact(&self) {
        self.open().batch_execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").expect("compact");
    }

    /// The whole content, to compare.
    pub(crate) fn content(&self) -> Vec<u8> {
        fs::read(&self.path).expect("the database")
    }

    /// Its files outside the data folder: none.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// A connection that is independent of the server.
    pub(crate) fn open(&self) -> SqliteConnection {
        let path = self.path.to_str().expect("UTF-8");
        let mut connection = SqliteConnection::establish(path).expect("the database opens");
        connection.batch_execute("PRAGMA busy_timeout = 5000").expect("waits for the server");
        connection
    }
}
