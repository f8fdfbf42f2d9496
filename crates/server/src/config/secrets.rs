//! Secrets that are read from a file of their own.
//!
//! Invariant: a file is read once, and an error names its setting and never its content.

use std::path::Path;

use anyhow::bail;
use secrecy::SecretString;
use store::secret_file;

/// Takes the value of a setting from the file that another setting names, without the white space around it.
pub(super) fn read_secret_file(
    value: &mut Option<SecretString>,
    file: Option<&Path>,
    [setting, setting_of_file]: [&'static str; 2],
) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    if value.is_some() {
        bail!("set {setting} or {setting_of_file}, not both");
    }
    let text = secret_file::read_text(file, setting_of_file)?;
    if text.is_empty() {
        bail!("{setting_of_file}: {} is empty", file.display());
    }
    *value = Some(text.as_str().into());
    Ok(())
}
