//! Asks before a command destroys something.
//!
//! Invariant: without a terminal nothing is destroyed unless `--yes` says so.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use clap::Args;

/// The consent to a command that destroys something.
#[derive(Args)]
pub(crate) struct Consent {
    /// Do not ask for a confirmation
    #[arg(long)]
    yes: bool,
}

impl Consent {
    pub(crate) fn is_given(&self) -> bool {
        self.yes
    }

    /// Asks the question, unless `--yes` was given.
    ///
    /// # Errors
    /// The answer is not yes, or there is no terminal to ask.
    pub(crate) fn ask(&self, question: &str) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            bail!("{question} There is no terminal to ask for a confirmation; add --yes");
        }
        let mut terminal = io::stderr();
        write!(terminal, "{question} Continue? [y/N] ")?;
        terminal.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).context("cannot read the answer")?;
        if !matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            bail!("nothing was changed");
        }
        Ok(())
    }
}
