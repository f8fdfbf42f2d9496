//! `latchkey backup`: a copy of a database in a file.
//!
//! Invariant: a backup counts only after it was restored and proved.

use std::path::Path;

use anyhow::{Context as _, bail};
use tracing::info;

use super::{
    output::Output,
    proof::{Report, report_progress},
};
use crate::config::Config;

/// Copies the configured database into a file.
pub(crate) fn run(config: &Config, output: Output, file: &Path) -> anyhow::Result<()> {
    refuse_stream(file)?;
    let database = config.database()?;
    let proof = store::backup(&database, &config.keys()?, file, &mut report_progress())
        .with_context(|| format!("cannot back up the database {database}"))?;
    info!(records = proof.records, file = %file.display(), "backed up the database");
    let done = format!("wrote {}, restored it to prove it, and removed that again", file.display());
    Report::of(config, Some(file), &proof, None)?.print(output, Some(done))
}

/// Refuses what other programs read as standard input or output.
pub(super) fn refuse_stream(file: &Path) -> anyhow::Result<()> {
    if file.as_os_str() == "-" {
        bail!(
            "a backup is proved by reading it twice before it counts, so it cannot be a stream; name a file \
             (./- if it is to be called so), and copy that"
        );
    }
    Ok(())
}
