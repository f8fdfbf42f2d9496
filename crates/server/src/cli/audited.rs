//! The audit log's events of commands that change something.
//!
//! Invariant: a command that changes something has an event before it begins, and one of its outcome. Without the first
//! one it does nothing, unless the settings say otherwise. A command that makes, restores or migrates the database has
//! only the second one, because the keys of the log are not usable before.

use anyhow::Context as _;
use model::{CredentialId, RecordId};
use rustix::process::getuid;
use store::Store;
use tracing::warn;

use super::{
    Command, app::AppCommand, grants::GrantsCommand, keys::KeysCommand, open::with_store_for_keys,
    records::RecordsCommand, session::SessionCommand, ticket::TicketCommand, user::UserCommand,
};
use crate::{
    audit::{Action, Details, Event, Outcome, record_of_command},
    config::{Config, audit::OnFailure},
    error_text::error_chain,
};

/// A change by a command.
pub(super) struct Change {
    action: &'static str,
    /// The user, application, key or file that is changed.
    subject: Option<String>,
    tenant: Option<String>,
    /// Whether the database can be opened before the command.
    is_on_database: bool,
}

impl Command {
    /// Returns the change that the command makes; `None` if it only reads.
    pub(super) fn audited(&self) -> Option<Change> {
        let off_database = |action| Some(Change { is_on_database: false, ..Change::of(action)? });
        match self {
            Self::User { command, .. } => match command {
                UserCommand::Add { login, tenant, .. } => {
                    Change::on("user.add", login, tenant.name())
                }
                UserCommand::Password { login, tenant, .. } => {
                    Change::on("user.set_password", login, tenant.name())
                }
                UserCommand::Disable { login, tenant, .. } => {
                    Change::on("user.disable", login, tenant.name())
                }
                UserCommand::Enable { login, tenant, .. } => {
                    Change::on("user.enable", login, tenant.name())
                }
                UserCommand::SetRole { login, tenant, .. } => {
                    Change::on("user.set_role", login, tenant.name())
                }
                UserCommand::Remove { login, tenant, .. } => {
                    Change::on("user.remove", login, tenant.name())
                }
                UserCommand::List { .. } => None,
            },
            Self::Ticket { command, .. } => match command {
                TicketCommand::Issue { login, tenant, .. } => {
                    Change::on("ticket.issue", login, tenant.name())
                }
                TicketCommand::Revoke { id } => {
                    // Another text may be the ticket.
                    let id = CredentialId::parse(id).ok().map(|id| id.to_string());
                    Some(Change { subject: id, ..Change::of("ticket.revoke")? })
                }
                TicketCommand::List { .. } => None,
            },
            Self::App { command, .. } => match command {
                AppCommand::Add { name, .. } => Change::on("app.add", name, None),
                AppCommand::Rotate { name } => Change::on("app.rotate", name, None),
                AppCommand::Disable { name } => Change::on("app.disable", name, None),
                AppCommand::Enable { name } => Change::on("app.enable", name, None),
                AppCommand::List => None,
            },
            Self::Session { command, .. } => match command {
                SessionCommand::Revoke(sessions) => {
                    Change::on("session.revoke", &sessions.subject(), None)
                }
                SessionCommand::List { .. } => None,
            },
            Self::Records { command, .. } => match command {
                RecordsCommand::Revoke(records) => {
                    Change::on("record.revoke", &records.subject(), records.tenant())
                }
                RecordsCommand::Erase(erase) => {
                    Change::on("record.erase", &erase.owner.owner, erase.owner.tenant.name())
                }
                RecordsCommand::Export(owner) => {
                    Change::on("user.export", &owner.owner, owner.tenant.name())
                }
                RecordsCommand::List(_) => None,
            },
            Self::Keys { command, .. } => match command {
                KeysCommand::New => Change::of("key.make"),
                KeysCommand::Rotate { .. } => Change::of("key.rotate"),
                KeysCommand::Retire { id } => Change::on("key.retire", id, None),
                KeysCommand::Status => None,
            },
            Self::Grants { command, .. } => match command {
                GrantsCommand::Pause => Change::of("grants.pause"),
                GrantsCommand::Resume => Change::of("grants.resume"),
                GrantsCommand::Retry(record) => {
                    // Another text may be the key of the record.
                    let id = RecordId::parse(record.id.trim()).map(|id| id.text());
                    Some(Change { subject: id, ..Change::of("grants.retry")? })
                }
                GrantsCommand::List(_) | GrantsCommand::Show(_) => None,
            },
            Self::Backup { file, .. } => {
                Change::on("database.back_up", &file.display().to_string(), None)
            }
            Self::Restore { file, .. } => {
                let change = Change::on("database.restore", &file.display().to_string(), None)?;
                Some(Change { is_on_database: false, ..change })
            }
            Self::Copy { .. } => off_database("database.copy"),
            Self::Migrate => off_database("database.migrate"),
            Self::Import { arguments, .. } => {
                Change::on("tokens.import", &arguments.file.display().to_string(), None)
            }
            Self::Serve
            | Self::Healthcheck { .. }
            | Self::Completions { .. }
            | Self::Man { .. }
            | Self::Providers { .. }
            | Self::Verify { .. }
            | Self::Audit { .. }
            | Self::Config(_) => None,
        }
    }
}

impl Change {
    fn of(action: &'static str) -> Option<Self> {
        Some(Self { action, subject: None, tenant: None, is_on_database: true })
    }

    fn on(action: &'static str, subject: &str, tenant: Option<&str>) -> Option<Self> {
        let change = Self::of(action)?;
        Some(Self {
            subject: (!subject.is_empty()).then(|| subject.to_owned()),
            tenant: tenant.map(str::to_owned),
            ..change
        })
    }

    /// Runs the command between its events.
    ///
    /// # Errors
    /// The error of the command, or its first event cannot be recorded.
    pub(super) fn run(
        &self,
        config: &Config,
        command: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if config.audit.target().is_none() {
            return command();
        }
        if self.is_on_database && config.database()?.exists() {
            let begun = self.record(config, Outcome::Begun, None);
            match (begun, config.audit.on_failure) {
                (Ok(()), _) => {}
                (Err(error), OnFailure::Refuse) => {
                    return Err(error)
                        .context("nothing was done, because the audit log cannot be written");
                }
                (Err(error), OnFailure::GoOn) => {
                    let error = error_chain(error.as_ref());
                    warn!(error, "the begin of this command is missing in the audit log");
                }
            }
        }
        let outcome = command();
        let (how, reason) = match &outcome {
            Ok(()) => (Outcome::Success, None),
            Err(error) => (Outcome::Failed, Some(error_chain(error.as_ref()))),
        };
        if let Err(error) = self.record(config, how, reason) {
            let error = error_chain(error.as_ref());
            warn!(error, "the outcome of this command is missing in the audit log");
        }
        outcome
    }

    fn record(
        &self,
        config: &Config,
        outcome: Outcome,
        reason: Option<String>,
    ) -> anyhow::Result<()> {
        let details = Details {
            tenant: self.tenant.clone(),
            os_user: Some(getuid().as_raw()),
            subject: self.subject.clone(),
            reason,
            ..Details::default()
        };
        let event = Event { action: Action::change(self.action), outcome, details };
        with_store_for_keys(config, async |store: &Store| {
            record_of_command(&config.audit, store, event).await
        })
    }
}
