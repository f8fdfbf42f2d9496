//! `latchkey audit`: verifies and shows files of the audit log.
//!
//! Invariant: it changes nothing, and the server may be running.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::{open::with_store, output::Output, terminal};
use crate::{
    audit::{ReadLine, Verified, read_line, renamed_files, verify_files},
    config::{Config, audit::AuditTarget},
};

const VERIFY_EXAMPLES: &str = "\
Examples:
  latchkey audit verify
  latchkey audit verify /archive/audit.jsonl*";

const SHOW_EXAMPLES: &str = "\
Examples:
  latchkey audit show --login ann --since 2026-11-01
  latchkey audit show --record 01vYvSdgm8u --output json";

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Verify that no line of the audit log was changed, removed or moved
    ///
    /// The command needs the database, which has the keys and the last anchored line of each chain. It exits with 1 if
    /// something is wrong, and names the first line. Without files, it verifies those of `audit.file`.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify {
        /// Files of the audit log, in any order
        files: Vec<PathBuf>,
    },
    /// Show events of the audit log
    ///
    /// Without files, the command shows those of `audit.file`. It does not verify them.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        #[command(flatten)]
        filter: Box<Filter>,
        /// Files of the audit log, in the order in which they are shown
        files: Vec<PathBuf>,
    },
}

/// The events to show: those that have all of these properties.
#[derive(Args)]
pub(crate) struct Filter {
    /// Only events of this action, such as `tokens.get`, or of all actions that begin so, such as `tokens.`
    #[arg(long)]
    action: Option<String>,
    /// Only events with this outcome: success, denied, refused, failed, begun or unanswered
    #[arg(long)]
    outcome: Option<String>,
    /// Only events of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only events of the caller with this login
    #[arg(long)]
    login: Option<String>,
    /// Only events about the record with this id
    #[arg(long, value_name = "ID")]
    record: Option<String>,
    /// Only events about this provider
    #[arg(long)]
    provider: Option<String>,
    /// Only the events of this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only events since this time, such as 2026-11-29 or 2026-11-29T08:00:00Z; a date begins at midnight UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
}

/// Runs a command.
pub(crate) fn run(config: &Config, output: Output, command: &AuditCommand) -> anyhow::Result<()> {
    match command {
        AuditCommand::Verify { files } => verify(config, output, files),
        AuditCommand::Show { filter, files } => {
            show(output, filter, &or_configured(config, files)?)
        }
    }
}

/// Returns these files, or those of the server and of commands.
fn or_configured(config: &Config, files: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    if !files.is_empty() {
        return Ok(files.to_vec());
    }
    let mut found = Vec::new();
    for target in [config.audit.target(), config.audit.target_of_commands()] {
        let Some(AuditTarget::File(path)) = target else {
            bail!("the audit log is in no file: name its files, or set audit.file");
        };
        let renamed = renamed_files(&path, true);
        found.extend(renamed.with_context(|| format!("cannot list {}.*", path.display()))?);
        if path.exists() {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("there is no file of the audit log yet");
    }
    Ok(found)
}

/// A verified chain, as the command shows it.
#[derive(Serialize)]
struct Shown {
    chain: String,
    files: Vec<PathBuf>,
    first: i64,
    last: i64,
    lines: u64,
    anchored: Option<i64>,
    time_goes_back: bool,
    error: Option<String>,
}

impl From<Verified> for Shown {
    fn from(verified: Verified) -> Self {
        let Verified { chain, files, first, last, lines, anchored, finding, time_goes_back } =
            verified;
        let error = finding.map(|finding| match finding.line {
            Some(line) => format!("{}: line {line}: {}", finding.file.display(), finding.text),
            None => format!("{}: {}", finding.file.display(), finding.text),
        });
        Self { chain, files, first, last, lines, anchored, time_goes_back, error }
    }
}

fn verify(config: &Config, output: Output, given: &[PathBuf]) -> anyhow::Result<()> {
    let chains = with_store(config, async |store| {
        let mut files = or_configured(config, given)?;
        loop {
            let chains = verify_files(&files, store).await;
            // The server may have rotated its file meanwhile.
            let before = std::mem::replace(&mut files, or_configured(config, given)?);
            if files == before {
                return chains;
            }
        }
    })?;
    let chains: Vec<Shown> = chains.into_iter().map(Shown::from).collect();
    let head = ["CHAIN", "LINES", "FIRST", "LAST", "ANCHORED", "RESULT"];
    output.rows(&head, &chains, |chain| {
        let result = match (&chain.error, chain.anchored) {
            (Some(error), _) => error.clone(),
            (None, None) => "intact, but no line is anchored".to_owned(),
            (None, Some(_)) if chain.time_goes_back => "intact; the clock was set back".to_owned(),
            (None, Some(_)) => "intact".to_owned(),
        };
        let anchored = chain.anchored.map_or_else(|| "-".to_owned(), |line| line.to_string());
        let numbers =
            [chain.lines as i64, chain.first, chain.last].map(|number| number.to_string());
        [vec![chain.chain.clone()], numbers.to_vec(), vec![anchored, result]].concat()
    })?;
    let wrong = chains.iter().filter_map(|chain| chain.error.as_deref()).next();
    match wrong {
        Some(error) => bail!("the audit log is not intact: {error}"),
        None => Ok(()),
    }
}

fn show(output: Output, filter: &Filter, files: &[PathBuf]) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for file in files {
        let name = file.display();
        let opened = File::open(file).with_context(|| format!("cannot open {name}"))?;
        for (number, line) in (1..).zip(BufReader::new(opened).split(b'\n')) {
            let line = line.with_context(|| format!("cannot read {name}"))?;
            let read: ReadLine = read_line(&line)
                .with_context(|| format!("{name}: line {number} is no line of an audit log"))?;
            if !filter.admits(&read) {
                continue;
            }
            if output.is_json() {
                out.write_all(&line)?;
            } else {
                write!(out, "{}", terminal::line(&summary(&read)))?;
            }
            out.write_all(b"\n")?;
        }
    }
    Ok(out.flush()?)
}

/// Returns an event as one line for people.
fn summary(line: &ReadLine) -> String {
    let ReadLine { time, action, outcome, tenant, login, os_user, .. } = line;
    let mut parts = vec![time.clone(), format!("{action:20}"), format!("{outcome:10}")];
    let who = match (tenant, login) {
        (Some(tenant), Some(login)) => Some(format!("{tenant}/{login}")),
        (tenant, login) => tenant.clone().or_else(|| login.clone()),
    };
    parts.extend(who);
    parts.extend(os_user.map(|user| format!("uid={user}")));
    parts.extend(line.status.map(|status| format!("status={status}")));
    parts.extend(line.found.map(|found| format!("found={found}")));
    for (name, value) in [
        ("application", &line.application),
        ("from", &line.address),
        ("record", &line.record),
        ("provider", &line.provider),
        ("subject", &line.subject),
        ("reason", &line.reason),
        ("request", &line.request),
    ] {
        parts.extend(value.as_ref().map(|value| format!("{name}={value}")));
    }
    parts.join("  ")
}

impl Filter {
    fn admits(&self, line: &ReadLine) -> bool {
        let is =
            |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        let is_action = self.action.as_ref().is_none_or(|action| {
            line.action == *action || action.ends_with('.') && line.action.starts_with(action)
        });
        let time: Option<Timestamp> = line.time.parse().ok();
        is_action
            && self.outcome.as_ref().is_none_or(|outcome| *outcome == line.outcome)
            && is(&self.tenant, &line.tenant)
            && is(&self.login, &line.login)
            && is(&self.record, &line.record)
            && is(&self.provider, &line.provider)
            && is(&self.request, &line.request)
            && self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time.is_some_and(|time| time < until))
    }
}

/// Parses a time, or a date in UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    let expected = "expected a date such as 2026-11-29, or a time such as 2026-11-29T08:00:00Z";
    let midnight = || format!("{text}T00:00:00Z").parse();
    text.parse().or_else(|_no_time| midnight()).map_err(|_no_date| expected.to_owned())
}
