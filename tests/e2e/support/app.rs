//! `TestApp`: a server process in a temporary folder.
//!
//! Invariant: when the `TestApp` is dropped, its process has ended, and its log contains no secret.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use memchr::memmem;
use tempfile::TempDir;

use crate::{Database, support::client::Client};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_latchkey-under-test");

/// The time within which an answer must arrive.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The time within which an event must happen, also on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happens: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Secrets that no log may contain: the sample's password and tokens, and the values that tests save.
const SECRETS: [&str; 11] = [
    "Tje0",
    "dGplMDpUamUw",
    "fugit",
    "odit",
    "CANARY",
    "Q0FOQVJZ",
    "lk_0",
    "Basic ",
    "7T:",
    "8A:",
    "eyJ",
];

/// The configuration of a server that a test starts.
#[derive(Clone)]
pub(crate) struct Setup {
    folder: Arc<TempDir>,
    database: Arc<Database>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Setup {
    /// On a free port, in a new folder, with a new database.
    pub(crate) fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("temporary folder"));
        let database = Arc::new(Database::new(&folder.path().join("data")));
        let url = database.url();
        let setup = Self { folder, database, environment: Vec::new(), arguments: Vec::new() };
        let setup = setup.with("SERVER__LISTEN", "127.0.0.1:0");
        url.into_iter().fold(setup, |setup, url| setup.with("DATABASE__URL", &url))
    }

    /// Sets `LATCHKEY__{key}`.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        let name = format!("LATCHKEY__{key}");
        self.environment.retain(|(known, _)| *known != name);
        self.variable(&name, value)
    }

    /// Sets any variable of the environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds command line arguments.
    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// The working directory of the server.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the keys, and of a database that is a file.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// The only master key's file.
    pub(crate) fn key_file(&self) -> PathBuf {
        let mut files = fs::read_dir(self.data().join("keys")).expect("keys folder");
        let file = files.next().expect("a key file").expect("readable").path();
        assert!(files.next().is_none(), "more than one key file");
        file
    }

    /// The database, for access without the server.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// The command, in a clean environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command
            .current_dir(self.folder())
            .env_clear()
            .envs(self.environment.iter().cloned())
            .args(&self.arguments);
        command
    }

    /// Starts the server and waits until it prints its address.
    pub(crate) fn start(&self) -> TestApp {
        self.try_start().unwrap_or_else(|log| panic!("the server ended: {log}"))
    }

    /// Starts the server; if it does not start, the error is its log.
    pub(crate) fn try_start(&self) -> Result<TestApp, String> {
        TestApp::start(self.clone(), self.command())
    }

    /// Starts the server, which must fail; returns its error message.
    pub(crate) fn refusal(&self) -> String {
        let output = self.command().output().expect("the binary runs");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "it started");
        assert_no_secret(&told);
        let refusal = told.lines().find(|line| line.starts_with("latchkey: "));
        refusal.unwrap_or_else(|| panic!("no message in: {told}")).to_owned()
    }

    /// Runs a command with this standard input; returns its output, or its error message.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = self.clone().arguments(arguments).command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the binary runs");
        // The command may end without reading its input.
        let _ = process.stdin.take().expect("piped").write_all(input.as_bytes());
        let output = process.wait_with_output().expect("the binary runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Runs a command to its end; returns its output.
    pub(crate) fn output(&self) -> String {
        let output = self.command().output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// A running server.
pub(crate) struct TestApp {
    pub(crate) setup: Setup,
    /// The output at the start.
    pub(crate) greeting: String,
    /// Scheme and authority.
    pub(crate) url: String,
    process: Child,
    _stdout: BufReader<ChildStdout>,
    log: PathBuf,
}

impl TestApp {
    /// Starts a server in a new folder, with defaults.
    pub(crate) fn new() -> Self {
        Setup::new().start()
    }

    /// Starts a server by this command.
    pub(crate) fn start(setup: Setup, mut command: Command) -> Result<Self, String> {
        let log = setup.folder().join("log");
        let stderr = File::options().append(true).create(true).open(&log).expect("log file");
        let mut process = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
        let mut greeting = String::new();
        while !greeting.ends_with("\n\n") {
            if stdout.read_line(&mut greeting).expect("UTF-8") == 0 {
                process.wait().expect("wait");
                return Err(fs::read_to_string(&log).expect("log"));
            }
        }
        let url = greeting
            .lines()
            .find_map(|line| line.strip_prefix("Latchkey is running on "))
            .expect("the greeting names the URL")
            .to_owned();
        Ok(Self { setup, greeting, url, process, _stdout: stdout, log })
    }

    /// A client with the sample login.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.url)
    }

    /// Sends bytes unchanged on a separate connection; returns all bytes that come back. The request must ask for
    /// `Connection: close`.
    pub(crate) fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.authority()).expect("connect");
        stream.set_read_timeout(Some(TIMEOUT)).expect("timeout");
        stream.write_all(request.as_bytes()).expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("receive");
        answer
    }

    /// The id of its process.
    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The memory that the server uses, in megabytes.
    pub(crate) fn resident_megabytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("Linux tells it");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
    }

    /// Whether this user may list the server's open files. Only root may, because the process cannot be dumped.
    pub(crate) fn may_be_looked_into(&self) -> bool {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).is_ok()
    }

    /// The number of files and sockets that the server has open.
    pub(crate) fn open_files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.process.id()));
        files.expect("Linux tells it").count()
    }

    /// Host and port, for raw sockets.
    pub(crate) fn authority(&self) -> &str {
        let rest = self.url.split_once("://").expect("URL").1;
        rest.split('/').next().unwrap_or(rest)
    }

    /// Runs an administration command while the server runs; returns its output without the last newline.
    pub(crate) fn admin(&self, arguments: &[&str]) -> String {
        let told = self.setup.run(arguments, "CANARY-password\n");
        told.unwrap_or_else(|error| panic!("{arguments:?}: {error}")).trim_end().to_owned()
    }

    /// Adds a user, whose password is `CANARY-password`.
    pub(crate) fn add_user(&self, login: &str) {
        self.admin(&["user", "add", login, "--password-stdin"]);
    }

    /// Issues a ticket to a user; returns it.
    pub(crate) fn ticket(&self, login: &str) -> String {
        self.admin(&["ticket", "issue", login])
    }

    /// The whole log; its last lines may still be missing.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("log")
    }

    /// Waits until a line of the log contains all of these parts; returns the line.
    pub(crate) fn logged(&self, parts: &[&str]) -> String {
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        let mut found = None;
        until(&format!("a line of the log with {parts:?}"), || {
            found = self.log().lines().find(has_all).map(str::to_owned);
            found.is_some()
        });
        found.expect("found")
    }

    /// Sends SIGKILL, so that the process cannot do anything more.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }

    /// Sends `TERM`, `HUP` or another signal.
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    /// Runs SQL directly on the database; returns the number of changed rows.
    pub(crate) fn sql(&self, sql: &str) -> usize {
        self.setup.database().sql(sql)
    }

    /// The result of a query on the database, as a number.
    pub(crate) fn number(&self, query: &str) -> i64 {
        self.setup.database().number(query)
    }

    /// The number of records.
    pub(crate) fn saved_rows(&self) -> usize {
        let rows = self.number("SELECT count(*) FROM external_tokens");
        usize::try_from(rows).expect("no less than none")
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("wait")
    }

    /// Stops the server in good order; returns its setup, to start it again.
    pub(crate) fn stop(mut self) -> Setup {
        self.signal("TERM");
        assert!(self.wait().success(), "{}", self.log());
        self.setup.clone()
    }

    /// Every file of the data folder and of the database.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        // A file database and a key file may both be missing.
        let data = self.setup.data();
        let mut files = if data.exists() { files(&data) } else { Vec::new() };
        files.extend(self.setup.database().files());
        files
    }

    /// The files that contain `needle`.
    pub(crate) fn files_with(&self, needle: impl AsRef<[u8]>) -> Vec<PathBuf> {
        let needle = needle.as_ref();
        let holds = |path: &PathBuf| {
            let bytes = fs::read(path).expect("file");
            bytes.windows(needle.len()).any(|window| window == needle)
        };
        self.files().into_iter().filter(holds).collect()
    }
}

/// Every file in a folder and its subfolders.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Sends a process `TERM`, `HUP` or another signal.
pub(crate) fn signal(process: &Child, name: &str) {
    let kill = format!("kill -{name} {}", process.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
}

/// Searches for secrets as plain text, and for the longer ones in every notation that a library may print bytes in.
pub(crate) fn assert_no_secret(log: &str) {
    let log = &without_ids(log);
    for secret in SECRETS {
        assert!(!has(log, secret), "the log holds {secret}: {log}");
    }
    for secret in SECRETS.iter().filter(|secret| secret.len() >= 6) {
        assert_not_in(log, secret.as_bytes());
    }
}

/// Whether a text contains another one. The search of the standard library is slow in unoptimised tests. `memchr` is
/// optimised there, too.
fn has(text: &str, part: &str) -> bool {
    memmem::find(text.as_bytes(), part.as_bytes()).is_some()
}

/// A log without the ids of records, because their random letters may spell a short secret.
fn without_ids(log: &str) -> String {
    let mut parts = log.split("record.id");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| {
        let value = part.trim_start_matches(['"', '=', ':']);
        kept + value.trim_start_matches(|character: char| character.is_ascii_alphanumeric())
    })
}

/// Asserts that a log contains these bytes in no notation: plain, hexadecimal, decimal, Base64.
pub(crate) fn assert_not_in(log: &str, secret: &[u8]) {
    let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal: Vec<String> = secret.iter().map(ToString::to_string).collect();
    let mut forms =
        vec![hexadecimal.to_uppercase(), hexadecimal, decimal.join(", "), decimal.join(",")];
    forms.extend(str::from_utf8(secret).map(str::to_owned));
    // The secret may begin at any position in a group of three bytes. Only the characters that depend on it alone are
    // searched for.
    for before in 0..3 {
        let encoded = STANDARD_NO_PAD.encode([&vec![0; before], secret].concat());
        let whole = &encoded[(before * 8).div_ceil(6)..(before + secret.len()) * 8 / 6];
        forms.extend([whole.to_owned(), whole.replace('+', "-").replace('/', "_")]);
    }
    for form in forms {
        assert!(!has(log, &form), "the log holds {form}: {log}");
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !thread::panicking() {
            assert_no_secret(&self.log());
        }
    }
}
