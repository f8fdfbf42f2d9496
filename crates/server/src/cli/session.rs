//! `latchkey session`: the sessions of people who signed in with a browser (CONTRACT 29).
//!
//! Invariant: a session ends together with the access tokens that were made from it. No secret of a session is printed.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use model::{CredentialId, CredentialKind, Login, TenantId};
use store::{Store, StoreError};
use tracing::info;

use super::{
    arguments,
    credential::Row,
    open,
    output::{Output, Progress, counted, refusal},
};
use crate::config::Config;

/// The sessions that are read together to revoke them.
const BATCH: i64 = 256;

const REVOKE_EXAMPLES: &str = "\
Examples:
  latchkey session revoke 0123456789abcdef0123456789abcdef
  latchkey session revoke --user ann
  latchkey session revoke --all";

#[derive(Subcommand)]
pub(crate) enum SessionCommand {
    /// List the valid sessions, without their secrets
    List {
        #[command(flatten)]
        users: Users,
    },
    /// Revoke sessions, together with the access tokens that were made from them
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke(RevokeArguments),
}

/// The users whose sessions are meant.
#[derive(Args)]
pub(crate) struct Users {
    /// Only the sessions of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only the sessions of this user, in every tenant or in that of `--tenant`
    #[arg(long, value_name = "LOGIN")]
    user: Option<String>,
}

#[derive(Args)]
#[command(
    group = clap::ArgGroup::new("which").args(["id", "user", "all"]).required(true)
)]
pub(crate) struct RevokeArguments {
    /// The id, as `session list` shows it
    id: Option<String>,
    #[command(flatten)]
    users: Users,
    /// Revoke every session
    #[arg(long)]
    all: bool,
}

impl RevokeArguments {
    /// Names the sessions for the audit log.
    pub(super) fn subject(&self) -> String {
        let of_user = || self.users.user.as_ref().map(|login| format!("user {login}"));
        // Another text may be a secret.
        let id = self.id.as_deref().and_then(|id| CredentialId::parse(id).ok());
        let id = id.map(|id| id.to_string());
        id.or_else(of_user).unwrap_or_else(|| if self.all { "all" } else { "" }.to_owned())
    }
}

impl Users {
    fn read(&self, config: &Config) -> anyhow::Result<(Option<TenantId>, Option<Login>)> {
        let tenant = self.tenant.as_deref().map(|name| arguments::tenant(name, config));
        let login = self.user.as_deref().map(arguments::login);
        Ok((tenant.transpose()?, login.transpose()?))
    }
}

pub(crate) fn run(config: &Config, output: Output, command: &SessionCommand) -> anyhow::Result<()> {
    match command {
        SessionCommand::List { users } => {
            let (tenant, login) = users.read(config)?;
            let sessions = open::with_store(config, async |store| {
                Ok(store.credentials(CredentialKind::Session, tenant, login, i64::MAX).await?)
            })?;
            let rows: Vec<Row> = sessions.iter().map(Row::of).collect();
            output.rows(&Row::HEAD, &rows, Row::cells)
        }
        SessionCommand::Revoke(RevokeArguments { id: Some(text), .. }) => {
            let id = CredentialId::parse(text).context(
                "that is not the id of a session; `latchkey session list` shows the ids",
            )?;
            open::with_store(config, async |store| {
                let revoked = store.revoke_credential(CredentialKind::Session, id, None).await;
                revoked.map_err(|error| refusal(error, text))
            })?;
            info!(session.id = text, "revoked the session");
            output.made(&format!("revoked {text}"), &serde_json::json!({ "id": text }))
        }
        SessionCommand::Revoke(RevokeArguments { users, .. }) => {
            let (tenant, login) = users.read(config)?;
            let revoked = open::with_store(config, async |store| {
                revoke_all(store, tenant.as_ref(), login.as_ref()).await
            })?;
            info!(sessions = revoked, login = users.user, "revoked sessions");
            let plain = format!("revoked {}", counted(revoked, "session"));
            output.made(&plain, &serde_json::json!({ "revoked": revoked }))
        }
    }
}

/// Revokes all sessions of a user, of a tenant, or of all. Returns how many there were.
async fn revoke_all(
    store: &Store,
    tenant: Option<&TenantId>,
    login: Option<&Login>,
) -> anyhow::Result<u64> {
    let (mut count, mut progress) = (0, Progress::begin());
    loop {
        let kind = CredentialKind::Session;
        let some = store.credentials(kind, tenant.cloned(), login.cloned(), BATCH).await?;
        if some.is_empty() {
            return Ok(count);
        }
        for session in some {
            match store.revoke_credential(kind, session.id, None).await {
                Ok(()) => count += 1,
                // It ended meanwhile.
                Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        progress.tell(|| format!("revoked {}", counted(count, "session")));
    }
}
