//! `cargo xtask`: what this workspace does to itself.
//!
//! Invariant: it needs nothing but Rust, unless a check says what it lacks.

#![expect(clippy::print_stdout, reason = "a command line tool answers on standard output")]

mod flags;
mod migrate;
mod tidy;

use std::path::Path;

use flags::XtaskCmd;
use xshell::Shell;

fn main() -> anyhow::Result<()> {
    let shell = Shell::new()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    shell.change_dir(root.canonicalize()?);
    match flags::Xtask::from_env_or_exit().subcommand {
        XtaskCmd::Migrate(migrate) => migrate::run(&shell, migrate),
        XtaskCmd::Tidy(_) => tidy::run(&shell),
    }
}
