//! The report of `verify`, `backup` and `restore` on the verification of a database.
//!
//! Invariant: the report has only what was verified, and a command that finds damage exits with 1.

use std::path::Path;

use anyhow::bail;
use serde::Serialize;
use store::VerifyReport;

use super::output::{Output, Progress, counted, grouped};
use crate::config::Config;

/// The databases and files of a command, and the result of its verification.
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
    /// Rows that servers skip: `user`, `credential`, `application` or `record`, and the row's key.
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

    /// Prints what was verified. Fails if something is damaged.
    pub(super) fn print(&self, output: Output, done: Option<String>) -> anyhow::Result<()> {
        let mut lines: Vec<String> = done.into_iter().collect();
        lines.extend(proved(self.proof));
        if let Some(count) = self.unsaved.filter(|count| *count > 0) {
            lines.push(format!(
                "not in the database yet: new tokens in {}, which a server commits",
                counted(count, "file")
            ));
        }
        output.made(&lines.join("\n"), self)?;
        refuse_unreadable(self.unreadable.len())?;
        refuse_damaged(self.damaged.len())
    }
}

/// Fails if there are rows that servers skip.
fn refuse_unreadable(count: usize) -> anyhow::Result<()> {
    if count > 0 {
        bail!(
            "{} cannot be read, and servers skip them: another program wrote them; correct or remove them",
            counted(count as u64, "row")
        );
    }
    Ok(())
}

/// Fails if there are records that do not open.
pub(super) fn refuse_damaged(count: usize) -> anyhow::Result<()> {
    let (records, are) = match count {
        0 => return Ok(()),
        1 => ("1 record".to_owned(), "is"),
        _ => (counted(count as u64, "record"), "are"),
    };
    bail!(
        "{records} {are} damaged: another program changed the data, which does not open any more; save the tokens \
         again, and revoke each damaged record by its `Id`"
    )
}

/// The results of a verification, a line each.
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
            "{count}: every data key opens under its master key; only callers can open the tokens \
             themselves"
        ),
        bad => format!("{count}: the data keys of {} do not open:", grouped(bad)),
    });
    lines.extend(damaged.iter().map(|id| format!("  record {id} is damaged")));
    if *ended > 0 {
        lines.push(format!("ended, without tokens: {}", counted(*ended, "record")));
    }
    lines.push(counted(*users, "user"));
    lines.push(counted(*grants, "grant"));
    lines.extend(unreadable.iter().map(|(thing, key)| format!("  {thing} {key:?} cannot be read")));
    lines
}

/// Prints from time to time the number of records that were checked.
pub(super) fn report_progress() -> impl FnMut(u64) {
    let mut progress = Progress::begin();
    move |records| progress.tell(|| format!("checked {}", counted(records, "record")))
}
