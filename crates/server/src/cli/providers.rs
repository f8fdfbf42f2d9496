//! `latchkey providers`: the presets that come with the server, and the providers that are configured.
//!
//! Invariant: a value of a preset that no documentation was found for is shown as unverified wherever it is shown. No
//! secret is sent and none is printed.

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
    /// List the presets, and which of their values are unverified
    List,
    /// Print the settings of a preset, with the source of each, as they could stand in the configuration
    Show {
        /// As `providers list` shows it
        name: String,
    },
    /// Read the secrets of providers that are configured, and ask whether each is there. No secret is sent
    Check {
        /// A `name` of the configuration. All, if there is none
        names: Vec<String>,
    },
    /// Show to which providers no request is sent now, why, and how their grants are
    Status,
    /// Let the request that shows whether the pause of a provider is over be sent now
    Retry {
        /// A `name` of the configuration
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
