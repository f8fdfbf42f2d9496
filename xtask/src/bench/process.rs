//! The measured servers, as processes.
//!
//! Invariant: a server ends when its `Server` is dropped.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

/// The time limit for a server to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that printed its address.
pub(super) struct Server {
    process: Child,
    pub(super) address: String,
    /// Kept open, because a server that cannot finish its greeting ends.
    _greeting: BufReader<ChildStdout>,
}

impl Server {
    pub(super) fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let mut greeting = BufReader::new(process.stdout.take().context("its output")?);
        let mut line = String::new();
        greeting.read_line(&mut line)?;
        let address = line.trim().split_once("//").map(|(_, address)| address.to_owned());
        // Built before the address is known, so that the process ends if there is none.
        let mut server = Self { process, address: String::new(), _greeting: greeting };
        server.address = address.context("the server did not start")?;
        Ok(server)
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns once the server is ready.
    pub(super) fn wait_until_ready(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.call("GET", "/readyz", "", "")?.0 != 200 {
            ensure!(began.elapsed() < PATIENCE, "the server is not ready");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Stops the server gracefully, as an operator does.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let id = self.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success(), "no such process");
        let began = Instant::now();
        while self.process.try_wait()?.is_none() {
            ensure!(began.elapsed() < PATIENCE, "the server does not stop");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Makes one call on a connection of its own, and returns status and body.
    pub(super) fn call(
        &self,
        method: &str,
        path: &str,
        authorization: &str,
        body: &str,
    ) -> anyhow::Result<(u16, String)> {
        let login = match authorization {
            "" => String::new(),
            value => format!("Authorization: {value}\r\n"),
        };
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{login}Content-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).context("a status")?.parse()?;
        let (_, body) = answer.split_once("\r\n\r\n").context("a body")?;
        Ok((status, body.to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the command for Latchkey on a free port, with its data in `folder`.
pub(super) fn latchkey(binary: &Path, folder: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .current_dir(folder)
        .env_clear()
        .env("LATCHKEY__SERVER__LISTEN", "127.0.0.1:0")
        .env("LATCHKEY__AUTH__THROTTLE__PER_USER", "1000000")
        .env("LATCHKEY__AUTH__THROTTLE__PER_ADDRESS", "1000000")
        .env("LATCHKEY__RECORDS__PER_USER", "1000000000")
        .env("LATCHKEY__LOG__FILTER", "warn");
    command
}
