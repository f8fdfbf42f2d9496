//! `latchkey restore`: a database from a backup.
//!
//! Invariant: an existing database is never changed.

use std::path::Path;

use anyhow::Context as _;
use tracing::info;

use super::{
    backup::refuse_stream,
    grants::PAUSED,
    output::Output,
    proof::{Report, report_progress},
};
use crate::config::Config;

/// Restores the configured database from a file.
pub(crate) fn run(config: &Config, output: Output, file: &Path) -> anyhow::Result<()> {
    refuse_stream(file)?;
    let database = config.database()?;
    let proof = store::restore(file, &database, &config.keys()?, &mut report_progress())
        .with_context(|| format!("cannot restore {} to {database}", file.display()))?;
    info!(records = proof.records, file = %file.display(), "restored the database");
    let done = format!("restored {} to {database}\n{PAUSED}", file.display());
    Report::of(config, Some(file), &proof, None)?.print(output, Some(done))
}
