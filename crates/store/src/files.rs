//! Files and folders that only their owner may use.
//!
//! Invariant: what is made here has a name that nothing had before, no link is followed to it, and nobody but its
//! owner may use it; if root makes it, its owner is that of the files or the folder that it lies beside, so that the
//! server can use it. A folder that was made is still there after a loss of power.

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

/// Opens a lock's file, making it for the owner of `like` if it is not there.
pub(crate) fn open_or_create(path: &Path, like: &Path) -> Result<File, OpenError> {
    if let Some(made) = create_new(path, like)? {
        return Ok(made);
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(flags(OFlags::NOFOLLOW));
    options.open(path).map_err(failed("open", path))
}

/// Makes an empty file for the owner of `like`; `None` if there is one already, which is not opened.
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

/// If root made this file, gives it to the owner of `like`, a file or a folder.
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

/// Takes from others the right to a file, if it is there; no link is followed, and no lock on it is lost.
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
    // Through the handle, which nobody can replace.
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

/// Writes a new file with a secret so that it is there whole or not at all, also after a loss of power. If root
/// makes it, it is as `like` is: of that owner, and read by that group if `like` is.
///
/// # Errors
/// Nothing is left; `Exposed` where the file system lets every user read it.
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

/// Writes a file, unless everybody can read it.
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

/// The end of the name of a file that is being written.
pub(crate) const UNFINISHED: &str = ".tmp";

fn remove_unless<T>(made: &Result<T, OpenError>, path: &Path) {
    if made.is_err() {
        // It may not even be there; why it was to go is what matters.
        let _ = fs::remove_file(path);
    }
}

/// Gives what is in a folder another name, which must be free, in this folder or in another.
pub(crate) fn rename_new(folder: impl AsFd, from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(&folder, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        renamed => return Ok(renamed?),
    }
    match linkat(&folder, from, CWD, to, AtFlags::empty()) {
        Ok(()) => Ok(unlinkat(&folder, from, AtFlags::empty())?),
        // The file system has no links; between the look and the name nothing can be done.
        Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP | Errno::MLINK) => {
            match fs::symlink_metadata(to) {
                Ok(_there) => Err(ErrorKind::AlreadyExists.into()),
                Err(_free) => Ok(renameat(&folder, from, CWD, to)?),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes a folder, and those above it, if they are not there.
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

/// Who may use a file beside its owner, as far as its mode tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Nobody.
    Nobody,
    /// A group, which this user or root chose.
    Group,
    /// Every user, or those whom another user chose.
    Everybody,
}

/// Who may use this file beside its owner.
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

/// Whether a file of this mode can be read or written by others than its owner.
fn is_shared(mode: u32) -> bool {
    mode & 0o077 != 0
}

/// These flags as the standard library takes them.
pub(crate) fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// The error of a file operation.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| match other_owner(&path, &source) {
        Some(owner) => OpenError::OtherUser { action, path, owner, source },
        None => OpenError::File { action, path, source },
    }
}

/// Whose a file is, or the folder above it, where this user lacks a right to it.
fn other_owner(path: &Path, error: &io::Error) -> Option<String> {
    if error.kind() != ErrorKind::PermissionDenied {
        return None;
    }
    let found =
        path.ancestors().chain([folder_of(path)]).find_map(|path| fs::metadata(path).ok())?;
    (found.uid() != geteuid().as_raw()).then(|| user_name(found.uid()))
}

/// A user's name, or what stands for it on the command line of `sudo`.
pub(crate) fn user_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

/// Writes a folder's names through to the disk.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL judges the files of its keys, but that a group of one's own is no refusal.
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
