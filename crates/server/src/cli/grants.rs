//! `latchkey grants`: whether servers on the database use its refresh tokens, and the state of each grant.
//!
//! Invariant: a command that ends the pause of a copy warns of what happens to grants if the original is still used.

mod records;

use clap::Subcommand;
use serde::Serialize;
use tracing::info;

use self::records::{ListArguments, OneRecord};
use super::{open, output::Output};
use crate::config::Config;

/// The reason of a pause that an operator began.
const COMMAND: &str = "command";

/// The notice about a new copy.
pub(super) const PAUSED: &str =
    "No server on it refreshes a token before `latchkey grants resume`.";

const ORIGINAL: &str = "The database that this one was made from must not be used any more: a provider ends a grant \
                        whose refresh token comes from two servers.";

#[derive(Subcommand)]
pub(crate) enum GrantsCommand {
    /// Pause all requests to providers, on every server of the database
    Pause,
    /// Resume requests to providers, such as after a restore or a copy
    ///
    /// The original database must no longer be used: a provider ends a grant whose refresh token comes from two servers.
    Resume,
    /// List the grants of a tenant's live records, by owner and id
    #[command(after_help = "Example:\n  latchkey grants list --state dead")]
    List(ListArguments),
    /// Show a record and the state of its grant, without tokens
    Show(OneRecord),
    /// End the wait of a dead or failing grant, so that the next call that needs fresh tokens tries it again
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

/// The reasons of the pause that ended, a line each.
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
