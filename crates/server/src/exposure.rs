//! Warnings about files that hold or guard a secret, and that other users of the machine can read or change.
//!
//! Invariant: nothing is changed, because the permissions may be intended; each warning has the command that corrects
//! them. The store rejects key files that others can read.

use std::{
    fmt,
    fs::{self, File, Metadata},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::Path,
};

use tracing::warn;

use crate::config::Config;

/// The permissions of users other than the owner and its group.
const OTHERS: u32 = 0o007;
/// The permissions of the group and others to write.
const WRITE: u32 = 0o022;

/// Warns about each file and folder of the configuration.
pub(crate) fn warn(config: &Config) {
    for folder in config.folders() {
        check_rights(&folder, WRITE, "other users can put files of theirs into this folder");
    }
    for file in config.secret_files() {
        check_rights(
            &file,
            OTHERS | WRITE,
            "other users can read or change this file, which holds a secret",
        );
    }
    let (output, log) = (io::stdout(), io::stderr());
    for (name, stream) in [("standard output", output.as_fd()), ("the log", log.as_fd())] {
        check_stream(name, stream);
    }
}

fn check_rights(path: &Path, rights: u32, what: &'static str) {
    // The code that needs a file reports that it is missing or unreadable.
    let Ok(metadata) = fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & rights != 0 {
        let mode = format_args!("{mode:04o}").to_string();
        warn!(path = %path.display(), mode, "{what}; run `{}`", Remedy::of(path, &metadata));
    }
}

/// The command that gives a file or folder to the server alone.
struct Remedy<'a> {
    path: &'a Path,
    owner: u32,
    is_folder: bool,
}

impl<'a> Remedy<'a> {
    fn of(path: &'a Path, metadata: &Metadata) -> Self {
        Self { path, owner: metadata.uid(), is_folder: metadata.is_dir() }
    }
}

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = format!("'{}'", self.path.display().to_string().replace('\'', r"'\''"));
        let server = rustix::process::geteuid().as_raw();
        if self.owner != server {
            // The owner changes first, because otherwise the server itself would lose access.
            write!(f, "chown {server} {path} && ")?;
        }
        write!(f, "chmod {} {path}", if self.is_folder { "700" } else { "600" })
    }
}

/// The log names users, and a generated password is printed.
fn check_stream(name: &str, stream: BorrowedFd<'_>) {
    let Ok(metadata) = stream.try_clone_to_owned().map(File::from).and_then(|file| file.metadata())
    else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() && mode & (OTHERS | WRITE) != 0 {
        warn!(
            mode = format_args!("{mode:04o}").to_string(),
            "{name} goes into a file that other users can read or change; run `chmod 600` on it"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted() {
        let owner = rustix::process::geteuid().as_raw();
        let shown = |path: &str, owner, is_folder| {
            Remedy { path: Path::new(path), owner, is_folder }.to_string()
        };
        assert_eq!(shown("it's a key", owner, false), r"chmod 600 'it'\''s a key'");
        assert_eq!(shown("/data", owner, true), "chmod 700 '/data'");
        let foreign = format!("chown {owner} 'key' && chmod 600 'key'");
        assert_eq!(shown("key", owner + 1, false), foreign);
    }
}
