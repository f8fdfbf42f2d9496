//! `latchkey app`: the partner applications (CONTRACT 30).
//!
//! Invariant: an application's token is shown once, when it is made.

use anyhow::Context as _;
use auth::ApplicationToken;
use clap::Subcommand;
use model::{Application, ApplicationName, TenantId};
use serde::Serialize;
use tracing::info;

use super::{
    arguments, open,
    output::{Output, refusal},
};
use crate::config::Config;

#[derive(Subcommand)]
pub(crate) enum AppCommand {
    /// Register an application, and print its token
    ///
    /// The token is shown only now. The database cannot show it again.
    #[command(after_help = "Example:\n  latchkey app add crm-sync --tenant Cust12345")]
    Add {
        /// The name: 1 to 64 letters, digits, `-`, `_` and `.`
        name: String,
        /// A tenant that may use the application. Repeat it for several; without it, every tenant may
        #[arg(long)]
        tenant: Vec<String>,
    },
    /// List the applications
    List,
    /// Replace the token of an application, and print the new one
    ///
    /// The former token ends at once, so give the new one to the application directly afterwards. For an overlap, add a
    /// second application, and disable this one later. Access tokens of the application stay valid.
    #[command(after_help = "Example:\n  latchkey app rotate crm-sync")]
    Rotate {
        /// The name, as `app list` shows it
        name: String,
    },
    /// Disable an application
    Disable {
        /// The name, as `app list` shows it
        name: String,
    },
    /// Enable a disabled application
    Enable {
        /// The name, as `app list` shows it
        name: String,
    },
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// `null` stands for all.
    tenants: Option<Vec<String>>,
    disabled: bool,
}

#[derive(Serialize)]
struct Registered<'a> {
    token: &'a str,
    #[serde(flatten)]
    row: Row,
}

impl Row {
    fn of(application: &Application) -> Self {
        let names = |tenants: &Vec<TenantId>| tenants.iter().map(TenantId::to_string).collect();
        Self {
            name: application.name.to_string(),
            tenants: application.tenants.as_ref().map(names),
            disabled: application.is_disabled,
        }
    }

    fn cells(&self) -> Vec<String> {
        let tenants = self.tenants.as_ref().map_or("(all)".to_owned(), |names| names.join(", "));
        let state = if self.disabled { "disabled" } else { "enabled" };
        vec![self.name.clone(), tenants, state.to_owned()]
    }
}

pub(crate) fn run(config: &Config, output: Output, command: &AppCommand) -> anyhow::Result<()> {
    match command {
        AppCommand::Add { name, tenant } => {
            let tenants = tenant.iter().map(|name| arguments::tenant(name, config));
            let tenants = tenants.collect::<Result<Vec<_>, _>>()?;
            let application = Application {
                name: ApplicationName::parse(name)?,
                tenants: (!tenants.is_empty()).then_some(tenants),
                is_disabled: false,
            };
            let token = ApplicationToken::generate();
            let object = Registered { token: token.expose(), row: Row::of(&application) };
            open::with_store(config, async |store| {
                let added = store.add_application(application, token.digest()).await;
                added.map_err(|error| refusal(error, name))
            })?;
            info!(application = name, tenants = ?tenant, "registered the application");
            output.made(token.expose(), &object)
        }
        AppCommand::List => {
            let applications =
                open::with_store(config, async |store| Ok(store.applications().await?))?;
            let rows: Vec<Row> = applications.iter().map(Row::of).collect();
            output.rows(&["NAME", "TENANTS", "STATE"], &rows, Row::cells)
        }
        AppCommand::Rotate { name: text } => {
            let (name, token) = (ApplicationName::parse(text)?, ApplicationToken::generate());
            let application = open::with_store(config, async |store| {
                let changed = store.set_application_token(name.clone(), token.digest()).await;
                changed.map_err(|error| refusal(error, name.as_str()))?;
                let found = store.application_named(name.clone()).await?;
                found.with_context(|| format!("there is no application {name}"))
            })?;
            info!(application = name.as_str(), "replaced the token of the application");
            let object = Registered { token: token.expose(), row: Row::of(&application) };
            output.made(token.expose(), &object)
        }
        AppCommand::Disable { name } => set_disabled(config, output, name, true),
        AppCommand::Enable { name } => set_disabled(config, output, name, false),
    }
}

fn set_disabled(
    config: &Config,
    output: Output,
    name: &str,
    is_disabled: bool,
) -> anyhow::Result<()> {
    let name = ApplicationName::parse(name)?;
    open::with_store(config, async |store| {
        let changed = store.set_application_disabled(name.clone(), is_disabled).await;
        changed.map_err(|error| refusal(error, name.as_str()))
    })?;
    let done = if is_disabled { "disabled" } else { "enabled" };
    info!(application = name.as_str(), "{done} the application");
    let object = serde_json::json!({ "name": name.as_str(), "disabled": is_disabled });
    output.made(&format!("{done} {name}"), &object)
}
