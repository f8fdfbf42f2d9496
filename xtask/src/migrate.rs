//! `cargo xtask migrate`: the schema's migrations.
//!
//! Invariant: a new migration has the same name and the same files for every backend.

use anyhow::{Context as _, ensure};
use store::{Database, Migration, Migrator};
use xshell::Shell;

use crate::flags::{Migrate, MigrateCmd};

/// The folders below `migrations`.
pub(crate) const BACKENDS: [&str; 2] = ["sqlite", "postgres"];

const DEFAULT_DATABASE: &str = "sqlite:data/latchkey.db";

pub(crate) fn run(shell: &Shell, flags: Migrate) -> anyhow::Result<()> {
    if let MigrateCmd::New(new) = flags.subcommand {
        return make(shell, &new.name);
    }
    let destroys = matches!(flags.subcommand, MigrateCmd::Revert(_) | MigrateCmd::Redo(_));
    ensure!(
        !destroys || flags.database.is_some(),
        "this destroys the data in what the migration created; name the database: \
         `migrate --database {DEFAULT_DATABASE} revert`"
    );
    let url = flags.database.as_deref().unwrap_or(DEFAULT_DATABASE);
    let database: Database = url.parse()?;
    let may_create = matches!(flags.subcommand, MigrateCmd::Run(_));
    ensure!(may_create || database.exists(), "there is no database at {url}; `run` makes it");
    let mut migrator =
        Migrator::open(&database).with_context(|| format!("cannot use the database {database}"))?;
    match flags.subcommand {
        MigrateCmd::Run(_) => report("ran", migrator.run()?),
        MigrateCmd::Revert(_) => report("reverted", migrator.revert()?),
        MigrateCmd::Redo(_) => {
            report("reverted", migrator.revert()?);
            report("ran", migrator.run()?);
        }
        MigrateCmd::Status(_) => {
            for Migration { name, is_applied } in migrator.status()? {
                let state = if is_applied { "applied" } else { "pending" };
                println!("{state}  {name}");
            }
        }
        MigrateCmd::New(_) => {}
    }
    Ok(())
}

fn report(done: &str, names: impl IntoIterator<Item = String>) {
    let mut names = names.into_iter().peekable();
    if names.peek().is_none() {
        println!("nothing to do");
    }
    for name in names {
        println!("{done} {name}");
    }
}

fn make(shell: &Shell, name: &str) -> anyhow::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    ensure!(
        !name.is_empty() && name.bytes().all(is_plain),
        "a migration's name has small letters, digits and underscores only"
    );
    let time = jiff::Timestamp::now().strftime("%Y-%m-%d-%H%M%S");
    for backend in BACKENDS {
        let folder = format!("migrations/{backend}/{time}_{name}");
        for (file, text) in [("up.sql", "-- The change.\n"), ("down.sql", "-- Its reversal.\n")] {
            let path = format!("{folder}/{file}");
            shell.write_file(&path, text).with_context(|| format!("cannot write {path}"))?;
            println!("made {path}");
        }
    }
    Ok(())
}
