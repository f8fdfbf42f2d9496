//! The PostgreSQL migrations, on a real server, compared with SQLite's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use diesel::{
    Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection,
    connection::SimpleConnection as _, sql_query, sql_types::Text,
};

use crate::Database;

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    text: String,
}

/// The migrations of a backend, the oldest first.
fn migrations(backend: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(backend);
    let entries = fs::read_dir(folder).expect("migrations");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    paths
}

/// The migrations run up, down and up again. The result has the same tables as SQLite: the same columns, of the same
/// types, required or not, in the primary key or not.
#[test]
fn the_postgres_schema_is_that_of_sqlite() {
    let database = Database::new(Path::new(""));
    let script = |path: &Path, name: &str| fs::read_to_string(path.join(name)).expect("script");
    let postgres = migrations("postgres");
    for path in &postgres {
        database.query(&script(path, "up.sql"));
    }
    for path in postgres.iter().rev() {
        database.query(&script(path, "down.sql"));
    }
    let count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(database.query(count), "0", "the way down leaves nothing");
    for path in &postgres {
        database.query(&script(path, "up.sql"));
    }
    let found = database.query(
        "SELECT c.table_name || '.' || c.column_name || ' ' || c.data_type
             || CASE c.is_nullable WHEN 'NO' THEN ' required' ELSE '' END
             || CASE WHEN k.column_name IS NULL THEN '' ELSE ' key' END
         FROM information_schema.columns c
         LEFT JOIN information_schema.key_column_usage k
             ON k.table_name = c.table_name AND k.column_name = c.column_name
         WHERE c.table_schema = 'public'",
    );
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();

    let mut sqlite = SqliteConnection::establish(":memory:").expect("memory");
    for path in migrations("sqlite") {
        sqlite.batch_execute(&script(&path, "up.sql")).expect("up");
    }
    // A rowid, SQLite's only primary key that appends, is an INTEGER of 64 bits.
    let columns: Vec<Column> = sql_query(
        "SELECT m.name || '.' || c.name || ' '
             || CASE WHEN c.type = 'INTEGER' AND c.pk THEN 'bigint'
                     WHEN c.type = 'BLOB' THEN 'bytea' ELSE lower(c.type) END
             || CASE c.\"notnull\" WHEN 1 THEN ' required' ELSE '' END
             || CASE c.pk WHEN 0 THEN '' ELSE ' key' END AS text
         FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'",
    )
    .load(&mut sqlite)
    .expect("columns");
    let mut expected: Vec<String> = columns.into_iter().map(|column| column.text).collect();
    expected.sort();
    assert_eq!(found, expected);
}
