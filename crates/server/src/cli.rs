//! The command line of `latchkey`.
//!
//! Invariant: a command that fails says on standard error, in one message, why it failed and what to do, and exits with
//! 1. A command line that cannot be parsed exits with 2.

mod app;
mod arguments;
mod audit;
mod audited;
mod backup;
mod confirm;
mod copy;
mod grants;
mod import;
mod keys;
mod open;
mod output;
mod proof;
mod provider;
mod providers;
mod records;
#[cfg(test)]
mod reference;
mod restore;
mod session;
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
    app::AppCommand, audit::AuditCommand, copy::Sides, grants::GrantsCommand,
    import::ImportArguments, keys::KeysCommand, output::Output, providers::ProvidersCommand,
    records::RecordsCommand, session::SessionCommand, ticket::TicketCommand, user::UserCommand,
};
use crate::{
    config::{Config, environment},
    error_text::error_chain,
    memory, serve,
    telemetry::{self, Log},
};

/// Store external OAuth tokens, sealed, and serve them as SuperOffice's User agent does
///
/// Commands use the database and the master keys of the configuration. Run them as the user that the server runs as.
/// Servers may be running meanwhile, unless the help of a command says otherwise.
#[derive(Parser)]
#[command(name = "latchkey", version, after_help = EXAMPLES)]
struct Arguments {
    /// Read settings from this TOML file. The default is the file that the variable LATCHKEY_CONFIG names
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  latchkey                                   # run the server
  latchkey --config production.toml serve
  latchkey --config production.toml config check
  latchkey help keys rotate";

const COPY_EXAMPLE: &str = "\
Example, to the database of `database.url`:
  latchkey copy --from sqlite:data/latchkey.db";

const IMPORT_EXAMPLES: &str = "\
Examples:
  latchkey import tokens.csv --check
  latchkey import tokens.csv --keys keys.csv
  latchkey import tokens.csv --keys keys.csv --resume";

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default)
    ///
    /// SIGTERM and SIGINT stop it after the requests under way. SIGHUP reads the log filter, certificates and secrets
    /// again.
    Serve,
    /// Bring the database's schema up to date
    ///
    /// The command prints each migration that it runs.
    Migrate,
    /// Manage users
    User {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Issue, list and revoke tickets
    Ticket {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: TicketCommand,
    },
    /// List and revoke the sessions of people who signed in with a browser
    Session {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: SessionCommand,
    },
    /// Manage partner applications
    App {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Manage the master keys
    Keys {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// List grants, and pause and resume the use of refresh tokens
    Grants {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: GrantsCommand,
    },
    /// List, revoke, export and erase records
    Records {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: RecordsCommand,
    },
    /// Show the presets for providers, and check the configured providers
    Providers {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: ProvidersCommand,
    },
    /// Verify that the data key of every record opens
    ///
    /// The command changes nothing. It exits with 1 if a record is damaged, and names the record.
    Verify {
        #[command(flatten)]
        output: Output,
    },
    /// Back up the SQLite database to a new file, and verify it by a restore
    ///
    /// The server may be running. A backup is of use only together with the master keys, so keep a copy of them, too.
    #[command(after_help = "Example:\n  latchkey backup latchkey-2026-11-24")]
    Backup {
        #[command(flatten)]
        output: Output,
        /// The file to write, which must not exist yet
        file: PathBuf,
    },
    /// Restore the SQLite database from a backup
    ///
    /// The database must not exist yet, and the master keys must be there. No server on it refreshes a token before
    /// `latchkey grants resume`.
    #[command(after_help = "Example:\n  latchkey restore latchkey-2026-11-24")]
    Restore {
        #[command(flatten)]
        output: Output,
        /// A file that `latchkey backup` wrote
        file: PathBuf,
    },
    /// Copy a database to another, such as from SQLite to PostgreSQL
    ///
    /// Stop every server on both databases first. The copy needs the same master keys. No server on it refreshes a token
    /// before `latchkey grants resume`. Run the command again to update an earlier copy.
    #[command(after_help = COPY_EXAMPLE)]
    Copy {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        sides: Sides,
    },
    /// Import tokens of another system, and write a file of their keys
    ///
    /// The command checks the whole file first, and saves nothing if a line cannot be saved. Standard input is checked
    /// line by line while it is saved. After an interruption, run the command again with --resume.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        arguments: ImportArguments,
    },
    /// Verify and show the audit log
    Audit {
        #[command(flatten)]
        output: Output,
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Check and print the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check the configuration, and print what its providers change for clients
    ///
    /// The command reads the files that settings name. The start checks the database and the master keys.
    Check {
        /// Also read the discovery document and the certificate of each provider. No secret is sent
        #[arg(long)]
        online: bool,
    },
    /// Print the settings in force, without secrets
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
    // New files belong to their owner alone, regardless of the umask that was inherited.
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
                warn!(%error, "a crash may write memory to a core dump: the system did not allow to disable that");
            }
            for (name, setting) in environment::unread() {
                let setting = setting.map(|setting| format!("; is {setting} meant?"));
                let setting = setting.unwrap_or_default();
                warn!("{name} is not read: settings begin with LATCHKEY__{setting}");
            }
            serve::run(config, file.as_deref(), log.filter(), log.lost_lines())
        }
        Some(Command::Config(command)) => look_at(&config, command),
        Some(command) => {
            let _log = Log::start(&config)?;
            let _command = telemetry::command().entered();
            match command.audited() {
                Some(change) => change.run(&config, || administer(&config, command)),
                None => administer(&config, command),
            }
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
            config.metrics_address()?;
            let checked = serve::check(&config)?;
            provider::describe(&config)?;
            if *online {
                provider::probe(&checked.providers)?;
            }
            Ok(writeln!(
                out,
                "the configuration is valid; the start checks the database and the keys"
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
        Command::Session { output, command } => session::run(config, *output, command),
        Command::App { output, command } => app::run(config, *output, command),
        Command::Keys { output, command } => keys::run(config, *output, command),
        Command::Grants { output, command } => grants::run(config, *output, command),
        Command::Records { output, command } => records::run(config, *output, command),
        Command::Providers { output, command } => providers::run(config, *output, command),
        Command::Verify { output } => verify::run(config, *output),
        Command::Backup { output, file } => backup::run(config, *output, file),
        Command::Restore { output, file } => restore::run(config, *output, file),
        Command::Copy { output, sides } => copy::run(config, *output, sides),
        Command::Import { output, arguments } => import::run(config, *output, arguments),
        Command::Audit { output, command } => audit::run(config, *output, command),
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
