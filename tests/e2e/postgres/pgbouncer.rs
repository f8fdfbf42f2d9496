//! PgBouncer between the server and PostgreSQL: it is accepted if it pools sessions, and the server leaves nothing on
//! its connections.

use std::{
    fs,
    net::TcpStream,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rstest::rstest;

use crate::{
    postgres::{
        cluster::{Cluster, free_port},
        database::programs,
    },
    support::{
        app::{Setup, until},
        load::Record,
        outage::{save_during, wait_for_refusals, wait_for_saves},
        parts::{has, leave_out},
    },
};

/// A PgBouncer in front of a PostgreSQL.
struct Bouncer {
    configuration: PathBuf,
    port: u16,
    /// The user that it runs as: never root.
    user: (u32, u32),
    process: Child,
}

impl Bouncer {
    /// Starts it with these lines in `pgbouncer.ini`. Its files are in PostgreSQL's folder.
    fn start(cluster: &Cluster, lines: &str) -> Self {
        let folder = cluster.data().parent().expect("its folder").to_owned();
        let port = free_port();
        let configuration = folder.join("pgbouncer.ini");
        let passwords = folder.join("passwords");
        fs::write(&passwords, "\"latchkey\" \"CANARY-database\"\n").expect("write");
        let address = cluster.address();
        let (host, to) = address.split_once(':').expect("host and port");
        let text = format!(
            "[databases]\n* = host={host} port={to}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n{lines}\n",
            passwords.display()
        );
        fs::write(&configuration, text).expect("write");
        let owner = fs::metadata(cluster.data()).expect("folder");
        let user = (owner.uid(), owner.gid());
        let process = Self::run(&configuration, user, port);
        Self { configuration, port, user, process }
    }

    fn run(configuration: &PathBuf, (user, group): (u32, u32), port: u16) -> Child {
        let mut command = Command::new("pgbouncer");
        command.arg("-q").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null());
        // The current user is not set, because only root may set a user.
        if fs::metadata("/proc/self").expect("Linux has it").uid() != user {
            command.uid(user).gid(group);
        }
        let process = command.current_dir("/").spawn().expect("pgbouncer");
        until("PgBouncer listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        process
    }

    fn url(&self) -> String {
        format!("postgres://latchkey:CANARY-database@127.0.0.1:{}/latchkey", self.port)
    }

    fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }

    fn resume(&mut self) {
        self.process = Self::run(&self.configuration, self.user, self.port);
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A PostgreSQL of its own that logs each statement; `None` if a program is missing.
fn cluster(test: &str) -> Option<Cluster> {
    if !has("pgbouncer") {
        leave_out(test, "PgBouncer (Debian's package `pgbouncer`)");
        return None;
    }
    let settings = ["log_statement = all", "log_line_prefix = '%p '", "fsync = off"];
    let cluster = Cluster::start(&programs(test)?, &settings);
    cluster.create_database("latchkey");
    Some(cluster)
}

/// A pooler by transaction or by statement is rejected, whichever connection it hands out next.
#[rstest]
#[case("pool_mode = transaction")]
#[case("pool_mode = transaction\nserver_round_robin = 1")]
#[case("pool_mode = transaction\ndefault_pool_size = 1")]
#[case("pool_mode = statement")]
fn a_pooler_of_transactions_is_refused(#[case] lines: &str) {
    let Some(cluster) = cluster("a pooler of transactions") else { return };
    let bouncer = Bouncer::start(&cluster, lines);
    let setup = Setup::new().with("DATABASE__URL", &bouncer.url());
    for _ in 0..2 {
        let refusal = setup.refusal();
        assert!(refusal.contains("pool_mode = session"), "{refusal}");
    }
    for command in ["migrate", "verify"] {
        let refusal = setup.run(&[command], "").expect_err("it is refused");
        assert!(refusal.contains("pool_mode = session"), "{command}: {refusal}");
    }
    assert_nothing_stays(&cluster);
}

/// A pooler of sessions may be killed and restarted, and no acknowledged save is lost. It does not need to reset
/// sessions (`server_reset_query`), because nothing of a session outlives its transactions.
#[test]
fn a_pooler_of_sessions_may_come_and_go() {
    let Some(cluster) = cluster("a pooler of sessions") else { return };
    cluster.sql("postgres", "ALTER ROLE latchkey SET synchronous_commit = off");
    let mut bouncer = Bouncer::start(&cluster, "pool_mode = session");
    let app = Setup::new().with("DATABASE__URL", &bouncer.url()).start();
    let record = Record::of_long_tokens(500);
    save_during(&[&app.url], &record, || {
        for _ in 0..2 {
            wait_for_saves(&record, 200);
            bouncer.kill();
            wait_for_refusals(&record, 10);
            bouncer.resume();
            wait_for_saves(&record, 200);
        }
    });
    record.assert_kept(&app);
    app.admin(&["user", "list"]);
    assert_nothing_stays(&cluster);
}

/// A pooler that resets nothing lends a connection of this server to another application. The connection is as it was:
/// it can write, with the same durability and the same time zone.
#[test]
fn another_application_finds_a_connection_as_it_was() {
    let Some(cluster) = cluster("another application on the same pool") else { return };
    cluster.sql("postgres", "ALTER ROLE latchkey SET synchronous_commit = off");
    cluster.sql("postgres", "ALTER ROLE latchkey SET timezone = 'Europe/Oslo'");
    let lines = "pool_mode = session\nserver_reset_query =";
    let bouncer = Bouncer::start(&cluster, lines);
    let app = Setup::new().with("DATABASE__URL", &bouncer.url()).start();
    let record = Record::default();
    save_during(&[&app.url], &record, || wait_for_saves(&record, 100));
    record.assert_kept(&app);
    let before = cluster.sql("latchkey", PROCESSES);
    app.stop();
    let programs = programs("another application on the same pool").expect("it was there");
    let settings = "SHOW synchronous_commit; SHOW timezone; SHOW default_transaction_read_only; \
                    CREATE TABLE another (id INTEGER); INSERT INTO another VALUES (1); DROP TABLE another;
                    SELECT pg_backend_pid()";
    for _ in 0..3 {
        let mut psql = programs.client("psql");
        let output = psql.args([&bouncer.url(), "-X", "-A", "-t", "-q", "-c", settings]).output();
        let output = output.expect("psql");
        let told = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(&lines[..3], ["off", "Europe/Oslo", "off"], "{output:?}");
        assert!(before.lines().any(|process| process == lines[3]), "it is another connection");
    }
    assert_nothing_stays(&cluster);
}

const PROCESSES: &str = "SELECT pid FROM pg_stat_activity WHERE usename = 'latchkey'";

/// Asserts, by PostgreSQL's log, that no setting outlives its transaction.
fn assert_nothing_stays(cluster: &Cluster) {
    let log = fs::read_to_string(cluster.log()).expect("log");
    let statements =
        log.lines().filter(|line| line.contains("LOG:  ") && !line.contains("ALTER ROLE"));
    for line in statements {
        let upper = line.to_ascii_uppercase();
        let sets =
            upper.contains(": SET ") || upper.contains("SET_CONFIG(") || upper.contains("; SET ");
        // PgBouncer itself sets the application names of its clients.
        let is_local = upper.contains("SET LOCAL")
            || upper.contains("SET TRANSACTION")
            || upper.contains("'ON', TRUE)")
            || upper.contains(": SET APPLICATION_NAME=");
        assert!(!sets || is_local, "it outlives its transaction: {line}");
        assert!(
            !upper.contains("SESSION CHARACTERISTICS") && !upper.contains(": LISTEN"),
            "{line}"
        );
    }
    assert!(log.contains("LOG:  statement:"), "statements are logged");
}
