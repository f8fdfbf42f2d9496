//! `latchkey verify`: verifies a database.
//!
//! Invariant: it changes nothing, and servers may be running on the database.

use anyhow::Context as _;

use super::{
    output::Output,
    proof::{Report, report_progress},
};
use crate::config::Config;

/// Verifies the configured database.
pub(crate) fn run(config: &Config, output: Output) -> anyhow::Result<()> {
    let database = config.database()?;
    let proof = store::verify(&database, &config.keys()?, &mut report_progress())
        .with_context(|| format!("cannot verify the database {database}"))?;
    let folder = config.unsaved_directory();
    let unsaved = store::count_unsaved(&folder).context("cannot count the unsaved tokens")?;
    Report::of(config, None, &proof, Some(unsaved))?.print(output, None)
}
