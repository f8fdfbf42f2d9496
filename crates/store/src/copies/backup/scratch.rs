//! The folder in which a copy is made, beside the file that it becomes.
//!
//! Invariant: it has a name that nobody can guess and that nothing had before, only its owner may use it, and
//! what is made in it is used by its handle. What a process that was killed left is gone when a copy of the same
//! name begins, unless it is another user's.

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

/// What follows the name of the copy; random letters and digits follow that.
const MARK: &str = ".unfinished-";

/// A file of the folder.
pub(super) const BACKUP: &str = "backup";
/// What is restored from the backup, to prove it.
pub(super) const PROOF: &str = "proof";

/// The folder; removed with this.
pub(super) struct Scratch {
    path: PathBuf,
    /// Locked for as long as it is in use.
    folder: File,
}

impl Scratch {
    /// Makes the folder for a copy that becomes `file`, and removes those that were left.
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

    /// Where a file of the folder is, for SQLite.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes an empty file.
    pub(super) fn create(&self, name: &str) -> Result<File, OpenError> {
        let wanted =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.folder, name, wanted, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(|error| failed("create", &self.path(name))(error.into()))
    }

    /// Gives a file of the folder the name that it was made for, which must be free, and its folder's owner.
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

/// Opens a folder of this user and locks it; `None` if it is no such folder, or in use.
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

/// Removes the folders that copies of this name left; `Busy` if one is in use. A copy that was killed after its
/// file was in place has left one too.
pub(super) fn remove_left(file: &Path) -> Result<(), CopyError> {
    let mut start = file.file_name().unwrap_or_default().to_owned();
    start.push(MARK);
    let is_random = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let is_left = |name: &OsStr| {
        let rest = name.as_bytes().strip_prefix(start.as_bytes());
        rest.is_some_and(|rest| rest.len() == random_name().len() && rest.iter().all(is_random))
    };
    // What cannot be looked at stays.
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

/// Removes a folder and the files that it may have. What cannot be removed now, the next copy removes.
fn remove(path: &Path, folder: &File) {
    for name in [BACKUP, PROOF] {
        for suffix in SUFFIXES {
            let _ = unlinkat(folder, format!("{name}{suffix}"), AtFlags::empty());
        }
    }
    let _ = fs::remove_dir(path);
}
