//! Files and folders that only their owner may read.
//!
//! Invariant: what is made here is made for its owner alone, and a folder that was made is still
//! there after a loss of power.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tracing::warn;

use crate::OpenError;

/// Opens a file of the server's own, making it if it is not there.
pub(crate) fn open_or_create(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options.open(path).map_err(failed("open", path))
}

/// Makes an empty file; false if there is one already, which is not opened.
pub(crate) fn create_new(path: &Path) -> Result<bool, OpenError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_made) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed("create", path)(error)),
    }
}

/// Takes from others the right to a file, if it is there; it is not opened.
pub(crate) fn shut_out_others(path: &Path) -> Result<(), OpenError> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read", path)(error)),
    };
    if is_exposed(mode) {
        warn!(file = %path.display(), "other users could read this file; shutting them out");
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed("chmod", path))?;
    }
    Ok(())
}

/// Writes a new file so that it is there whole or not at all, also after a loss of power.
pub(crate) fn write_whole(path: &Path, contents: &[u8]) -> Result<(), OpenError> {
    let unfinished = beside(path, ".tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(&unfinished)
        .and_then(|mut file| file.write_all(contents).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&unfinished, path))
        .and_then(|()| sync(folder_of(path)))
        .map_err(failed("write", path))
}

/// Makes a folder, and those above it, if they are not there.
pub(crate) fn create_folder(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder_of(path);
    create_folder(above)?;
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .and_then(|()| sync(above))
        .map_err(failed("create", path))
}

/// The folder that a path is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The file whose name is that of `path` and more.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

/// Whether a file of this mode can be read or written by others than its owner.
pub(crate) fn is_exposed(mode: u32) -> bool {
    mode & 0o077 != 0
}

/// The error of a file operation.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { action, path, source }
}

/// Writes a folder's names through to the disk.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
