//! What `verify`, `backup` and `restore` say about the proof of a database.
//!
//! Invariant: what is said to be proved was, and a command that finds damage exits with 1.

use std::path::Path;

use anyhow::bail;
use serde::Serialize;
use store::VerifyReport;

use super::output::{Output, Progress, counted, grouped};
use crate::config::Config;

/// What was done, with what, and the proof of it.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<String>,
    database: String,
    master_keys: u64,
    records: u64,
    ended: u64,
    users: u64,
    grants: u64,
    /// Files of new tokens that the database could not take.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsaved: Option<u64>,
    /// The ids of records, as the API has them.
    damaged: &'a [String],
    /// What servers leave out: `user`, `credential`, `application` or `record`, and the row's key.
    unreadable: &'a [(&'static str, String)],
    #[serde(skip)]
    proof: &'a VerifyReport,
}

impl<'a> Report<'a> {
    pub(super) fn of(
        config: &Config,
        file: Option<&Path>,
        proof: &'a VerifyReport,
        unsaved: Option<u64>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            backup: file.map(|file| file.display().to_string()),
            database: config.database()?.to_string(),
            master_keys: proof.master_keys,
            records: proof.records,
            ended: proof.ended,
            users: proof.users,
            grants: proof.grants,
            unsaved,
            damaged: &proof.damaged,
            unreadable: &proof.unreadable,
            proof,
        })
    }

    /// Says what was proved; an error if something is damaged.
    pub(super) fn print(&self, output: Output, done: Option<String>) -> anyhow::Result<()> {
        let mut lines: Vec<String> = done.into_iter().collect();
        lines.extend(proved(self.proof));
        if let Some(count) = self.unsaved.filter(|count| *count > 0) {
            lines.push(format!(
                "not in the database yet: new tokens in {}, which a server puts there",
                counted(count, "file")
            ));
        }
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
pub(super) fn refuse_damaged(count: usize) -> anyhow::Result<()> {
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

/// What a proof says, a line each.
fn proved(proof: &VerifyReport) -> Vec<String> {
    let VerifyReport { master_keys, records, ended, users, grants, is_file, damaged, unreadable } =
        proof;
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
    lines.push(counted(*grants, "grant"));
    lines.extend(unreadable.iter().map(|(thing, key)| format!("  {thing} {key:?} cannot be read")));
    lines
}

/// Prints now and then the number of records that were looked at.
pub(super) fn report_progress() -> impl FnMut(u64) {
    let mut progress = Progress::begin();
    move |records| progress.tell(|| format!("looked at {}", counted(records, "record")))
}
