//! A PostgreSQL server of the tests' own, in a temporary folder.
//!
//! Invariant: when the process that made it ends, even by `kill -9`, the server is stopped and its folder is removed. A
//! server that all processes of a test run share is stopped when the run ends.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    os::unix::process::{CommandExt as _, parent_id},
    path::{Path, PathBuf},
    process::{self, Child, Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use crate::support::{app::until, parts::is_root};

/// The owner of the databases. Its password must not be in any log.
const OWNER: &str = "latchkey";
const PASSWORD: &str = "CANARY-database";

/// A shell script that waits, then stops the server with its arguments, and removes the folder. It ignores Ctrl-C,
/// which is meant for the tests.
fn watchdog(wait: &str) -> String {
    format!(r#"trap "" HUP INT TERM; {wait}; "$@"; rm -rf "$0""#)
}

/// Waits for the end of standard input, which closes when the process that made the script ends.
const UNTIL_PROCESS_ENDS: &str = "read -r end";

/// A PostgreSQL server of its own.
pub(crate) struct Cluster {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    /// `None` for a server that another process started.
    watchdog: Option<Child>,
}

/// The paths of PostgreSQL's programs.
#[derive(Clone)]
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// The programs of the newest version that Debian's packages installed.
    pub(crate) fn find() -> Option<Self> {
        let installed = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
        let newest = installed.map(|entry| entry.path()).max_by_key(version)?;
        Some(Self(newest.join("bin"))).filter(|programs| programs.0.join("initdb").exists())
    }

    /// A client program.
    pub(crate) fn client(&self, program: &str) -> Command {
        Command::new(self.0.join(program))
    }

    /// A program that runs as a user that PostgreSQL accepts. As root that is the user of the package.
    fn command(&self, program: &str) -> Command {
        let program = self.0.join(program);
        let mut command = Command::new(&program);
        if is_root() {
            command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        command
    }
}

impl Cluster {
    /// A new cluster that runs with these lines of `postgresql.conf`.
    pub(crate) fn start(programs: &Programs, settings: &[&str]) -> Self {
        Self::prepare(programs).initialize(settings)
    }

    /// The cluster that all processes of a test run share. The first process that needs it starts it. It is stopped
    /// within a second after the parent of these processes, the test runner, has ended.
    pub(crate) fn shared(programs: &Programs, run: &str, settings: &[&str]) -> Self {
        let folder = env::temp_dir().join(format!("latchkey-postgres-{run}"));
        fs::create_dir_all(&folder).expect("folder");
        let lock = File::create(folder.join("lock")).expect("lock file");
        lock.lock().expect("a lock");
        let note = folder.join("port");
        if let Ok(port) = fs::read_to_string(&note) {
            let port = port.parse().expect("a port");
            return Self { programs: programs.clone(), folder, port, watchdog: None };
        }
        let wait = format!("while kill -0 {}; do sleep 1; done", parent_id());
        let cluster = Self::prepare_in(programs, folder, &wait).initialize(settings);
        fs::write(note, cluster.port.to_string()).expect("write");
        cluster
    }

    /// Makes its files, starts it, and adds the owner of the databases.
    fn initialize(self, settings: &[&str]) -> Self {
        let local = ["--auth-local=trust", "--auth-host=scram-sha-256"];
        let plain = ["--encoding=UTF8", "--no-locale", "--no-sync"];
        let data = self.data().display().to_string();
        let options = [&["-D", &data, "-U", "postgres"], &local[..], &plain[..]].concat();
        self.run("initdb", &options);
        self.configure(settings);
        self.resume();
        let role = format!("CREATE ROLE {OWNER} LOGIN PASSWORD '{PASSWORD}'");
        self.sql("postgres", &role);
        self
    }

    /// A folder, a port, and a watchdog that removes them.
    fn prepare(programs: &Programs) -> Self {
        let folder = tempfile::Builder::new().prefix("latchkey-postgres-").tempdir();
        Self::prepare_in(programs, folder.expect("folder").keep(), UNTIL_PROCESS_ENDS)
    }

    fn prepare_in(programs: &Programs, folder: PathBuf, wait: &str) -> Self {
        if is_root() {
            let chown = Command::new("chown").arg("postgres").arg(&folder).status();
            assert!(chown.expect("chown").success());
        }
        let stop = programs.command("pg_ctl");
        let watchdog = Command::new("sh")
            .args(["-c", &watchdog(wait)])
            .arg(&folder)
            .arg(stop.get_program())
            .args(stop.get_args())
            .arg("-D")
            .arg(folder.join("data"))
            .args(["-m", "immediate", "stop"])
            .current_dir("/")
            // When a runner ends a test, it ends the test's process group.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let watchdog = Some(watchdog.expect("sh"));
        Self { programs: programs.clone(), folder, port: free_port(), watchdog }
    }

    /// Adds lines to `postgresql.conf`, for the next start.
    fn configure(&self, settings: &[&str]) {
        let file = File::options().append(true).open(self.data().join("postgresql.conf"));
        let mut file = file.expect("postgresql.conf");
        let (port, folder) = (self.port, self.folder.display());
        writeln!(file, "port = {port}\nunix_socket_directories = '{folder}'").expect("write");
        writeln!(file, "listen_addresses = '127.0.0.1'\n{}", settings.join("\n")).expect("write");
    }

    /// Starts it again in the same place.
    pub(crate) fn resume(&self) {
        self.control(&["-w", "-l", &self.log().display().to_string(), "start"]);
    }

    /// Stops it and waits until it has ended; `fast` and `immediate` do not wait for clients.
    pub(crate) fn stop(&self, mode: &str) {
        self.control(&["-w", "-m", mode, "stop"]);
    }

    /// Sends SIGKILL to all its processes at once, and waits until they have ended.
    pub(crate) fn kill(&self) {
        let postmaster = self.postmaster();
        // While it is stopped, it cannot start others.
        signal("STOP", &[postmaster]);
        let mut all = children(postmaster);
        all.push(postmaster);
        signal("KILL", &all);
        until("PostgreSQL is gone", || !all.iter().any(|process| is_alive(*process)));
        // Until its parent reads the exit status, a process with the number in these files seems to run.
        let lock = self.folder.join(format!(".s.PGSQL.{}.lock", self.port));
        for file in [self.data().join("postmaster.pid"), lock] {
            fs::remove_file(file).expect("its file");
        }
    }

    /// Ends the sessions and starts it again, after an orderly shutdown.
    pub(crate) fn restart(&self) {
        self.stop("fast");
        self.resume();
    }

    /// Makes a standby that must confirm every commit from now on.
    pub(crate) fn synchronous_standby(&self) -> Self {
        let standby = Self::prepare(&self.programs);
        let (host, port) = (self.folder.display(), self.port);
        let primary = format!("host={host} port={port} user=postgres application_name=standby");
        let data = standby.data().display().to_string();
        let options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"];
        standby.run("pg_basebackup", &[&["-d", &primary, "-D", &data], &options[..]].concat());
        standby.configure(&[]);
        standby.resume();
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
        self.sql("postgres", "SELECT pg_reload_conf()");
        let waited_for = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        until("the standby is there", || self.sql("postgres", waited_for) == "1");
        standby
    }

    /// Sends `STOP` or `CONT` to the receiver process of a standby.
    pub(crate) fn signal_receiver(&self, name: &str) {
        let is_receiver = |process: &u32| {
            let command = fs::read_to_string(format!("/proc/{process}/cmdline"));
            command.is_ok_and(|command| command.contains("walreceiver"))
        };
        let mut processes = children(self.postmaster());
        processes.retain(is_receiver);
        assert_eq!(processes.len(), 1, "one receiver");
        signal(name, &processes);
    }

    /// Promotes a standby to primary.
    pub(crate) fn promote(&self) {
        self.control(&["-w", "promote"]);
    }

    /// Makes a new, empty database; returns its URL for its owner.
    pub(crate) fn create_database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0"));
        self.url(name)
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://{OWNER}:{PASSWORD}@{}/{database}", self.address())
    }

    /// The URL of a database on this server or the other one, whichever accepts writes.
    pub(crate) fn url_with(&self, other: &Self, database: &str) -> String {
        let both = format!("{},{}", self.address(), other.address());
        let url = self.url(database).replace(&self.address(), &both);
        format!("{url}?target_session_attrs=read-write")
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs SQL as the superuser; returns the rows, or the command tag (`UPDATE 3`).
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.try_sql(database, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// Runs SQL as the superuser, which may fail.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Output {
        let mut psql = Command::new(self.programs.0.join("psql"));
        psql.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string(), "-U", "postgres"]);
        psql.args(["-d", database, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        psql.output().expect("psql")
    }

    /// The folder of its files.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The path of its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn control(&self, arguments: &[&str]) {
        let data = self.data().display().to_string();
        self.run("pg_ctl", &[&["-D", &data], arguments].concat());
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = self.programs.command(program);
        let output = command.current_dir(&self.folder).args(arguments).output().expect(program);
        let told = String::from_utf8_lossy(&output.stderr);
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        assert!(output.status.success(), "{program} {arguments:?}: {told}{log}");
    }

    /// The id of the process that starts the others.
    pub(crate) fn postmaster(&self) -> u32 {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("it is running");
        file.lines().next().and_then(|line| line.parse().ok()).expect("a process id")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            drop(watchdog.stdin.take());
            let _ = watchdog.wait();
        }
    }
}

/// A free port below the range of outgoing connections, because otherwise one of them could take it while the server is
/// away. While this process lives, no other process of the tests gets the port.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static TRIED: AtomicU16 = AtomicU16::new(0);
    static GIVEN: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let own = u16::try_from(process::id() % u32::from(COUNT)).expect("below 20,000");
    let candidates = std::iter::repeat_with(|| {
        let next = u32::from(own) + u32::from(TRIED.fetch_add(1, Ordering::Relaxed)) * 101;
        FIRST + u16::try_from(next % u32::from(COUNT)).expect("below 20,000")
    });
    let is_free = |port: &u16| {
        let lock = File::create(env::temp_dir().join(format!("latchkey-port-{port}")));
        let lock = lock.ok().filter(|lock| lock.try_lock().is_ok());
        let is_free = lock.is_some() && TcpListener::bind(("127.0.0.1", *port)).is_ok();
        GIVEN.lock().expect("no panic").extend(lock);
        is_free
    };
    candidates.take(1000).find(is_free).expect("a free port")
}

/// The child processes of a process.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("Linux has it").flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.filter(|process| stat(*process).is_some_and(|(_, of)| of == parent)).collect()
}

fn is_alive(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state != "Z")
}

/// The state and the parent of a process.
fn stat(process: u32) -> Option<(String, u32)> {
    let stat =
        fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Sends processes a signal.
fn signal(name: &str, processes: &[u32]) {
    let ids: Vec<String> = processes.iter().map(ToString::to_string).collect();
    // Some may have ended already.
    let _ = Command::new("sh").args(["-c", &format!("kill -{name} {}", ids.join(" "))]).output();
}
