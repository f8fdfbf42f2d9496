//! Compares the tables of two SQLite files.

use std::path::Path;

use diesel::{
    Connection as _, RunQueryDsl as _, SqliteConnection, connection::SimpleConnection as _, dsl,
    sql_types::BigInt,
};

/// The tables whose rows are copied.
pub(crate) const TABLES: [&str; 13] = [
    "keks",
    "retired_keks",
    "users",
    "credentials",
    "applications",
    "external_tokens",
    "idempotency_keys",
    "grants",
    "provider_states",
    "exchanges",
    "deliveries",
    "audit_anchors",
    "audit_keys",
];

/// Two open files, of which the second is attached to the first.
pub(crate) struct Pair(SqliteConnection);

impl Pair {
    pub(crate) fn open(one: &Path, other: &Path) -> Self {
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let mut conn = SqliteConnection::establish(&path(one)).expect("it opens");
        conn.batch_execute(&format!("ATTACH '{}' AS other", path(other))).expect("it opens too");
        Self(conn)
    }

    /// The number of rows in the first file that the second lacks, over all tables.
    pub(crate) fn only_in_one(&mut self) -> i64 {
        self.missing("main", "other")
    }

    /// The number of rows in the second file that the first lacks.
    pub(crate) fn only_in_other(&mut self) -> i64 {
        self.missing("other", "main")
    }

    fn missing(&mut self, here: &str, there: &str) -> i64 {
        let count = |table| {
            format!(
                "(SELECT count(*) FROM (SELECT * FROM {here}.{table} EXCEPT \
                 SELECT * FROM {there}.{table}))"
            )
        };
        let sum = TABLES.map(count).join(" + ");
        dsl::sql::<BigInt>(&format!("SELECT {sum}")).get_result(&mut self.0).expect("a number")
    }
}

/// Asserts that two files have the same rows.
pub(crate) fn assert_same(one: &Path, other: &Path) {
    let mut pair = Pair::open(one, other);
    assert_eq!((pair.only_in_one(), pair.only_in_other()), (0, 0));
}

/// The results of a query on a file, as numbers.
pub(crate) fn numbers(path: &Path, query: &str) -> Vec<i64> {
    let mut conn = SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("it opens");
    dsl::sql::<BigInt>(query).load(&mut conn).expect(query)
}

/// Runs SQL on a file.
pub(crate) fn run(path: &Path, sql: &str) {
    let mut conn = SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("it opens");
    conn.batch_execute(sql).expect(sql);
}
