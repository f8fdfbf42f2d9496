//! A PostgreSQL server of the benchmark's own, and pgbench as the yardstick on it.
//!
//! Invariant: it listens on this machine only, writes through to the disk, and stops when its `Cluster` is dropped.

use std::{
    fs::{self, File},
    io::Read as _,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use super::{CONNECTIONS, target::Figures, usage};

/// The time limit for PostgreSQL to start.
const PATIENCE: Duration = Duration::from_secs(60);
const INSTALLED: &str = "/usr/lib/postgresql";
const ROW_BYTES: usize = 2048;

pub(super) struct Cluster {
    binaries: PathBuf,
    folder: PathBuf,
    /// The user that runs it, because PostgreSQL refuses to run as root.
    user: Option<(u32, u32)>,
    port: u16,
    process: Child,
}

impl Cluster {
    /// Creates and starts a server in a new folder.
    pub(super) fn start(shell: &Shell, folder: &Path) -> anyhow::Result<Self> {
        let binaries = binaries()?;
        fs::create_dir(folder)?;
        let user = other_user(shell)?;
        if let Some((user, group)) = user {
            chown(folder, Some(user), Some(group))?;
        }
        let data = folder.join("data");
        let mut make = command(&binaries.join("initdb"), folder, user);
        make.arg("-D").arg(&data).args(["-U", "latchkey", "-A", "trust", "-E", "UTF8"]);
        ensure!(make.stdout(Stdio::null()).status()?.success(), "initdb failed");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = command(&binaries.join("postgres"), folder, user)
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=on"])
            .args(["-c", "shared_buffers=256MB", "-c", "max_connections=200"])
            .stderr(File::create(folder.join("log"))?)
            .spawn()?;
        let cluster = Self { binaries, folder: folder.to_owned(), user, port, process };
        cluster.wait_until_ready(shell)?;
        cluster.sql(shell, "postgres", "CREATE DATABASE latchkey")?;
        Ok(cluster)
    }

    /// Returns the URL for Latchkey.
    pub(super) fn url(&self) -> String {
        format!("postgres://latchkey@127.0.0.1:{}/latchkey", self.port)
    }

    /// Returns the processor time of all its processes, in microseconds.
    pub(super) fn processor(&self) -> anyhow::Result<u64> {
        usage::processor_of_family(self.process.id())
    }

    /// Creates the tables and scripts of pgbench: one script inserts a row, the other selects one of `records` rows.
    pub(super) fn prepare(&self, shell: &Shell, records: usize) -> anyhow::Result<()> {
        self.sql(
            shell,
            "latchkey",
            &format!(
                "CREATE TABLE bench_inserts
                     (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL);
                 CREATE TABLE bench_rows (id bigint PRIMARY KEY, body bytea NOT NULL);
                 INSERT INTO bench_rows SELECT id, (
                     SELECT string_agg(sha256(convert_to(id || '.' || part, 'UTF8')), ''::bytea)
                     FROM generate_series(1, {ROW_BYTES} / 32) part
                 ) FROM generate_series(1, {records}) id;
                 VACUUM ANALYZE bench_rows;"
            ),
        )?;
        // As random as sealed data, because otherwise PostgreSQL would compress it.
        let mut body = [0; ROW_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut body)?;
        let body: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        let insert = format!("INSERT INTO bench_inserts (body) VALUES ('\\x{body}');\n");
        fs::write(self.folder.join("insert.sql"), insert)?;
        let select =
            format!("\\set id random(1, {records})\nSELECT body FROM bench_rows WHERE id = :id;\n");
        fs::write(self.folder.join("select.sql"), select)?;
        Ok(())
    }

    /// Runs `insert.sql` or `select.sql`, each a transaction, from the same number of connections as wrk.
    pub(super) fn pgbench(
        &self,
        shell: &Shell,
        script: &str,
        seconds: u32,
    ) -> anyhow::Result<Figures> {
        let log = tempfile::tempdir()?;
        let prefix = log.path().join("log");
        let script = self.folder.join(script);
        let (port, seconds) = (self.port.to_string(), seconds.to_string());
        let connections = CONNECTIONS.to_string();
        let before = self.processor()?;
        let program = self.binaries.join("pgbench");
        let pgbench = cmd!(shell, "{program} -h 127.0.0.1 -p {port} -U latchkey -n -M prepared")
            .args(["-c", &connections, "-j", "2", "-T", &seconds, "--log"])
            .args(["--sampling-rate", "0.05", "--log-prefix"])
            .arg(prefix)
            .arg("-f")
            .arg(script)
            .arg("latchkey");
        let told = pgbench.quiet().ignore_stderr().read()?;
        let used = self.processor()? - before;
        let number = |name: &str| {
            let figure = told.lines().find_map(|line| line.strip_prefix(name))?;
            figure.split_whitespace().next()?.parse::<f64>().ok()
        };
        let done = number("number of transactions actually processed:");
        let done = done.with_context(|| format!("pgbench printed no figures: {told}"))?;
        let times = times(log.path())?;
        let percentile = |share: usize| times[times.len() * share / 100];
        Ok(Figures {
            rate: number("tps =").context("tps")?,
            mean_ms: number("latency average =").context("its latency")?,
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            database_processor: Some(used as f64 / done),
            ..Figures::default()
        })
    }

    fn wait_until_ready(&self, shell: &Shell) -> anyhow::Result<()> {
        let (program, port) = (self.binaries.join("pg_isready"), self.port.to_string());
        let began = Instant::now();
        loop {
            let ready = cmd!(shell, "{program} -q -h 127.0.0.1 -p {port}");
            if ready.quiet().run().is_ok() {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "PostgreSQL is not ready; {}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn sql(&self, shell: &Shell, database: &str, sql: &str) -> anyhow::Result<()> {
        let (program, port) = (self.binaries.join("psql"), self.port.to_string());
        let psql = cmd!(
            shell,
            "{program} -h 127.0.0.1 -p {port} -U latchkey -d {database} -X -q -v ON_ERROR_STOP=1"
        );
        Ok(psql.stdin(sql).quiet().run()?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = command(&self.binaries.join("pg_ctl"), &self.folder, self.user);
        let stop = stop.arg("-D").arg(self.folder.join("data")).args(["-m", "immediate", "stop"]);
        if !stop.output().is_ok_and(|output| output.status.success()) {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// Returns the programs of the newest version that Debian's packages installed.
pub(super) fn binaries() -> anyhow::Result<PathBuf> {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = fs::read_dir(INSTALLED).into_iter().flatten().flatten();
    let newest = installed.map(|entry| entry.path()).max_by_key(version);
    let binaries = newest.map(|folder| folder.join("bin"));
    binaries
        .filter(|folder| ["initdb", "pgbench"].iter().all(|tool| folder.join(tool).exists()))
        .context("PostgreSQL, with pgbench, is not installed (Debian's package `postgresql`)")
}

/// Returns the user and group that run it in the place of root; the package creates them.
fn other_user(shell: &Shell) -> anyhow::Result<Option<(u32, u32)>> {
    if cmd!(shell, "id -u").quiet().read()? != "0" {
        return Ok(None);
    }
    let user = cmd!(shell, "id -u postgres").quiet().read()?.parse()?;
    Ok(Some((user, cmd!(shell, "id -g postgres").quiet().read()?.parse()?)))
}

fn command(program: &Path, folder: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command
}

/// Returns the times in pgbench's logs, in milliseconds, the shortest first. There is a file for each of its threads,
/// and a line for each transaction of its sample.
fn times(logs: &Path) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::new();
    for entry in fs::read_dir(logs)? {
        for line in fs::read_to_string(entry?.path())?.lines() {
            let microseconds = line.split(' ').nth(2).context("a time")?;
            times.push(microseconds.parse::<f64>()? / 1e3);
        }
    }
    ensure!(!times.is_empty(), "pgbench did next to nothing; give it more --seconds");
    times.sort_by(f64::total_cmp);
    Ok(times)
}
