//! `latchkey import`: saves tokens of another system as records, and writes a file of their keys.
//!
//! Invariant: the key of a line is on disk before its record is committed. So an interrupted import can be resumed: no
//! line is saved twice, and no record is without its key.

mod entry;
mod key_file;
mod lines;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use futures_util::future::join_all;
use model::{Principal, RetrievalKey};
use serde::Serialize;
use store::{Store, StoreError, TokensToSave};
use tracing::{info, warn};

use self::{
    entry::{Entries, Entry},
    key_file::{KeyFile, Row},
    lines::{Format, Line, Lines},
};
use super::{
    open,
    output::{Output, Progress, counted, grouped},
    terminal,
};
use crate::config::Config;

/// The size of a batch, in lines and in bytes of secrets. It is that of the writer.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// How many bad lines are printed.
const SHOWN: usize = 100;
/// The rights of others than the owner of a file.
const OTHERS: u32 = 0o077;

/// The file of tokens, and the file for the keys.
#[derive(Args)]
pub(crate) struct ImportArguments {
    /// The file of tokens, in JSON lines or CSV as docs/import.md says; `-` is standard input
    pub(super) file: PathBuf,
    /// The format of the file, if its name does not end with .csv, .jsonl or .ndjson
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The new file to write keys to: a CSV with line, id, record, key. Keep it safe: its keys open every record
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    keys: Option<PathBuf>,
    /// Resume an interrupted import, with the same file and the same file of keys
    #[arg(long)]
    resume: bool,
    /// Only check the lines, and save nothing
    #[arg(long, conflicts_with = "resume")]
    check: bool,
    /// The owner of lines that name none
    #[arg(long, value_name = "LOGIN")]
    owner: Option<String>,
    /// The tenant of lines that name none, with `tenants = "path"`
    #[arg(long)]
    tenant: Option<String>,
}

#[derive(Serialize)]
struct Report {
    lines: u64,
    /// Saved by this run.
    saved: u64,
    /// Saved by runs before it.
    before: u64,
    keys: String,
}

#[derive(Serialize)]
struct Checked {
    lines: u64,
}

pub(crate) fn run(
    config: &Config,
    output: Output,
    arguments: &ImportArguments,
) -> anyhow::Result<()> {
    open::with_store(config, async |store| {
        let mut entries =
            Entries::new(config, store, arguments.owner.as_deref(), arguments.tenant.as_deref())?;
        let (file, format) = (&arguments.file, format_of(arguments)?);
        let Some(keys) = arguments.keys.as_ref().filter(|_| !arguments.check) else {
            let lines = check(Lines::open(file, format, config)?, &mut entries).await?;
            let plain = format!("{} can be saved", counted(lines, "line"));
            return output.made(&plain, &Checked { lines });
        };
        warn_of_rights(file);
        if !is_stream(file) {
            check(Lines::open(file, format, config)?, &mut entries).await?;
        }
        let key_file = match arguments.resume {
            true => KeyFile::resume(keys)?,
            false => KeyFile::create(keys)?,
        };
        let lines = Lines::open(file, format, config)?;
        let report = Import::new(store, key_file).run(lines, &mut entries).await?;
        info!(saved = report.saved, before = report.before, "imported records");
        let before = match report.before {
            0 => String::new(),
            before => format!(", after {} of a run before", grouped(before)),
        };
        let plain = format!(
            "saved {}{before}; their keys are in {}",
            counted(report.saved, "record"),
            report.keys
        );
        output.made(&plain, &report)
    })
}

fn is_stream(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn format_of(arguments: &ImportArguments) -> anyhow::Result<Format> {
    let of_name = || Format::of_name(&arguments.file);
    arguments.format.or_else(of_name).context(
        "the name of the file does not end with .csv, .jsonl or .ndjson; add --format jsonl or --format csv",
    )
}

/// The file has tokens in the clear.
fn warn_of_rights(file: &Path) {
    let mode = fs::metadata(file).map_or(0, |metadata| metadata.permissions().mode());
    if mode & OTHERS != 0 && !is_stream(file) {
        warn!(
            path = %file.display(),
            "other users can read this file, which has tokens; run `chmod 600` on it, and delete it after the import"
        );
    }
}

/// Checks every line, and returns their number.
///
/// # Errors
/// Some lines cannot be saved; they were printed.
async fn check(mut lines: Lines, entries: &mut Entries<'_>) -> anyhow::Result<u64> {
    let mut progress = Progress::begin();
    let (mut count, mut bad) = (0, 0);
    while let Some(line) = lines.next()? {
        count += 1;
        progress.tell(|| format!("{} checked", counted(count, "line")));
        if let Err(fault) = entries.read(&line).await? {
            bad += 1;
            if bad <= SHOWN {
                tell(&format!("line {}: {fault}", line.number));
            }
        }
    }
    if bad > SHOWN {
        tell(&format!("and {} more", grouped((bad - SHOWN) as u64)));
    }
    match bad {
        0 => Ok(count),
        bad => bail!("{} cannot be saved; this run saved nothing", counted(bad as u64, "line")),
    }
}

/// An import that is under way.
struct Import<'a> {
    store: &'a Store,
    keys: KeyFile,
    /// The lines to commit next.
    batch: Vec<Pending>,
    /// How many bytes of secrets they have.
    bytes: usize,
    saved: u64,
    before: u64,
}

/// A line that is not saved yet, and the key that it gets.
struct Pending {
    line: u64,
    entry: Entry,
    key: RetrievalKey,
    /// Whether the key is not on disk yet.
    is_new: bool,
}

impl<'a> Import<'a> {
    fn new(store: &'a Store, keys: KeyFile) -> Self {
        Self { store, keys, batch: Vec::new(), bytes: 0, saved: 0, before: 0 }
    }

    /// Saves every line that no run before has saved.
    async fn run(mut self, mut lines: Lines, entries: &mut Entries<'_>) -> anyhow::Result<Report> {
        let mut progress = Progress::begin();
        let mut count = 0;
        let mut known = self.keys.rows()?;
        while let Some(row) = known.next()? {
            let line = lines.next()?.with_context(|| {
                format!(
                    "the file ends before line {}, which the file of keys has; resume with the file that the \
                     import began with",
                    row.line
                )
            })?;
            let entry = valid(&line, entries).await?;
            if row.check != entry.digest() || row.line != line.number {
                bail!(
                    "line {} is not the line that the file of keys has there; resume with the file that the \
                     import began with",
                    line.number
                );
            }
            count += 1;
            // Each is looked up, because the database may be another one, or an earlier state of it.
            if self.is_saved(&entry, &row.key, line.number).await? {
                self.before += 1;
            } else {
                let (line, key) = (line.number, row.key);
                self.add(Pending { line, entry, key, is_new: false }).await?;
            }
            progress.tell(|| format!("{} checked", counted(count, "line")));
        }
        while let Some(line) = lines.next()? {
            let entry = valid(&line, entries).await?;
            count += 1;
            let key = self.store.new_key();
            self.add(Pending { line: line.number, entry, key, is_new: true }).await?;
            progress.tell(|| format!("{} saved", counted(self.saved, "record")));
        }
        self.commit().await?;
        let keys = self.keys.path().display().to_string();
        Ok(Report { lines: count, saved: self.saved, before: self.before, keys })
    }

    /// Whether the record of this key was committed.
    async fn is_saved(&self, entry: &Entry, key: &RetrievalKey, line: u64) -> anyhow::Result<bool> {
        let found = self.store.record(entry.owner.tenant.clone(), key.record()).await?;
        let Some(found) = found else { return Ok(false) };
        if found.owner != entry.owner.login || found.provider != entry.carrier.provider.as_str() {
            bail!(
                "line {line}: the id of its record belongs to another record; import this line alone"
            );
        }
        Ok(true)
    }

    /// Adds a line to the batch, after that was committed if it is full.
    async fn add(&mut self, pending: Pending) -> anyhow::Result<()> {
        let bytes = pending.entry.bytes();
        if self.batch.len() == BATCH || self.bytes + bytes > BATCH_BYTES {
            self.commit().await?;
        }
        self.bytes += bytes;
        self.batch.push(pending);
        Ok(())
    }

    /// Puts the keys of the batch on disk, and then commits its records.
    async fn commit(&mut self) -> anyhow::Result<()> {
        self.check_quotas().await?;
        let new = self.batch.iter().filter(|pending| pending.is_new);
        self.keys.append(new.map(|pending| Row {
            line: pending.line,
            id: pending.entry.id.clone(),
            key: pending.key.clone(),
            check: pending.entry.digest(),
        }))?;
        let saves = self.batch.iter().map(async |Pending { line, entry, key, .. }| {
            let (carrier, details) = (&entry.carrier, &entry.details);
            let access_expires = entry.access_expires;
            let tokens = TokensToSave { carrier, details, access_expires, grant: None };
            let saved = self.store.save_external_tokens_under(key, &entry.owner, tokens).await;
            saved.with_context(|| format!("line {line} was not saved"))
        });
        let outcomes = join_all(saves).await;
        self.saved += outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
        self.batch.clear();
        self.bytes = 0;
        outcomes.into_iter().collect::<anyhow::Result<()>>().with_context(|| {
            format!("stopped after {}; run it again with --resume", counted(self.saved, "record"))
        })
    }

    /// Whether every owner may have the records of the batch. A batch is refused as a whole.
    async fn check_quotas(&self) -> anyhow::Result<()> {
        let mut owners: BTreeMap<(&str, &str), (&Principal, u64, u64)> = BTreeMap::new();
        for Pending { line, entry, .. } in &self.batch {
            let owner = &entry.owner;
            let name = (owner.tenant.as_str(), owner.login.as_str());
            owners.entry(name).or_insert((owner, *line, 0)).2 += 1;
        }
        for (owner, line, count) in owners.into_values() {
            match self.store.may_save_many(owner, count).await {
                Err(StoreError::QuotaReached(_)) => bail!(
                    "stopped after {}: the owner of line {line} would have more records than \
                     records.per_user allows; raise that, and run it again with --resume",
                    counted(self.saved, "record")
                ),
                admitted => admitted?,
            }
        }
        Ok(())
    }
}

/// The entry of a line. Every line was checked before, unless it comes from standard input.
async fn valid(line: &Line, entries: &mut Entries<'_>) -> anyhow::Result<Entry> {
    let read = entries.read(line).await?;
    read.map_err(|fault| {
        anyhow::anyhow!(
            "line {}: {fault}; the lines before it were saved, except for at most {BATCH}, which \
             --resume saves",
            line.number
        )
    })
}

fn tell(line: &str) {
    // A closed terminal does not stop the import.
    let _ = writeln!(io::stderr(), "{}", terminal::line(line));
}
