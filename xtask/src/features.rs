//! `cargo xtask features`: negotiate with each of its features.
//!
//! Invariant: every set of features that a user is likely to choose compiles without a warning.

use xshell::{Shell, cmd};

/// None, each alone, and each left out.
const SETS: [&str; 9] = [
    "",
    "coding",
    "culture",
    "time-zones",
    "xml",
    "culture,time-zones,xml",
    "coding,time-zones,xml",
    "coding,culture,xml",
    "coding,culture,time-zones",
];

/// Checks each set in a target folder of its own, because builds of one crate have other features than the workspace.
pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    for features in SETS {
        cmd!(
            shell,
            "cargo clippy --quiet -p latchkey-negotiate --no-default-features --features {features} --target-dir target/features -- -D warnings"
        )
        .run()?;
    }
    Ok(())
}
