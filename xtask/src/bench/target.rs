//! The measured targets: Latchkey on each backend, and the yardsticks.
//!
//! Invariant: all get the same calls, byte for byte except for the keys, which differ by target.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::ensure;
use xshell::Shell;

use super::{
    BASIC, GET, SAVE,
    cluster::Cluster,
    load::{self, Call, Script},
    median,
    process::{Server, latchkey},
    record,
    usage::{self, Largest, Memory},
};

/// The kind of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bare,
    Transactions,
    Sqlite,
    Postgres,
    Pgbench,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Transactions => "transactions",
            Self::Sqlite => "Latchkey, SQLite",
            Self::Postgres => "Latchkey, PostgreSQL",
            Self::Pgbench => "pgbench",
        }
    }

    fn is_latchkey(self) -> bool {
        matches!(self, Self::Sqlite | Self::Postgres)
    }
}

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Save,
    Get,
}

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Get => "get",
        }
    }
}

/// The figures of one load.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// Calls a second.
    pub(super) rate: f64,
    pub(super) mean_ms: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// The server's processor time for a call, in microseconds.
    pub(super) server_processor: Option<f64>,
    /// The same of PostgreSQL.
    pub(super) database_processor: Option<f64>,
    /// The largest size of SQLite's write-ahead log.
    pub(super) log_bytes: u64,
    /// The number of calls that were not answered with 2xx.
    pub(super) failures: u64,
}

impl Figures {
    /// Returns the median of each figure, the largest log, and the sum of all failures.
    pub(super) fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(rounds.iter().map(figure).collect());
        let of_some = |figure: fn(&Self) -> Option<f64>| {
            let values: Option<Vec<f64>> = rounds.iter().map(figure).collect();
            values.map(median)
        };
        Self {
            rate: of(|figures| figures.rate),
            mean_ms: of(|figures| figures.mean_ms),
            p50_ms: of(|figures| figures.p50_ms),
            p99_ms: of(|figures| figures.p99_ms),
            server_processor: of_some(|figures| figures.server_processor),
            database_processor: of_some(|figures| figures.database_processor),
            log_bytes: rounds.iter().map(|figures| figures.log_bytes).max().unwrap_or_default(),
            failures: rounds.iter().map(|figures| figures.failures).sum(),
        }
    }
}

/// A server with records in it, and the calls that load it.
pub(super) struct Target<'a> {
    pub(super) kind: Kind,
    server: Server,
    cluster: Option<&'a Cluster>,
    /// SQLite's write-ahead log, if there is one.
    log: PathBuf,
    save: Script,
    get: Script,
    /// Resident bytes of the ready server, before the first call.
    pub(super) idle_bytes: u64,
}

impl<'a> Target<'a> {
    /// Starts a target in a new folder; `cluster` is for the kind that uses it.
    pub(super) fn start(
        kind: Kind,
        binaries: &Path,
        folder: &Path,
        cluster: Option<&'a Cluster>,
        records: usize,
    ) -> anyhow::Result<Self> {
        fs::create_dir(folder)?;
        let server = Server::start(command(kind, binaries, folder, cluster))?;
        if kind.is_latchkey() {
            server.wait_until_ready()?;
        }
        let idle_bytes = Memory::of(server.id())?.now;
        if kind.is_latchkey() {
            let (status, _) = server.call("POST", SAVE, "", &record())?;
            ensure!(status == 401, "a call without a login was answered with {status}");
        }
        let save = Call { path: SAVE, authorization: BASIC };
        let save = Script::same(folder.join("save.lua"), save, &record())?;
        let get = fill(&server, folder, records)?;
        let log = if kind.is_latchkey() { "data/latchkey.db-wal" } else { "yardstick.db-wal" };
        Ok(Self { kind, server, cluster, log: folder.join(log), save, get, idle_bytes })
    }

    /// Loads the target. Latchkey has to answer every call.
    pub(super) fn load(
        &self,
        shell: &Shell,
        work: Work,
        connections: u32,
        seconds: u32,
    ) -> anyhow::Result<Figures> {
        let script = match work {
            Work::Save => &self.save,
            Work::Get => &self.get,
        };
        let log = Largest::watch(self.log.clone());
        let before = self.processor()?;
        let outcome = script.run(shell, &self.server.address, connections, seconds)?;
        let after = self.processor()?;
        let name = self.kind.name();
        ensure!(
            self.kind == Kind::Transactions || outcome.failures == 0,
            "{name}: {} calls failed",
            outcome.failures
        );
        ensure!(work == Work::Save || outcome.answer_bytes > 2000, "{name}: gets are empty");
        let each = |used: u64| used as f64 / outcome.calls as f64;
        Ok(Figures {
            rate: outcome.rate,
            mean_ms: outcome.mean_ms,
            p50_ms: outcome.p50_ms,
            p99_ms: outcome.p99_ms,
            server_processor: Some(each(after.0 - before.0)),
            database_processor: self.cluster.map(|_cluster| each(after.1 - before.1)),
            log_bytes: log.finish(),
            failures: outcome.failures,
        })
    }

    pub(super) fn peak_bytes(&self) -> anyhow::Result<u64> {
        Ok(Memory::of(self.server.id())?.peak)
    }

    /// Returns the processor time of the server and of its database, in microseconds.
    fn processor(&self) -> anyhow::Result<(u64, u64)> {
        let database = self.cluster.map(Cluster::processor).transpose()?;
        Ok((usage::processor(self.server.id())?, database.unwrap_or_default()))
    }
}

/// Saves records, and returns the script that gets any of them.
pub(super) fn fill(server: &Server, folder: &Path, records: usize) -> anyhow::Result<Script> {
    let keys = load::fill(&server.address, &record(), records)?;
    let body = format!("{{\"Key\":{}}}", keys[keys.len() / 2]);
    let (status, answer) = server.call("POST", GET, BASIC, &body)?;
    ensure!(status == 200 && answer.contains(&"r".repeat(1000)), "a get did not answer the record");
    let file = folder.join("keys");
    fs::write(&file, keys.join("\n"))?;
    Script::any_of(folder.join("get.lua"), Call { path: GET, authorization: BASIC }, &file)
}

fn command(kind: Kind, binaries: &Path, folder: &Path, cluster: Option<&Cluster>) -> Command {
    if kind.is_latchkey() {
        let mut command = latchkey(&binaries.join("latchkey"), folder);
        if let Some(cluster) = cluster {
            command.env("LATCHKEY__DATABASE__URL", cluster.url());
        }
        return command;
    }
    let mut command = Command::new(binaries.join("yardstick"));
    command.arg(kind.name()).current_dir(folder).env_clear();
    command
}
