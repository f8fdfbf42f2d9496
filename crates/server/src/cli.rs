//! The command line of `latchkey`.
//!
//! Invariant: a command that fails says why and what to do on standard error, in one message, and
//! exits with 1; one that was mistyped exits with 2.

mod app;
mod arguments;
mod backup;
mod copy;
mod grants;
mod import;
mod keys;
mod open;
mod output;
mod proof;
mod provider;
mod providers;
mod restore;
mod terminal;
mod ticket;
mod user;
mod verify;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use store::Migrator;
use tracing::warn;

use self::{
    app::AppCommand, copy::Sides, grants::GrantsCommand, import::ImportArguments,
    keys::KeysCommand, output::Output, providers::ProvidersCommand, ticket::TicketCommand,
    user::UserCommand,
};
use crate::{
    config::{Config, environment},
    error_text::error_chain,
    memory, serve,
    telemetry::{self, Log},
};

/// Keeps external OAuth tokens, sealed, behind SuperOffice's User agent.
#[derive(Parser)]
#[command(name = "latchkey", version)]
struct Arguments {
    /// A TOML file over the defaults; `config show` prints the keys. LATCHKEY_CONFIG names it as well
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve,
    /// Bring the database's schema up to date
    Migrate,
    /// Say who may sign in
    User {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Issue and revoke tickets
    Ticket {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: TicketCommand,
    },
    /// Register partner applications
    App {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Look after the master keys
    Keys {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Look at grants, and pause and resume the use of refresh tokens
    Grants {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: GrantsCommand,
    },
    /// Look at the presets for providers, and at the providers that are configured
    Providers {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: ProvidersCommand,
    },
    /// Prove that every record's data key opens, beside running servers
    Verify {
        #[command(flatten)]
        output: Output,
    },
    /// Copy the SQLite database into a new file, beside a running server, and prove the copy
    Backup {
        #[command(flatten)]
        output: Output,
        /// The file, which must not be there yet
        file: PathBuf,
    },
    /// Make the SQLite database from a backup, where there is none
    Restore {
        #[command(flatten)]
        output: Output,
        /// What `backup` wrote
        file: PathBuf,
    },
    /// Copy a database into another, such as from SQLite to PostgreSQL; stop every server first
    Copy {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        sides: Sides,
    },
    /// Save tokens of another system, beside running servers, and write the file of their keys
    Import {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        arguments: ImportArguments,
    },
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Read it and say whether it is valid, and what its providers change for clients
    Check {
        /// Ask each provider whether it is there: its discovery, its certificate. No secret is sent
        #[arg(long)]
        online: bool,
    },
    /// Print what is in force, without secrets
    Show,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                "latchkey: {}",
                terminal::lines(&error_chain(error.as_ref()))
            );
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // Before there is a secret in memory.
    let undumped = memory::refuse_dumps();
    // Whatever it was: what is made is for its owner, who may use it.
    #[cfg(target_os = "linux")]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let file = match &arguments.config {
        Some(file) => Some(file.clone()),
        None => environment::variable(environment::CONFIG)?.map(PathBuf::from),
    };
    let config = Config::load(file.as_deref())?;
    match &arguments.command {
        None | Some(Command::Serve) => {
            let log = Log::start(&config)?;
            telemetry::hide_what_panics_say();
            if let Err(error) = undumped {
                warn!(%error, "a crash may write memory to a core dump: the system would not forbid it");
            }
            for (name, setting) in environment::unread() {
                let setting = setting.map(|setting| format!("; is {setting} meant?"));
                let setting = setting.unwrap_or_default();
                warn!("{name} is not read: settings begin with LATCHKEY__{setting}");
            }
            serve::run(config, file.as_deref(), log.filter())
        }
        Some(Command::Config(command)) => look_at(&config, command),
        Some(command) => {
            let _log = Log::start(&config)?;
            let _command = telemetry::command().entered();
            administer(&config, command)
        }
    }
}

fn look_at(config: &Config, command: &ConfigCommand) -> anyhow::Result<()> {
    let mut out = io::stdout();
    match command {
        ConfigCommand::Check { online } => {
            telemetry::check(config)?;
            let mut config = config.clone();
            config.resolve_listen()?;
            let checked = serve::check(&config)?;
            provider::describe(&config)?;
            if *online {
                provider::probe(&checked.providers)?;
            }
            Ok(writeln!(
                out,
                "the configuration is valid; database and keys are looked at by the start"
            )?)
        }
        ConfigCommand::Show => Ok(write!(out, "{}", config.show()?)?),
    }
}

/// Runs a command that is logged.
fn administer(config: &Config, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Migrate => {
            let mut out = io::stdout();
            for name in migrate(config)? {
                writeln!(out, "ran {name}")?;
            }
            Ok(writeln!(out, "the database is up to date")?)
        }
        Command::User { output, command } => user::run(config, *output, command),
        Command::Ticket { output, command } => ticket::run(config, *output, command),
        Command::App { output, command } => app::run(config, *output, command),
        Command::Keys { output, command } => keys::run(config, *output, command),
        Command::Grants { output, command } => grants::run(config, *output, command),
        Command::Providers { output, command } => providers::run(config, *output, command),
        Command::Verify { output } => verify::run(config, *output),
        Command::Backup { output, file } => backup::run(config, *output, file),
        Command::Restore { output, file } => restore::run(config, *output, file),
        Command::Copy { output, sides } => copy::run(config, *output, sides),
        Command::Import { output, arguments } => import::run(config, *output, arguments),
        Command::Serve | Command::Config(_) => Ok(()),
    }
}

fn migrate(config: &Config) -> anyhow::Result<Vec<String>> {
    let database = config.database()?;
    let keys = config.keys()?;
    let run = || {
        let mut migrator = Migrator::open(&database)?;
        migrator.check_keys(&keys)?;
        migrator.run()
    };
    run().with_context(|| format!("cannot use the database {database}"))
}
