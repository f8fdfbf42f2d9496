//! `audit`: the audit log's file, and what happens when it cannot be written.
//!
//! Invariant: an empty `file` means that no audit log is kept.

use std::{ops::RangeInclusive, path::PathBuf};

use anyhow::bail;
use serde::{Deserialize, Serialize};

/// The size at which a file is rotated, in bytes.
const ROTATE: RangeInclusive<u64> = 1 << 16..=1 << 40;
/// How long a call may wait, in seconds.
const WAIT: RangeInclusive<u32> = 1..=60;
const STDERR: &str = "stderr";

/// The audit log.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Audit {
    file: String,
    pub(crate) on_failure: OnFailure,
    pub(crate) wait_seconds: u32,
    pub(crate) rotate_bytes: u64,
    pub(crate) keep_files: u32,
}

/// The effect of an audit log that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFailure {
    /// Calls are refused.
    Refuse,
    /// Calls are answered, and the missing events are counted.
    GoOn,
}

/// Where the audit log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuditTarget {
    File(PathBuf),
    Stderr,
}

impl Audit {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !WAIT.contains(&self.wait_seconds) {
            bail!("audit.wait_seconds must be from {} to {}", WAIT.start(), WAIT.end());
        }
        if !ROTATE.contains(&self.rotate_bytes) {
            bail!("audit.rotate_bytes must be from {} to {}", ROTATE.start(), ROTATE.end());
        }
        Ok(())
    }

    /// Returns where the server writes the log, if one is kept.
    pub(crate) fn target(&self) -> Option<AuditTarget> {
        match self.file.as_str() {
            "" => None,
            STDERR => Some(AuditTarget::Stderr),
            path => Some(AuditTarget::File(path.into())),
        }
    }

    /// Returns where commands write the log: a file of their own, because the server holds its file.
    pub(crate) fn target_of_commands(&self) -> Option<AuditTarget> {
        Some(match self.target()? {
            AuditTarget::Stderr => AuditTarget::Stderr,
            AuditTarget::File(path) => {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let extension = path.extension().map(|end| format!(".{}", end.to_string_lossy()));
                let name = format!("{stem}-commands{}", extension.unwrap_or_default());
                AuditTarget::File(path.with_file_name(name))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_a_file_next_to_the_servers() {
        for (file, expected) in [
            ("data/audit.jsonl", "data/audit-commands.jsonl"),
            ("/var/log/latchkey/audit", "/var/log/latchkey/audit-commands"),
        ] {
            let audit = Audit {
                file: file.to_owned(),
                on_failure: OnFailure::Refuse,
                wait_seconds: 5,
                rotate_bytes: 1 << 20,
                keep_files: 1,
            };
            assert_eq!(audit.target_of_commands(), Some(AuditTarget::File(expected.into())));
        }
    }
}
