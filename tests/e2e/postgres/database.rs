//! The database of a test: a database of its own in a PostgreSQL server that the tests of a run share.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    postgres::cluster::{Cluster, Programs},
    support::{app::until, parts::leave_out},
};

/// A database in PostgreSQL, dropped together with this value.
pub(crate) struct Database {
    cluster: &'static Cluster,
    name: String,
}

impl Database {
    /// The current time, in microseconds, as SQL.
    pub(crate) const NOW: &str = "CAST(floor(extract(epoch FROM now())) AS BIGINT) * 1000000";

    /// The folder of its migrations.
    pub(crate) const MIGRATIONS: &str = "postgres";

    /// This number of zero bytes, as SQL.
    pub(crate) fn zeros(length: &str) -> String {
        format!("decode(repeat('00', {length}), 'hex')")
    }

    /// These bytes, given in hexadecimal, as SQL.
    pub(crate) fn blob(hex: &str) -> String {
        format!("decode('{hex}', 'hex')")
    }

    /// A column of bytes in hexadecimal, as SQL.
    pub(crate) fn hex(column: &str) -> String {
        format!("encode({column}, 'hex')")
    }

    /// A new one, empty.
    pub(crate) fn new(_data: &Path) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}_{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let cluster = shared();
        cluster.create_database(&name);
        Self { cluster, name }
    }

    /// The value of `database.url`.
    pub(crate) fn url(&self) -> Option<String> {
        Some(self.cluster.url(&self.name))
    }

    /// Runs SQL directly on the database; returns the number of rows that the last statement changed.
    pub(crate) fn sql(&self, sql: &str) -> usize {
        let done = self.query(sql);
        done.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// The result of a query, as a number.
    pub(crate) fn number(&self, query: &str) -> i64 {
        self.query(query).parse().expect("a number")
    }

    /// The result of a query, as bytes.
    pub(crate) fn bytes(&self, query: &str) -> Vec<u8> {
        let digits = self.query(&format!("SELECT encode(({query}), 'hex')"));
        let digits = digits.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("ASCII"));
        digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
    }

    /// The result of a query, as text.
    pub(crate) fn text(&self, query: &str) -> String {
        self.query(query)
    }

    /// Frees the space of removed rows.
    pub(crate) fn compact(&self) {
        self.query("VACUUM FULL external_tokens");
    }

    /// The whole content, to compare.
    pub(crate) fn content(&self) -> Vec<u8> {
        self.query("SELECT schema_to_xml('public', TRUE, FALSE, '')").into_bytes()
    }

    /// The result of a query, one row a line.
    pub(crate) fn query(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, sql)
    }

    /// Makes this a copy of another database, as a snapshot or `pg_restore` does; returns the URL.
    pub(crate) fn copy_of(&self, original: &Self) -> String {
        self.cluster.sql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        let copy =
            format!("CREATE DATABASE {} OWNER latchkey TEMPLATE {}", self.name, original.name);
        self.cluster.sql("postgres", &copy);
        self.cluster.url(&self.name)
    }

    /// Waits until a transaction is in its `pg_sleep`, and so has its earlier locks.
    pub(crate) fn wait_for_sleeper(&self) {
        let asleep = "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND wait_event = 'PgSleep'";
        until("a transaction sleeps", || self.number(asleep) > 0);
    }

    /// The files of its tables and indexes, and the server's log. Files with numbers below 16384 are PostgreSQL's own.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.query("CHECKPOINT");
        let id = self.query("SELECT oid FROM pg_database WHERE datname = current_database()");
        let folder = self.cluster.data().join("base").join(id);
        let entries =
            fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
            let number = name.split(['.', '_']).next().and_then(|number| number.parse().ok());
            number.is_some_and(|number: u32| number >= 16384)
        };
        entries.filter(is_ours).chain([self.cluster.log()]).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.cluster.try_sql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// The server that all tests share which do not damage it. None of them checks the data after a power failure. nextest,
/// which runs each test in its own process, names the run.
#[expect(clippy::disallowed_methods, reason = "a variable of the test runner, not of the server")]
fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        // The rest of the run ends too, so that no test seems to have passed.
        let programs =
            programs("every end-to-end test on PostgreSQL").unwrap_or_else(|| process::exit(0));
        let settings = ["max_connections = 300", "fsync = off"];
        match env::var("NEXTEST_RUN_ID") {
            Ok(run) => Cluster::shared(&programs, &run, &settings),
            Err(_) => Cluster::start(&programs, &settings),
        }
    })
}

/// PostgreSQL's programs; `None`, with a notice, if they are not installed.
pub(crate) fn programs(test: &str) -> Option<Programs> {
    let programs = Programs::find();
    if programs.is_none() {
        leave_out(test, "PostgreSQL (Debian's package `postgresql`)");
    }
    programs
}
