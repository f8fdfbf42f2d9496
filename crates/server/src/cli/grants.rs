//! `latchkey grants`: whether servers on the database use its refresh tokens, and what is known of each grant.
//!
//! Invariant: a command that ends the pause of a copy says what becomes of the grants if the original still runs.

mod records;

use clap::Subcommand;
use serde::Serialize;
use tracing::info;

use self::records::{ListArguments, OneRecord};
use super::{open, output::Output};
use crate::config::Config;

/// The reason of a pause that an operator began.
const COMMAND: &str = "command";

/// What is said of a new copy.
pub(super) const PAUSED: &str =
    "No server on it refreshes a token before `latchkey grants resume`.";

const ORIGINAL: &str = "The database that this one was made from must not be used any more: a provider ends a grant \
                        whose refresh token comes from two servers.";

#[derive(Subcommand)]
pub(crate) enum GrantsCommand {
    /// Let no server on the database send a request to any provider
    Pause,
    /// Let servers send requests to providers again, as after a restore or a copy. The original must not run any more
    Resume,
    /// List the grants behind the living records of a tenant, by owner and id
    List(ListArguments),
    /// Show what is known of a record and its grant, without its tokens
    Show(OneRecord),
    /// Let a grant that is dead or waits be tried by the next call that needs fresh tokens
    Retry(OneRecord),
}

#[derive(Serialize)]
struct Report {
    paused: bool,
    /// Why they are paused, or were: `restore`, `copy`, `moved`, `command`.
    reasons: Vec<String>,
}

pub(crate) fn run(config: &Config, output: Output, command: &GrantsCommand) -> anyhow::Result<()> {
    match command {
        GrantsCommand::Pause => {
            let reasons = open::with_store(config, async |store| {
                store.pause_grants(COMMAND).await?;
                Ok(store.pause_reasons().await?)
            })?;
            info!(?reasons, "paused the grants");
            let plain = "paused: no server refreshes a token before `latchkey grants resume`";
            output.made(plain, &Report { paused: true, reasons })
        }
        GrantsCommand::Resume => {
            let reasons =
                open::with_store(config, async |store| Ok(store.resume_grants().await?))?;
            info!(?reasons, "resumed the grants");
            output.made(&resumed(&reasons), &Report { paused: false, reasons })
        }
        GrantsCommand::List(arguments) => records::list(config, output, arguments),
        GrantsCommand::Show(record) => records::show(config, output, record),
        GrantsCommand::Retry(record) => records::retry(config, output, record),
    }
}

/// What ended, a line for each reason.
fn resumed(reasons: &[String]) -> String {
    if reasons.is_empty() {
        return "the grants were not paused".to_owned();
    }
    let mut lines = vec!["resumed; the grants were paused because".to_owned()];
    lines.extend(reasons.iter().map(|reason| format!("  {}", words(reason))));
    if reasons.iter().any(|reason| reason != COMMAND) {
        lines.push(ORIGINAL.to_owned());
    }
    lines.join("\n")
}

/// A reason for people.
fn words(reason: &str) -> &str {
    match reason {
        COMMAND => "an operator paused them",
        "restore" => "the database was restored from a backup",
        "copy" => "the database was copied from another one",
        "moved" => "the database was restored or copied to another place on PostgreSQL",
        // Of a later version.
        other => other,
    }
}
