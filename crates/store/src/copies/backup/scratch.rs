//! The folder in which a copy is made, next to the copy's final file.
//!
//! Invariant: the folder has an unguessable, unused name. Only its owner may use it, and files in it are used by their
//! handles. A killed process's folder is removed when a copy of the same name begins, unless it belongs to another
//! user.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, unlinkat},
    process::geteuid,
};

use super::SUFFIXES;
use crate::{
    CopyError, OpenError,
    files::{self, beside, failed, flags},
    seal::random_name,
};

/// The part of the folder's name between the copy's name and random letters and digits.
const MARK: &str = ".unfinished-";

/// A file of the folder.
pub(super) const BACKUP: &str = "backup";
/// The database restored from the backup to verify it.
pub(super) const PROOF: &str = "proof";

/// The folder; removed on drop.
pub(super) struct Scratch {
    path: PathBuf,
    /// Locked while the folder is in use.
    folder: File,
}

impl Scratch {
    /// Creates the folder for a copy that becomes `file`, and removes abandoned ones.
    pub(super) fn take(file: &Path) -> Result<Self, CopyError> {
        let above = files::folder_of(file);
        fs::metadata(above).map_err(failed("find", above))?;
        remove_left(file)?;
        let path = beside(file, &format!("{MARK}{}", random_name()));
        DirBuilder::new().mode(0o700).create(&path).map_err(failed("create", &path))?;
        match open(&path) {
            Ok(Some(folder)) => Ok(Self { path, folder }),
            Ok(None) => Err(CopyError::Busy(file.to_owned())),
            Err(error) => Err(failed("open", &path)(error).into()),
        }
    }

    /// Returns the path of a file in the folder, for SQLite.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Creates an empty file.
    pub(super) fn create(&self, name: &str) -> Result<File, OpenError> {
        let wanted =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.folder, name, wanted, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(|error| failed("create", &self.path(name))(error.into()))
    }

    /// Moves a file of the folder to its final name, which must be free, and gives it to its new folder's owner.
    pub(super) fn put_in_place(&self, file: &File, name: &str, to: &Path) -> io::Result<()> {
        let (made, named) = (file.metadata()?, fs::symlink_metadata(self.path(name))?);
        if (made.dev(), made.ino()) != (named.dev(), named.ino()) {
            return Err(io::Error::other("another process replaced what was being written"));
        }
        files::give_as(file, files::folder_of(to))?;
        file.sync_all()?;
        files::rename_new(&self.folder, Path::new(name), to)?;
        files::sync(files::folder_of(to))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.path, &self.folder);
    }
}

/// Opens and locks a folder of this user. Returns `None` if it is not such a folder, or in use.
fn open(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::DIRECTORY));
    let folder = options.open(path)?;
    if folder.metadata()?.uid() != geteuid().as_raw() {
        return Err(io::Error::other("it is another user's"));
    }
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes abandoned folders of copies of this name. `Busy`: one is in use. A copy that was killed after its file was
/// in place has left a folder too.
pub(super) fn remove_left(file: &Path) -> Result<(), CopyError> {
    let mut start = file.file_name().unwrap_or_default().to_owned();
    start.push(MARK);
    let is_random = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let is_left = |name: &OsStr| {
        let rest = name.as_bytes().strip_prefix(start.as_bytes());
        rest.is_some_and(|rest| rest.len() == random_name().len() && rest.iter().all(is_random))
    };
    // Folders that cannot be read stay.
    let Ok(entries) = fs::read_dir(files::folder_of(file)) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| is_left(&entry.file_name())) {
        match open(&entry.path()) {
            Ok(Some(folder)) => remove(&entry.path(), &folder),
            Ok(None) => return Err(CopyError::Busy(file.to_owned())),
            Err(_not_ours) => {}
        }
    }
    Ok(())
}

/// Removes the abandoned folders of all copies whose names begin like this. Those in use stay.
pub(super) fn remove_all_left(folder: &Path, start: &str) {
    // Folders that cannot be read stay.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((copy, _random)) = name.to_str().and_then(|name| name.split_once(MARK)) else {
            continue;
        };
        if copy.starts_with(start) {
            let _in_use = remove_left(&folder.join(copy));
        }
    }
}

/// Removes a folder and its possible files. If that fails, the next copy removes them.
fn remove(path: &Path, folder: &File) {
    for name in [BACKUP, PROOF] {
        for suffix in SUFFIXES {
            let _ = unlinkat(folder, format!("{name}{suffix}"), AtFlags::empty());
        }
    }
    let _ = fs::remove_dir(path);
}
