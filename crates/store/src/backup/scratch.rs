//! The folder in which a backup is made, beside the file that it becomes.
//!
//! Invariant: only its owner may read it, one process at a time uses it, and what a process that was killed
//! left in it is gone when a backup of the same name begins.

use std::{
    fs::{self, File, Permissions, TryLockError},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::remove_files;
use crate::{
    CopyError,
    files::{self, beside, failed},
};

/// The folder; removed with this.
pub(super) struct Scratch {
    folder: PathBuf,
    backup: PathBuf,
    proof: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes the folder, or takes up one that was left.
    pub(super) fn take(file: &Path) -> Result<Self, CopyError> {
        let folder = beside(file, ".unfinished");
        let above = files::folder_of(file);
        fs::metadata(above).map_err(failed("find", above))?;
        // A link would lead elsewhere.
        if fs::symlink_metadata(&folder).is_ok_and(|there| !there.is_dir()) {
            return Err(CopyError::Exists(folder));
        }
        files::create_folder(&folder)?;
        let mode = Permissions::from_mode(0o700);
        fs::set_permissions(&folder, mode).map_err(failed("chmod", &folder))?;
        let lock = File::open(&folder).map_err(failed("open", &folder))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(CopyError::Busy(file.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &folder)(error).into()),
        }
        let (backup, proof) = (folder.join("backup"), folder.join("proof"));
        remove_files(&backup)?;
        remove_files(&proof)?;
        Ok(Self { folder, backup, proof, _lock: lock })
    }

    /// The copy, which becomes the backup.
    pub(super) fn backup(&self) -> &Path {
        &self.backup
    }

    /// What is restored from the copy, to prove it.
    pub(super) fn proof(&self) -> &Path {
        &self.proof
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now, the next backup removes.
        let _ = remove_files(&self.backup);
        let _ = remove_files(&self.proof);
        let _ = fs::remove_dir(&self.folder);
    }
}
