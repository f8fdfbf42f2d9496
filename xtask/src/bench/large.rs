//! Measurements of a large database: the start with a million records, and gets among ten million.
//!
//! Invariant: the records that are read were saved through the server. Only the records between them were made by SQL,
//! and a folder is removed after its measurement.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::ensure;
use xshell::{Shell, cmd};

use super::{
    CONNECTIONS,
    load::Script,
    median,
    process::{Server, latchkey},
    store::Plan,
    target,
};

const STARTS: usize = 5;
const AT_START: u64 = 1_000_000;
/// The number of records to read.
const SAVED: u64 = 2_000;
const FEW: u64 = 10_000;
const MANY: u64 = 10_000_000;
/// The number of rows in one transaction, so that the write-ahead log stays small.
const AT_ONCE: u64 = 1_000_000;

/// The measured figures.
pub(super) struct Large {
    /// The time from the start of the process until it was ready.
    pub(super) start_ms: f64,
    /// The ratio of the times of a get among ten million and among ten thousand, at one connection.
    pub(super) alone: f64,
    /// The same at 64 connections.
    pub(super) together: f64,
}

pub(super) fn measure(
    shell: &Shell,
    plan: &Plan,
    binaries: &Path,
    scratch: &Path,
) -> anyhow::Result<Large> {
    let binary = binaries.join("latchkey");
    let start_ms = start(shell, &binary, &scratch.join("million"))?;
    let few = Held::start(shell, &binary, scratch.join("few"), FEW)?;
    let many = Held::start(shell, &binary, scratch.join("many"), MANY)?;
    let alone = slower(shell, plan, &few, &many, 1)?;
    let together = slower(shell, plan, &few, &many, CONNECTIONS)?;
    for held in [few, many] {
        held.server.stop()?;
        fs::remove_dir_all(held.folder)?;
    }
    Ok(Large { start_ms, alone, together })
}

/// Returns the milliseconds from the start to readiness.
fn start(shell: &Shell, binary: &Path, folder: &Path) -> anyhow::Result<f64> {
    save(shell, binary, folder, 1, AT_START)?;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let began = Instant::now();
        let server = Server::start(latchkey(binary, folder))?;
        server.wait_until_ready()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        server.stop()?;
    }
    fs::remove_dir_all(folder)?;
    Ok(median(times))
}

/// A server that holds many records, and gets of those that were saved.
struct Held {
    folder: PathBuf,
    server: Server,
    get: Script,
}

impl Held {
    fn start(shell: &Shell, binary: &Path, folder: PathBuf, records: u64) -> anyhow::Result<Self> {
        let get = save(shell, binary, &folder, SAVED, records)?;
        let server = Server::start(latchkey(binary, &folder))?;
        server.wait_until_ready()?;
        Ok(Self { folder, server, get })
    }
}

/// Returns the ratio of the times of a get among many and among few.
fn slower(
    shell: &Shell,
    plan: &Plan,
    few: &Held,
    many: &Held,
    connections: u32,
) -> anyhow::Result<f64> {
    let mut rates = [Vec::new(), Vec::new()];
    for round in 1..=plan.rounds {
        eprintln!("round {round}: gets among few and many at {connections} connections");
        for (held, rates) in [few, many].into_iter().zip(&mut rates) {
            let outcome = held.get.run(shell, &held.server.address, connections, plan.seconds)?;
            ensure!(outcome.failures == 0 && outcome.answer_bytes > 2000, "gets failed");
            rates.push(outcome.rate);
        }
    }
    let [few, many] = rates.map(median);
    Ok(few / many)
}

/// Creates a database of `records` records, of which `saved` were saved, and returns the script that gets those.
fn save(
    shell: &Shell,
    binary: &Path,
    folder: &Path,
    saved: u64,
    records: u64,
) -> anyhow::Result<Script> {
    eprintln!("a database of {records} records");
    fs::create_dir(folder)?;
    let server = Server::start(latchkey(binary, folder))?;
    let get = target::fill(&server, folder, usize::try_from(saved)?)?;
    server.stop()?;
    let database = folder.join("data/latchkey.db");
    let sql = cmd!(shell, "sqlite3 -bail {database}").stdin(copies(saved, records));
    let count: u64 = sql.quiet().read()?.trim().parse()?;
    // Records that were saved in the same microsecond leave less room between them than the copies need.
    ensure!(count > records / 100 * 95, "there are {count} records and not {records}");
    Ok(get)
}

/// Returns SQL that puts small records after each saved one, and prints the count of all.
fn copies(saved: u64, records: u64) -> String {
    let each = (records - saved) / saved;
    let step = (AT_ONCE / each.max(1)).max(1);
    let mut sql = "PRAGMA synchronous = OFF;
        CREATE TEMP TABLE saved AS SELECT * FROM external_tokens ORDER BY id;\n"
        .to_owned();
    for first in (0..saved).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
        sql += &format!(
            "WITH RECURSIVE numbers (number) AS
                 (VALUES (1) UNION ALL SELECT number + 1 FROM numbers WHERE number < {each})
             INSERT OR IGNORE INTO external_tokens
                 (id, tenant, owner, provider, generation, key_digest, kek_id, wrapped_dek, sealed,
                  created, updated)
             SELECT id + number, tenant, owner, provider, generation, randomblob(32), kek_id,
                 randomblob(62), randomblob(64), created, updated
             FROM saved CROSS JOIN numbers
             WHERE saved.rowid > {first} AND saved.rowid <= {first} + {step};\n"
        );
    }
    sql + "PRAGMA optimize; SELECT count(*) FROM external_tokens;"
}
