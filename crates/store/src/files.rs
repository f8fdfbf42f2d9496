//! Files and folders that only their owner may use.
//!
//! Invariant: every file made here has an unused name, is never reached through a link, and is accessible to its owner
//! only. If root makes it, it belongs to the owner of the files or the folder next to it, so that the server can use
//! it. A new folder survives a loss of power.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind, Write as _},
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::fs::{
            DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
            fchown,
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, OFlags, RenameFlags, linkat, renameat, renameat_with, unlinkat},
    io::Errno,
    process::geteuid,
};
use tracing::warn;

use crate::{OpenError, seal::random_name};

const PRIVATE: u32 = 0o600;
const GROUP_READS: u32 = 0o040;

/// Opens a lock file. If it is missing, creates it for the owner of `like`.
pub(crate) fn open_or_create(path: &Path, like: &Path) -> Result<File, OpenError> {
    if let Some(made) = create_new(path, like)? {
        return Ok(made);
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(flags(OFlags::NOFOLLOW));
    options.open(path).map_err(failed("open", path))
}

/// Creates an empty file for the owner of `like`. Returns `None`, without opening it, if the file exists.
pub(crate) fn create_new(path: &Path, like: &Path) -> Result<Option<File>, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(PRIVATE);
    match options.open(path) {
        Ok(file) => {
            let given = give_as(&file, like).map_err(failed("give its owner", path));
            remove_unless(&given, path);
            given.map(|()| Some(file))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(failed("create", path)(error)),
    }
}

/// Gives the file to the owner of `like`, a file or a folder, if root made it.
pub(crate) fn give_as(file: &File, like: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let (like, made) = (fs::metadata(like)?, file.metadata()?);
    if (like.uid(), like.gid()) == (made.uid(), made.gid()) {
        return Ok(());
    }
    fchown(file, Some(like.uid()), Some(like.gid()))
}

/// Removes other users' access to a file, if the file exists. Follows no link and keeps every lock on the file.
pub(crate) fn shut_out_others(path: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags(OFlags::PATH | OFlags::NOFOLLOW));
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let look = || file.metadata().map_err(failed("read", path));
    let metadata = look()?;
    if !metadata.is_file() || !is_shared(metadata.mode()) {
        return Ok(());
    }
    // Changes the mode through the handle, because another process could replace the path.
    let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
    let closed = fs::set_permissions(opened, Permissions::from_mode(PRIVATE));
    let file = path.display();
    match (closed, is_shared(look()?.mode())) {
        (Ok(()), false) => warn!(%file, "other users could read this file; they cannot any more"),
        (Err(error), _) => {
            warn!(%file, %error, "other users can read this file; run `chmod 600` on it")
        }
        (Ok(()), true) => {
            warn!(%file, "other users can read this file, and its file system ignores `chmod`");
        }
    }
    Ok(())
}

/// Writes a new file with a secret atomically: complete or absent, even after a loss of power. If root makes the file,
/// it gets the owner of `like`, and is readable by the group of `like` if `like` is.
///
/// # Errors
/// `Exposed`: the file system lets every user read the file. After an error no file is left.
pub(crate) fn write_secret(path: &Path, secret: &[u8], like: &Path) -> Result<(), OpenError> {
    let unfinished = beside(path, &format!(".{}{UNFINISHED}", random_name()));
    let Some(file) = create_new(&unfinished, like)? else {
        return Err(failed("create", path)(ErrorKind::AlreadyExists.into()));
    };
    let written = match write(file, secret, like) {
        Ok(Exposure::Everybody) => Err(OpenError::Exposed(path.to_owned())),
        Ok(Exposure::Group | Exposure::Nobody) => rename_new(CWD, &unfinished, path)
            .and_then(|()| sync(folder_of(path)))
            .map_err(failed("write", path)),
        Err(error) => Err(failed("write", path)(error)),
    };
    remove_unless(&written, &unfinished);
    written
}

/// Writes a file, unless every user can read it.
fn write(mut file: File, secret: &[u8], like: &Path) -> io::Result<Exposure> {
    let model = fs::metadata(like)?;
    if geteuid().is_root() && model.is_file() && model.mode() & GROUP_READS != 0 {
        file.set_permissions(Permissions::from_mode(PRIVATE | GROUP_READS))?;
    }
    let exposure = exposure(&file.metadata()?);
    if exposure != Exposure::Everybody {
        file.write_all(secret)?;
        file.sync_all()?;
    }
    Ok(exposure)
}

/// The suffix of a file that is still being written.
pub(crate) const UNFINISHED: &str = ".tmp";

fn remove_unless<T>(made: &Result<T, OpenError>, path: &Path) {
    if made.is_err() {
        // The file may not exist; the caller reports the original error.
        let _ = fs::remove_file(path);
    }
}

/// Renames a file within its folder or into another one. Fails if the new name is taken.
pub(crate) fn rename_new(folder: impl AsFd, from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(&folder, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        renamed => return Ok(renamed?),
    }
    match linkat(&folder, from, CWD, to, AtFlags::empty()) {
        Ok(()) => Ok(unlinkat(&folder, from, AtFlags::empty())?),
        // The file system has no hard links, so the check and the rename are two steps.
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::MLINK) => {
            match fs::symlink_metadata(to) {
                Ok(_there) => Err(ErrorKind::AlreadyExists.into()),
                Err(_free) => Ok(renameat(&folder, from, CWD, to)?),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Creates a folder and its missing parents.
pub(crate) fn create_folder(path: &Path) -> Result<(), OpenError> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder_of(path);
    create_folder(above)?;
    let give = || {
        if geteuid().is_root() {
            let like = fs::metadata(above)?;
            chown(path, Some(like.uid()), Some(like.gid()))?;
        }
        sync(above)
    };
    DirBuilder::new().mode(0o700).create(path).and_then(|()| give()).map_err(failed("create", path))
}

/// Returns the folder that contains a path.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Returns `path` with `suffix` added to its file name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    name.into()
}

/// The other users who may use a file, judged by its mode and owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// The owner only.
    Nobody,
    /// A group that this user or root chose.
    Group,
    /// Every user, or a group that another user chose.
    Everybody,
}

/// Returns the other users who may use this file.
pub(crate) fn exposure(metadata: &Metadata) -> Exposure {
    exposure_of(metadata.mode(), metadata.uid(), geteuid().as_raw())
}

fn exposure_of(mode: u32, owner: u32, me: u32) -> Exposure {
    let is_trusted = me == 0 || owner == 0 || owner == me;
    match (mode & 0o007, mode & 0o070) {
        (0, 0) => Exposure::Nobody,
        (0, _) if is_trusted => Exposure::Group,
        _ => Exposure::Everybody,
    }
}

/// Returns whether a file of this mode lets other users read or write it.
fn is_shared(mode: u32) -> bool {
    mode & 0o077 != 0
}

/// Converts flags to the form that the standard library takes.
pub(crate) fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Returns a function that turns an `io::Error` into the error of a file operation.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| match other_owner(&path, &source) {
        Some(owner) => OpenError::OtherUser { action, path, owner, source },
        None => OpenError::File { action, path, source },
    }
}

/// Returns the owner of a file, or of its closest existing folder, if access is denied and the owner is another user.
fn other_owner(path: &Path, error: &io::Error) -> Option<String> {
    if error.kind() != ErrorKind::PermissionDenied {
        return None;
    }
    let found =
        path.ancestors().chain([folder_of(path)]).find_map(|path| fs::metadata(path).ok())?;
    (found.uid() != geteuid().as_raw()).then(|| user_name(found.uid()))
}

/// Returns a user's name, or the form `#1000` that `sudo` accepts.
pub(crate) fn user_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

/// Flushes a folder's entries to the disk.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL judges its key files, except that a group of one's own is accepted.
    #[test]
    fn a_file_is_judged_by_its_mode_and_its_owner() {
        use Exposure::{Everybody, Group, Nobody};
        let (root, me, other) = (0, 1000, 1001);
        for (mode, owner, reader, expected) in [
            (0o600, me, me, Nobody),
            (0o400, me, me, Nobody),
            (0o660, me, me, Group),
            (0o640, root, me, Group),
            (0o640, other, me, Everybody),
            (0o640, other, root, Group),
            (0o604, me, me, Everybody),
            (0o602, me, me, Everybody),
            (0o644, root, me, Everybody),
            (0o777, me, root, Everybody),
        ] {
            assert_eq!(exposure_of(mode, owner, reader), expected, "{mode:o} of {owner}");
        }
    }

    #[test]
    fn a_name_that_is_taken_is_not_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("made"), "made").expect("written");
        fs::write(path("taken"), "taken").expect("written");
        let refused = rename_new(CWD, &path("made"), &path("taken")).expect_err("it is there");
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(path("taken")).expect("read"), b"taken");
        rename_new(CWD, &path("made"), &path("free")).expect("renamed");
        assert_eq!(fs::read(path("free")).expect("read"), b"made");
        assert!(!path("made").exists());
    }
}
