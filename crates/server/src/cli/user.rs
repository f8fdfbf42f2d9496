//! `latchkey user`: the users.
//!
//! Invariant: a password is never an argument, because other users of the machine could read it. It comes from a
//! prompt, a file or standard input.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, bail};
use auth::Password;
use clap::{Args, Subcommand, ValueEnum};
use model::{Login, TenantId, User};
use serde::Serialize;
use store::{Store, UserChange, UserRemoval};
use tracing::info;
use zeroize::Zeroizing;

use super::{
    arguments::{self, TenantArgument},
    open,
    output::{Output, counted, refusal},
    records,
};
use crate::{config::Config, first_user::password_in};

const USER_EXAMPLES: &str = "\
Examples:
  latchkey user add ann
  latchkey user add admin --administrator --password-file admin-password";

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user
    ///
    /// The command asks for the password, unless an option says where it comes from.
    #[command(after_help = USER_EXAMPLES)]
    Add {
        /// The user name
        login: String,
        #[command(flatten)]
        tenant: TenantArgument,
        /// Give the user every right within the tenant
        #[arg(long)]
        administrator: bool,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List the users
    List {
        /// List only the users of this tenant
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Change a user's password, and end the user's tickets, sessions and access tokens
    Password {
        /// The user name
        login: String,
        #[command(flatten)]
        tenant: TenantArgument,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Give a user the rights of an administrator, or take them
    ///
    /// The command ends the user's tickets, sessions and access tokens.
    #[command(after_help = "Example:\n  latchkey user set-role ann administrator")]
    SetRole {
        /// The user name
        login: String,
        /// The new role
        #[arg(value_enum)]
        role: Role,
        #[command(flatten)]
        tenant: TenantArgument,
        /// Take the rights also from the last enabled administrator of the tenant
        #[arg(long)]
        force: bool,
    },
    /// Disable a user, and end the user's tickets, sessions and access tokens
    Disable {
        /// The user name
        login: String,
        #[command(flatten)]
        tenant: TenantArgument,
        /// Also revoke the user's records, as `records revoke` does. They cannot be restored
        #[arg(long)]
        revoke_records: bool,
    },
    /// Remove a user, and end the user's tickets, sessions and access tokens
    ///
    /// A user with living records stays, unless `--revoke-records` revokes them. `records erase` also removes records that
    /// have ended. A user who is added later under the same name owns the records that are left.
    #[command(after_help = "Example:\n  latchkey user remove ann --revoke-records")]
    Remove {
        /// The user name
        login: String,
        #[command(flatten)]
        tenant: TenantArgument,
        /// Revoke the user's records first, as `records revoke` does. They cannot be restored
        #[arg(long)]
        revoke_records: bool,
        /// Remove also the last enabled administrator of the tenant
        #[arg(long)]
        force: bool,
    },
    /// Enable a disabled user
    Enable {
        /// The user name
        login: String,
        #[command(flatten)]
        tenant: TenantArgument,
    },
}

/// The rights of a user within the tenant.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Every right
    Administrator,
    /// The rights on the user's own records
    User,
}

/// The source of a password; a prompt by default.
#[derive(Args)]
#[group(multiple = false)]
pub(crate) struct PasswordSource {
    /// Read the password from the first line of this file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Serialize)]
struct Row {
    tenant: String,
    login: String,
    administrator: bool,
    disabled: bool,
}

impl Row {
    fn of(user: &User) -> Self {
        Self {
            tenant: user.tenant.to_string(),
            login: user.login.to_string(),
            administrator: user.is_administrator,
            disabled: user.is_disabled,
        }
    }

    fn cells(&self) -> Vec<String> {
        let role = if self.administrator { "administrator" } else { "user" };
        let state = if self.disabled { "disabled" } else { "enabled" };
        vec![self.tenant.clone(), self.login.clone(), role.to_owned(), state.to_owned()]
    }
}

/// A user whose access ended.
#[derive(Serialize)]
struct Ended {
    #[serde(flatten)]
    row: Row,
    /// The number of records that were revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<u64>,
}

pub(crate) fn run(config: &Config, output: Output, command: &UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { login, tenant, administrator, password } => {
            let (name, tenant, login) = (login, tenant.read(config)?, arguments::login(login)?);
            let password_hash = auth::hash(&password.read(&login)?);
            let user = User {
                tenant,
                login,
                password_hash,
                is_administrator: *administrator,
                is_disabled: false,
                version: 1,
            };
            let row = Row::of(&user);
            let shown = format!("{name} of tenant {}", row.tenant);
            open::on_database(config, async |store| {
                store.add_user(user).await.map_err(|error| refusal(error, &shown))
            })?;
            info!(tenant.id = row.tenant, user.login = row.login, administrator, "added the user");
            output.made(&format!("added {shown}"), &row)
        }
        UserCommand::List { tenant } => {
            let tenant =
                tenant.as_deref().map(|name| arguments::tenant(name, config)).transpose()?;
            let users = open::with_store(config, async |store| Ok(store.users(tenant).await?))?;
            let rows: Vec<Row> = users.iter().map(Row::of).collect();
            output.rows(&["TENANT", "LOGIN", "ROLE", "STATE"], &rows, Row::cells)
        }
        UserCommand::Password { login, tenant, password } => {
            let (name, tenant, login) = (login, tenant.read(config)?, arguments::login(login)?);
            // Before the database is opened, because the prompt may wait for long, and other commands must not.
            let hash = auth::hash(&password.read(&login)?);
            let user = open::with_store(config, async |store| {
                let changed = store.set_password(tenant.clone(), login.clone(), hash).await;
                changed.map_err(|error| refusal(error, &format!("{name} of tenant {tenant}")))?;
                let found = store.user(&tenant, &login).await?;
                found.with_context(|| format!("there is no user {name}"))
            })?;
            info!(
                tenant.id = user.tenant.as_str(),
                user.login = user.login.as_str(),
                "changed the password"
            );
            output.made(&format!("changed the password of {name}"), &Row::of(&user))
        }
        UserCommand::SetRole { login, role, tenant, force } => {
            set_role(config, output, login, tenant.read(config)?, *role, *force)
        }
        UserCommand::Disable { login, tenant, revoke_records } => {
            set_disabled(config, output, login, tenant.read(config)?, true, *revoke_records)
        }
        UserCommand::Enable { login, tenant } => {
            set_disabled(config, output, login, tenant.read(config)?, false, false)
        }
        UserCommand::Remove { login, tenant, revoke_records, force } => {
            remove(config, output, login, tenant.read(config)?, *revoke_records, *force)
        }
    }
}

fn set_role(
    config: &Config,
    output: Output,
    name: &str,
    tenant: TenantId,
    role: Role,
    is_forced: bool,
) -> anyhow::Result<()> {
    let (login, is_administrator) = (arguments::login(name)?, role == Role::Administrator);
    let user = open::with_store(config, async |store| {
        let (in_tenant, of_login) = (tenant.clone(), login.clone());
        let changed =
            store.set_administrator(in_tenant, of_login, is_administrator, is_forced).await;
        if changed.map_err(|error| refusal(error, &named(name, &tenant)))? != UserChange::Done {
            bail!(last_administrator(name, &tenant));
        }
        find(store, &tenant, &login).await
    })?;
    let (tenant, login) = (user.tenant.as_str(), user.login.as_str());
    info!(tenant.id = tenant, user.login = login, is_administrator, "changed the role of a user");
    let now = if is_administrator { "an administrator" } else { "a user without further rights" };
    output.made(&format!("{name} is now {now}"), &Row::of(&user))
}

fn named(name: &str, tenant: &TenantId) -> String {
    format!("{name} of tenant {tenant}")
}

fn last_administrator(name: &str, tenant: &TenantId) -> String {
    format!(
        "{name} is the last enabled administrator of tenant {tenant}. Without one, no caller can list or revoke \
         records of other users. Add another one first, or use --force"
    )
}

async fn find(store: &Store, tenant: &TenantId, login: &Login) -> anyhow::Result<User> {
    let found = store.user(tenant, login).await?;
    found.with_context(|| format!("there is no user {login} of tenant {tenant}"))
}

fn remove(
    config: &Config,
    output: Output,
    name: &str,
    tenant: TenantId,
    revokes_records: bool,
    is_forced: bool,
) -> anyhow::Result<()> {
    let login = arguments::login(name)?;
    let (user, revoked) = open::with_store(config, async |store| {
        let user = find(store, &tenant, &login).await?;
        let removal = UserRemoval { is_forced, disables_owner: revokes_records };
        let mut revoked = 0;
        loop {
            match store.remove_user(tenant.clone(), login.clone(), removal).await? {
                UserChange::Done => return Ok((user, revoked)),
                UserChange::LastAdministrator => bail!(last_administrator(name, &tenant)),
                UserChange::OwnsRecords if revokes_records => {
                    revoked +=
                        records::revoke_all(store, records::owned_by(&tenant, &login)).await?;
                }
                UserChange::OwnsRecords => bail!(
                    "{} owns living records. Revoke them first (`latchkey records revoke --owner`), or add \
                     --revoke-records",
                    named(name, &tenant)
                ),
            }
        }
    })?;
    info!(tenant.id = user.tenant.as_str(), user.login = user.login.as_str(), "removed the user");
    let plain =
        format!("removed {}{}", named(name, &tenant), and_revoked(revokes_records, revoked));
    let revoked = revokes_records.then_some(revoked);
    output.made(&plain, &Ended { row: Row::of(&user), revoked })
}

fn and_revoked(revokes_records: bool, revoked: u64) -> String {
    if !revokes_records {
        return String::new();
    }
    format!(", and revoked {}", counted(revoked, "record"))
}

fn set_disabled(
    config: &Config,
    output: Output,
    name: &str,
    tenant: TenantId,
    is_disabled: bool,
    revokes_records: bool,
) -> anyhow::Result<()> {
    let login = arguments::login(name)?;
    let (user, revoked) = open::with_store(config, async |store| {
        let changed = store.set_user_disabled(tenant.clone(), login.clone(), is_disabled).await;
        changed.map_err(|error| refusal(error, &named(name, &tenant)))?;
        let revoked = match revokes_records {
            true => records::revoke_all(store, records::owned_by(&tenant, &login)).await?,
            false => 0,
        };
        Ok((find(store, &tenant, &login).await?, revoked))
    })?;
    let done = if is_disabled { "disabled" } else { "enabled" };
    info!(tenant.id = user.tenant.as_str(), user.login = user.login.as_str(), "{done} the user");
    let plain = format!("{done} {name}{}", and_revoked(revokes_records, revoked));
    let revoked = revokes_records.then_some(revoked);
    output.made(&plain, &Ended { row: Row::of(&user), revoked })
}

impl PasswordSource {
    /// The password, which must be one that the user of this login may choose.
    fn read(&self, login: &Login) -> anyhow::Result<Password> {
        let text = match &self.password_file {
            Some(file) => return password_in(file, "--password-file", login),
            None if self.password_stdin => {
                let mut line = Zeroizing::new(String::new());
                io::stdin().lock().read_line(&mut line).context("cannot read standard input")?;
                Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned())
            }
            None => prompt()?,
        };
        Ok(Password::choose(&text, login)?)
    }
}

/// Asks for a password twice, without showing it.
fn prompt() -> anyhow::Result<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        bail!(
            "there is no terminal to ask for a password; use --password-file or --password-stdin"
        );
    }
    let mut terminal = io::stderr();
    let mut ask = |what: &str| {
        write!(terminal, "{what}: ")?;
        terminal.flush()?;
        rpassword::read_password().map(Zeroizing::new)
    };
    let first = ask("Password")?;
    if *ask("Repeat the password")? != *first {
        bail!("the passwords differ; nothing was changed");
    }
    Ok(first)
}
