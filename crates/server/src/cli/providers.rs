//! `latchkey providers`: the presets that come with the server, and the providers that are configured.
//!
//! Invariant: a value of a preset without documentation of its provider is always shown as unverified. No secret is
//! sent or printed.

mod status;

use anyhow::bail;
use clap::Subcommand;
use provider::{Preset, presets};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{output::Output, provider as configured};
use crate::{config::Config, serve};

#[derive(Subcommand)]
pub(crate) enum ProvidersCommand {
    /// List the presets, and their unverified values
    List,
    /// Print a preset as settings of the configuration, with the source of each
    #[command(after_help = "Example:\n  latchkey providers show xero")]
    Show {
        /// The preset's name, as `providers list` shows it
        name: String,
    },
    /// Check the secrets of the configured providers, and send a request to each
    ///
    /// The requests are for the discovery document and the certificate. No secret is sent.
    Check {
        /// The `name`s of providers in the configuration. Without one, all are checked
        names: Vec<String>,
    },
    /// Show which providers are blocked, why, and the states of their grants
    Status,
    /// Let servers send one request to a blocked provider now, to test whether it works again
    Retry {
        /// The `name` of the provider in the configuration
        name: String,
    },
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    title: String,
    unverified: Vec<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'static str,
    title: &'a str,
    unverified: &'a [String],
    settings: &'a Map<String, Value>,
}

pub(crate) fn run(
    config: &Config,
    output: Output,
    command: &ProvidersCommand,
) -> anyhow::Result<()> {
    match command {
        ProvidersCommand::List => {
            let rows: Vec<_> = presets::all()
                .map(|Preset { name, title, unverified, .. }| Row { name, title, unverified })
                .collect();
            output.rows(&["name", "title", "unverified"], &rows, |row| {
                vec![row.name.to_owned(), row.title.clone(), row.unverified.join(", ")]
            })
        }
        ProvidersCommand::Show { name } => show(output, name),
        ProvidersCommand::Check { names } => check(config, output, names),
        ProvidersCommand::Status => status::run(config, output),
        ProvidersCommand::Retry { name } => status::retry(config, output, name),
    }
}

fn show(output: Output, name: &str) -> anyhow::Result<()> {
    let Some(preset) = presets::find(name) else {
        bail!(
            "there is no preset {}; the nearest are {}",
            name.escape_debug(),
            presets::nearest(name).join(", ")
        );
    };
    let head = [
        format!("# {}: the preset {}", preset.title, preset.name),
        "[[grants.providers]]".to_owned(),
        format!("name = \"{}\"", preset.name),
        "client_id = \"…\"".to_owned(),
        "client_secret_file = \"…\"".to_owned(),
        String::new(),
    ];
    let lines: Vec<_> = head.into_iter().chain(preset.lines()).collect();
    let Preset { name, title, unverified, settings, .. } = &preset;
    output.made(&lines.join("\n"), &Shown { name, title, unverified, settings })
}

fn check(config: &Config, output: Output, names: &[String]) -> anyhow::Result<()> {
    let mut config = config.clone();
    config.resolve_listen()?;
    let providers = serve::check(&config)?.providers;
    let is_known = |name: &&String| providers.all().any(|provider| provider.name == **name);
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        bail!("no provider of grants.providers has the name {}", name.escape_debug());
    }
    let asked = providers.all().filter(|known| names.is_empty() || names.contains(&known.name));
    let looks = configured::look_at(asked);
    if looks.is_empty() {
        bail!("grants.providers has no provider");
    }
    let lines: Vec<_> = looks.iter().map(configured::Look::line).collect();
    output.made(&lines.join("\n"), &looks)?;
    configured::check(&looks)
}
