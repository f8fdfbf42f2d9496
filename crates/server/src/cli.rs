//! The command line of `latchkey`.
//!
//! Invariant: a command that fails says on standard error, in one message, why it failed and what to do, and exits with
//! 1. A command line that cannot be parsed exits with 2. With `--output json` the message is JSON.

mod app;
mod arguments;
mod audit;
mod audited;
mod backup;
mod confirm;
mod copy;
mod credential;
mod grants;
mod healthcheck;
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
mod shell;
mod terminal;
mod ticket;
mod user;
mod verify;

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use store::Migrator;
use tracing::warn;

use self::{
    app::AppCommand, audit::AuditCommand, copy::Sides, grants::GrantsCommand,
    healthcheck::HealthcheckArguments, import::ImportArguments, keys::KeysCommand, output::Output,
    providers::ProvidersCommand, records::RecordsCommand, session::SessionCommand, shell::Shell,
    ticket::TicketCommand, user::UserCommand,
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
#[command(name = "latchkey", version = env!("LATCHKEY_VERSION"), after_help = EXAMPLES)]
struct Arguments {
    /// Read settings from this TOML file. The default is the file that the variable LATCHKEY_CONFIG names
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The exit code of a command line that cannot be parsed, as clap has it.
const USAGE: u8 = 2;

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

const HEALTHCHECK_EXAMPLES: &str = "\
Examples:
  latchkey healthcheck
  latchkey healthcheck --ready --timeout 2
  latchkey healthcheck --url http://127.0.0.1:8080/readyz";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  latchkey completions bash > /etc/bash_completion.d/latchkey
  latchkey completions zsh > /usr/local/share/zsh/site-functions/_latchkey
  latchkey completions fish > ~/.config/fish/completions/latchkey.fish";

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
    /// Ask the server on this machine whether it runs
    ///
    /// The command exits with 0 if the server answers 200, and with 1 otherwise. It asks the address of `server.listen`,
    /// over TLS if `server.tls` is set. It accepts every certificate, because it sends no secret.
    #[command(after_help = HEALTHCHECK_EXAMPLES)]
    Healthcheck {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        arguments: HealthcheckArguments,
    },
    /// Print the completions for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write pages of the manual, one for each command
    #[command(after_help = "Example:\n  latchkey man /usr/local/share/man/man1")]
    Man {
        /// The folder to write them to, which must exist
        directory: PathBuf,
    },
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
    let is_json = output::is_json(env::args_os());
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if is_json && error.use_stderr() => {
            output::failed(error.to_string().trim(), is_json);
            return ExitCode::from(USAGE);
        }
        Err(help_or_mistake) => help_or_mistake.exit(),
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failed(&error_chain(error.as_ref()), is_json);
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
    let load = || Config::load(file.as_deref());
    match &arguments.command {
        Some(Command::Completions { shell }) => shell::completions(Arguments::command(), *shell),
        Some(Command::Man { directory }) => shell::man(Arguments::command(), directory),
        Some(Command::Healthcheck { output, arguments }) => {
            healthcheck::run(load, *output, arguments)
        }
        command => run_configured(load()?, file.as_deref(), command.as_ref(), undumped),
    }
}

/// Runs a command that needs the configuration.
fn run_configured(
    config: Config,
    file: Option<&Path>,
    command: Option<&Command>,
    undumped: io::Result<()>,
) -> anyhow::Result<()> {
    match command {
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
            serve::run(config, file, log.filter(), log.lost_lines())
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
        Command::Serve
        | Command::Config(_)
        | Command::Healthcheck { .. }
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
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
