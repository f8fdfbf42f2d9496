//! `latchkey ticket`: tickets for users (CONTRACT 27).
//!
//! Invariant: a ticket is shown once, when it is issued; the database cannot show it again.

use anyhow::Context as _;
use auth::{Lifetime, Presented};
use clap::Subcommand;
use jiff::Timestamp;
use model::{CredentialId, CredentialKind};
use serde::Serialize;
use tracing::info;

use super::{
    arguments::{self, TenantArgument},
    credential::Row,
    open,
    output::{Output, refusal},
};
use crate::config::{Config, tenants::Tenants};

#[derive(Subcommand)]
pub(crate) enum TicketCommand {
    /// Issue a ticket for a user, and print it
    ///
    /// The ticket is shown only now. The database cannot show it again.
    #[command(after_help = "Example:\n  TICKET=$(latchkey ticket issue ann)")]
    Issue {
        /// The name of the user
        login: String,
        #[command(flatten)]
        tenant: TenantArgument,
    },
    /// List the valid tickets, without their secrets
    List {
        /// List only the tickets of this tenant
        #[arg(long)]
        tenant: Option<String>,
        /// List only the tickets of this user
        #[arg(long)]
        login: Option<String>,
    },
    /// Revoke a ticket by its id
    Revoke {
        /// The id, as `ticket list` shows it
        id: String,
    },
}

#[derive(Serialize)]
struct Issued<'a> {
    ticket: &'a str,
    #[serde(flatten)]
    row: Row,
}

pub(crate) fn run(config: &Config, output: Output, command: &TicketCommand) -> anyhow::Result<()> {
    match command {
        TicketCommand::Issue { login, tenant } => {
            let (name, tenant, login) = (login, tenant.read(config)?, arguments::login(login)?);
            let (ticket, issued) = open::with_store(config, async |store| {
                let user = store.user(&tenant, &login).await?.filter(|user| !user.is_disabled);
                let user = user.with_context(|| {
                    format!("there is no enabled user {name} of tenant {tenant}")
                })?;
                let named = (config.tenants == Tenants::Path).then(|| user.tenant.clone());
                let ticket = Presented::generate(CredentialKind::Ticket, named);
                let now = Timestamp::now().as_microsecond();
                let issued = ticket.issue(&user, Lifetime::TICKET, now);
                store.add_credential(issued.clone()).await?;
                Ok((ticket, issued))
            })?;
            info!(
                ticket.id = %issued.id,
                tenant.id = issued.tenant.as_str(),
                user.login = issued.login.as_str(),
                "issued a ticket"
            );
            let text = ticket.text();
            let object = Issued { ticket: text.expose(), row: Row::of(&issued) };
            output.made(text.expose(), &object)
        }
        TicketCommand::List { tenant, login } => {
            let tenant =
                tenant.as_deref().map(|name| arguments::tenant(name, config)).transpose()?;
            let login = login.as_deref().map(arguments::login).transpose()?;
            let tickets = open::with_store(config, async |store| {
                Ok(store.credentials(CredentialKind::Ticket, tenant, login, i64::MAX).await?)
            })?;
            let rows: Vec<Row> = tickets.iter().map(Row::of).collect();
            output.rows(&Row::HEAD, &rows, Row::cells)
        }
        TicketCommand::Revoke { id: text } => {
            let id = CredentialId::parse(text)
                .context("that is not the id of a ticket; `latchkey ticket list` shows the ids")?;
            open::with_store(config, async |store| {
                let revoked = store.revoke_credential(CredentialKind::Ticket, id, None).await;
                revoked.map_err(|error| refusal(error, text))
            })?;
            info!(ticket.id = text, "revoked the ticket");
            output.made(&format!("revoked {text}"), &serde_json::json!({ "id": text }))
        }
    }
}
