//! The PostgreSQL migrations, on a real server in a scratch folder, beside SQLite's.
//!
//! Invariant: the cluster listens on a socket in its own folder only, and is gone after the test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
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
        let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let binaries = installed.map(|entry| entry.path().join("bin"));
        let Some(binaries) = binaries.filter(|path| path.join("initdb").exists()).max() else {
            leave_out(test, "PostgreSQL (Debian's package `postgresql`)");
            return None;
        };
        let cluster = Self { binaries, folder: tempfile::tempdir().expect("folder") };
        if is_root() {
            // PostgreSQL refuses to run as root; the package brings a user for it.
            run(Command::new("chown").arg("postgres").arg(cluster.folder.path()));
        }
        let data = cluster.data();
        cluster.run("initdb", &["-D", &data, "-U", "latchkey", "-A", "trust"]);
        let socket_only = format!("-k {} -c listen_addresses=", cluster.folder.path().display());
        cluster.run("pg_ctl", &["-D", &data, "-w", "-l", "/dev/null", "-o", &socket_only, "start"]);
        Some(cluster)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let program = self.binaries.join(program);
        let mut command = match is_root() {
            true => {
                let mut runuser = Command::new("runuser");
                runuser.args(["-u", "postgres", "--"]).arg(program);
                runuser
            }
            false => Command::new(program),
        };
        // Without pipes: the server, which outlives `pg_ctl`, would keep them open.
        let log = self.folder.path().join("out");
        let out = fs::File::create(&log).expect("log");
        command.args(arguments).current_dir(self.folder.path()).stdout(out);
        assert!(command.status().expect("PostgreSQL's programs run").success(), "{command:?}");
        fs::read_to_string(&log).expect("log")
    }

    fn sql(&self, arguments: &[&str]) -> String {
        let socket = self.folder.path().display().to_string();
        let connection = ["-h", &socket, "-U", "latchkey", "-d", "postgres"];
        let options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
        self.run("psql", &[&connection[..], &options[..], arguments].concat())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "stop"]);
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id");
    output.stdout.trim_ascii() == b"0"
}

fn run(command: &mut Command) -> Output {
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{output:?}");
    output
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

/// The migrations run up, down and up again, and give the tables and columns that SQLite has.
#[test]
fn the_postgres_schema_is_that_of_sqlite() {
    let Some(cluster) = Cluster::start("the PostgreSQL migrations") else { return };
    let script = |path: &Path, name: &str| fs::read_to_string(path.join(name)).expect("script");
    let postgres = migrations("postgres");
    for path in &postgres {
        cluster.sql(&["-c", &script(path, "up.sql")]);
    }
    for path in postgres.iter().rev() {
        cluster.sql(&["-c", &script(path, "down.sql")]);
    }
    let count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(cluster.sql(&["-c", count]).trim(), "0", "the way down leaves nothing");
    for path in &postgres {
        cluster.sql(&["-c", &script(path, "up.sql")]);
    }

    let mut sqlite = SqliteConnection::establish(":memory:").expect("memory");
    for path in migrations("sqlite") {
        sqlite.batch_execute(&script(&path, "up.sql")).expect("up");
    }
    let columns = "SELECT m.name || '.' || c.name || CASE c.\"notnull\" WHEN 1 THEN ' required' \
                   ELSE '' END AS text FROM sqlite_master m, pragma_table_info(m.name) c \
                   WHERE m.type = 'table'";
    let columns: Vec<Column> = sql_query(columns).load(&mut sqlite).expect("columns");
    let mut expected: Vec<String> = columns.into_iter().map(|column| column.text).collect();
    expected.sort();
    let found = cluster.sql(&[
        "-c",
        "SELECT table_name || '.' || column_name || CASE is_nullable WHEN 'NO' THEN ' required' \
         ELSE '' END AS text FROM information_schema.columns WHERE table_schema = 'public'",
    ]);
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(found, expected);
}
