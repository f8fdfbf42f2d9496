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
use clap::{Args, Subcommand};
use model::{Login, TenantId, User};
use serde::Serialize;
use tracing::info;
use zeroize::Zeroizing;

use super::{
    arguments::{self, TenantArgument},
    open,
    output::{Output, refusal},
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
    /// Disable a user, and end the user's tickets, sessions and access tokens
    Disable {
        /// The user name
        login: String,
        #[command(flatten)]
        tenant: TenantArgument,
    },
    /// Enable a disabled user
    Enable {
        /// The user name
        login: String,
        #[command(flatten)]
        tenant: TenantArgument,
    },
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
        UserCommand::Disable { login, tenant } => {
            set_disabled(config, output, login, tenant.read(config)?, true)
        }
        UserCommand::Enable { login, tenant } => {
            set_disabled(config, output, login, tenant.read(config)?, false)
        }
    }
}

fn set_disabled(
    config: &Config,
    output: Output,
    name: &str,
    tenant: TenantId,
    is_disabled: bool,
) -> anyhow::Result<()> {
    let login = arguments::login(name)?;
    let user = open::with_store(config, async |store| {
        let changed = store.set_user_disabled(tenant.clone(), login.clone(), is_disabled).await;
        changed.map_err(|error| refusal(error, &format!("{name} of tenant {tenant}")))?;
        store.user(&tenant, &login).await?.with_context(|| format!("there is no user {name}"))
    })?;
    let done = if is_disabled { "disabled" } else { "enabled" };
    info!(tenant.id = user.tenant.as_str(), user.login = user.login.as_str(), "{done} the user");
    output.made(&format!("{done} {name}"), &Row::of(&user))
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
