//! `cargo xtask`: the development tasks of this workspace.
//!
//! Invariant: it needs only Rust, unless a check says what is missing.

#![expect(clippy::print_stdout, reason = "a command line tool answers on standard output")]

mod bench;
mod book;
mod contract;
mod features;
mod flags;
mod fuzz;
mod imports;
mod links;
mod migrate;
mod rooms;
mod secrets;
mod tidy;
mod words;

use std::path::Path;

use flags::XtaskCmd;
use xshell::Shell;

fn main() -> anyhow::Result<()> {
    // Paths are relative to the workspace's root, in whichever folder the command is called.
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?;
    let shell = Shell::new()?;
    match flags::Xtask::from_env_or_exit().subcommand {
        XtaskCmd::Bench(bench) => bench::run(&shell, bench),
        XtaskCmd::Book(_) => book::run(&shell),
        XtaskCmd::Contract(contract) => tidy::print_tests(&shell, &contract.line),
        XtaskCmd::Features(_) => features::run(&shell),
        XtaskCmd::Fuzz(fuzz) => fuzz::run(&shell, fuzz),
        XtaskCmd::Migrate(migrate) => migrate::run(&shell, migrate),
        XtaskCmd::Tidy(tidy) => tidy::run(&shell, tidy.graph),
    }
}
