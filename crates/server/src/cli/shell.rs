//! `latchkey completions` and `latchkey man`: what shells and `man` know about the command line.
//!
//! Invariant: both are made from the definition of the command line, and need no configuration.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context as _;
use clap::ValueEnum;
use clap_complete::aot;

/// A shell whose completions are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions for a shell.
pub(crate) fn completions(mut command: clap::Command, shell: Shell) -> anyhow::Result<()> {
    let shell = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    // Written at once, because the generator panics if the reader of a pipe has gone.
    let mut script = Vec::new();
    aot::generate(shell, &mut command, "latchkey", &mut script);
    io::stdout().write_all(&script).context("cannot write the completions")
}

/// Writes a page of the manual for each command into a folder, which must exist.
pub(crate) fn man(command: clap::Command, folder: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot write the pages to {}", folder.display());
    fs::metadata(folder).with_context(failed)?;
    clap_mangen::generate_to(command, folder).with_context(failed)
}
