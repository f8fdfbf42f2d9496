//! The PostgreSQL migrations, on a real server in a scratch folder, beside SQLite's.
//!
//! Invariant: the cluster listens on a socket in its own folder only, and is gone after the test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use diesel::{
    Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection,
    connection::SimpleConnection as _, sql_query, sql_types::Text,
};
use tempfile::TempDir;

use crate::parts::leave_out;

/// A PostgreSQL server of its own.
struct Cluster {
    binaries: PathBuf,
    folder: TempDir,
}

impl Cluster {
    /// `None`, said aloud, where PostgreSQL is not installed.
    fn start(test: &str) -> Option<Self> {
        let Some(binaries) = newest_binaries() else {
            leave_out(test, "PostgreSQL (Debian's package `postgresql`)");
            return None;
        };
        let cluster = Self { binaries, folder: tempfile::tempdir().expect("folder") };
        if is_root() {
            // PostgreSQL refuses to run as root; the package brings a user for it.
            let folder = cluster.folder.path();
            let chown = Command::new("chown").arg("postgres").arg(folder).status();
            assert!(chown.expect("chown").success());
        }
        let (data, log) = (cluster.path("data"), cluster.path("log"));
        cluster.run("initdb", &["-D", &data, "-U", "latchkey", "-A", "trust"]);
        let socket_only = format!("-k {} -c listen_addresses=", cluster.folder.path().display());
        cluster.run("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &socket_only, "start"]);
        Some(cluster)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let mut command = Command::new(&program);
        if is_root() {
            command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        command.current_dir(self.folder.path());
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        // Not through a pipe: the server, which outlives `pg_ctl`, would keep it open.
        let out = self.folder.path().join("out");
        let file = fs::File::create(&out).expect("file");
        let status = self.command(program).args(arguments).stdout(file).status();
        assert!(status.expect("PostgreSQL's programs run").success(), "{program} {arguments:?}");
        fs::read_to_string(&out).expect("file")
    }

    fn sql(&self, sql: &str) -> String {
        let socket = self.folder.path().display().to_string();
        let connection = ["-h", &socket, "-U", "latchkey", "-d", "postgres"];
        let options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql];
        self.run("psql", &[&connection[..], &options[..]].concat())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        let _ = stop.args(["-D", &self.path("data"), "-m", "immediate", "stop"]).output();
    }
}

/// The programs of the newest version that Debian's packages installed.
fn newest_binaries() -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = installed.map(|entry| entry.path()).max_by_key(version)?;
    Some(newest.join("bin")).filter(|binaries| binaries.join("initdb").exists())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id");
    output.stdout.trim_ascii() == b"0"
}

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

/// The migrations run up, down and up again, and give the tables that SQLite has: the same columns, of
/// the same types, required or not, in the primary key or not.
#[test]
fn the_postgres_schema_is_that_of_sqlite() {
    let Some(cluster) = Cluster::start("the PostgreSQL migrations") else { return };
    let script = |path: &Path, name: &str| fs::read_to_string(path.join(name)).expect("script");
    let postgres = migrations("postgres");
    for path in &postgres {
        cluster.sql(&script(path, "up.sql"));
    }
    for path in postgres.iter().rev() {
        cluster.sql(&script(path, "down.sql"));
    }
    let count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(cluster.sql(count).trim(), "0", "the way down leaves nothing");
    for path in &postgres {
        cluster.sql(&script(path, "up.sql"));
    }
    let found = cluster.sql(
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
