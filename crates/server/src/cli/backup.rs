//! `latchkey backup`: a copy of a database in a file.
//!
//! Invariant: a backup is reported as written only after it was restored and verified.

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
    let done =
        format!("wrote {}, and verified it by a restore, which was removed again", file.display());
    Report::of(config, Some(file), &proof, None)?.print(output, Some(done))
}

/// Refuses `-`, which other programs read as standard input or output.
pub(super) fn refuse_stream(file: &Path) -> anyhow::Result<()> {
    if file.as_os_str() == "-" {
        bail!(
            "a backup is read twice to verify it, so it cannot be a stream; name a file (./- for one that is \
             called -), and copy that"
        );
    }
    Ok(())
}
