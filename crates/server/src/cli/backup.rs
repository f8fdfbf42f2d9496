//! `latchkey verify`, `backup` and `restore`: copies of a database, and the proof of any.
//!
//! Invariant: what is said to be proved was, and whoever finds damage exits with 1.

use std::{
    io::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::Serialize;
use store::VerifyReport;
use tracing::info;

use super::administration::Output;
use crate::config::Config;

/// How often a command that takes long says how far it is.
const PAUSE: Duration = Duration::from_secs(2);

/// What was done, with what, and the proof of it.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<String>,
    database: String,
    master_keys: u64,
    records: u64,
    ended: u64,
    users: u64,
    /// The ids of records, as the API has them.
    damaged: &'a [String],
    /// What servers leave out: `user`, `credential`, `application` or `record`, and the row's key.
    unreadable: &'a [(&'static str, String)],
    #[serde(skip)]
    proof: &'a VerifyReport,
}

impl<'a> Report<'a> {
    fn of(config: &Config, file: Option<&Path>, proof: &'a VerifyReport) -> anyhow::Result<Self> {
        Ok(Self {
            backup: file.map(|file| file.display().to_string()),
            database: config.database()?.to_string(),
            master_keys: proof.master_keys,
            records: proof.records,
            ended: proof.ended,
            users: proof.users,
            damaged: &proof.damaged,
            unreadable: &proof.unreadable,
            proof,
        })
    }

    /// Says what was proved; an error if something is damaged.
    fn print(&self, output: Output, done: Option<String>) -> anyhow::Result<()> {
        let mut lines: Vec<String> = done.into_iter().collect();
        lines.extend(proved(self.proof));
        output.made(&lines.join("\n"), self)?;
        refuse_unreadable(self.unreadable.len())?;
        refuse_damaged(self.damaged.len())
    }
}

/// An error if rows were found that servers leave out.
fn refuse_unreadable(count: usize) -> anyhow::Result<()> {
    if count > 0 {
        bail!(
            "{} cannot be read, and servers leave them out: something else wrote them; put them right, or \
             remove them",
            counted(count as u64, "row")
        );
    }
    Ok(())
}

/// An error if records were found that do not open.
pub(crate) fn refuse_damaged(count: usize) -> anyhow::Result<()> {
    let (records, are) = match count {
        0 => return Ok(()),
        1 => ("1 record".to_owned(), "is"),
        _ => (counted(count as u64, "record"), "are"),
    };
    bail!(
        "{records} {are} damaged: changed outside of this server, and not to be opened; have the tokens saved \
         again, and revoke what is damaged by its `Id`"
    )
}

/// Proves the configured database.
pub(crate) fn verify(config: &Config, output: Output) -> anyhow::Result<()> {
    let database = config.database()?;
    let proof = store::verify(&database, &config.keys()?, &mut looked_at())
        .with_context(|| format!("cannot prove the database {database}"))?;
    Report::of(config, None, &proof)?.print(output, None)
}

/// Copies the configured database into a file.
pub(crate) fn backup(config: &Config, output: Output, file: &Path) -> anyhow::Result<()> {
    refuse_stream(file)?;
    let database = config.database()?;
    let proof = store::backup(&database, &config.keys()?, file, &mut looked_at())
        .with_context(|| format!("cannot back up the database {database}"))?;
    info!(records = proof.records, file = %file.display(), "backed up the database");
    let done = format!("wrote {}, restored it to prove it, and removed that again", file.display());
    Report::of(config, Some(file), &proof)?.print(output, Some(done))
}

/// Makes the configured database from a file.
pub(crate) fn restore(config: &Config, output: Output, file: &Path) -> anyhow::Result<()> {
    refuse_stream(file)?;
    let database = config.database()?;
    let proof = store::restore(file, &database, &config.keys()?, &mut looked_at())
        .with_context(|| format!("cannot restore {} to {database}", file.display()))?;
    info!(records = proof.records, file = %file.display(), "restored the database");
    let done = format!("restored {} to {database}", file.display());
    Report::of(config, Some(file), &proof)?.print(output, Some(done))
}

/// Refuses what other programs read as standard input or output.
fn refuse_stream(file: &Path) -> anyhow::Result<()> {
    if file.as_os_str() == "-" {
        bail!(
            "a backup is proved by reading it twice before it counts, so it cannot be a stream; name a file \
             (./- if it is to be called so), and copy that"
        );
    }
    Ok(())
}

/// What a proof says, a line each.
fn proved(proof: &VerifyReport) -> Vec<String> {
    let VerifyReport { master_keys, records, ended, users, is_file, damaged, unreadable } = proof;
    let mut lines = Vec::new();
    if *is_file {
        lines.push("the file: its pages and indexes fit together".to_owned());
    }
    lines.push(format!("{}: all there and the right ones", counted(*master_keys, "master key")));
    let count = counted(*records, "record");
    lines.push(match damaged.len() as u64 {
        0 => format!(
            "{count}: every data key opens under its master key; the tokens themselves can be opened by \
             their callers alone"
        ),
        bad => format!("{count}: the data keys of {} do not open:", grouped(bad)),
    });
    lines.extend(damaged.iter().map(|id| format!("  record {id} is damaged")));
    if *ended > 0 {
        lines.push(format!("ended, and holding nothing: {}", counted(*ended, "record")));
    }
    lines.push(counted(*users, "user"));
    lines.extend(unreadable.iter().map(|(thing, key)| format!("  {thing} {key:?} cannot be read")));
    lines
}

/// Says now and then how many records were looked at.
fn looked_at() -> impl FnMut(u64) {
    let mut told = Progress::begin();
    move |records| told.tell(|| format!("looked at {}", counted(records, "record")))
}

/// What a command that takes long says on standard error.
pub(crate) struct Progress(Instant);

impl Progress {
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Says this, unless something was said just now.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.0.elapsed() >= PAUSE {
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "{}", what());
            self.0 = Instant::now();
        }
    }
}

/// So many things: `1 record`, `1,234 records`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(count))
}

/// A number with a comma before each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (65_536, "65,536"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((counted(1, "user"), counted(2, "user")), ("1 user".into(), "2 users".into()));
    }
}
