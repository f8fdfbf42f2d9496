//! The file of the audit log.
//!
//! Invariant: one process at a time writes to a file. The file holds only complete lines, unless it is being written at
//! that moment. A file that is not the log any more is renamed, never overwritten.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use rustix::{fs::OFlags, process::geteuid};
use store::{AuditAnchor, AuditKey};
use tracing::warn;

use super::line::{decode_mac, read_line, split_mac};

/// The longest line that is read, in bytes. Lines that are written are much shorter.
const LONGEST_LINE: u64 = 1 << 16;
/// The time between two looks at the file's path.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// How long the opening waits for another process to release the file.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The end of the name of a file that was set aside.
const ASIDE: &str = ".doubtful";
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// An open file of the audit log.
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// The length of the complete lines, in bytes.
    length: u64,
    rotate_bytes: u64,
    keep_files: u32,
    looked: Instant,
}

/// The last complete line of a file. The default is that of a file that has none, which no key signed.
#[derive(Default)]
pub(super) struct Tail {
    pub(super) chain: String,
    pub(super) sequence: i64,
    pub(super) mac: [u8; 32],
    /// The MAC of the line before the last one.
    previous: [u8; 32],
    /// The signed bytes of the last line.
    members: Vec<u8>,
    /// The length of the file up to its last complete line, in bytes.
    end: u64,
}

impl Tail {
    /// Reads the last complete line, from the first line of a file and from its bytes after `start`. `None` if there is
    /// none.
    fn read(first: &[u8], bytes: &[u8], start: u64) -> Option<Self> {
        let complete = bytes.iter().rposition(|byte| *byte == b'\n')?;
        let mut lines = bytes[..complete].rsplit(|byte| *byte == b'\n');
        let (last, before) = (lines.next()?, lines.next());
        let (members, mac) = split_mac(last)?;
        let (last, first) = (read_line(last)?, read_line(first.trim_ascii_end())?);
        let previous = match before {
            Some(before) => split_mac(before)?.1,
            None => decode_mac(last.previous?.as_bytes())?,
        };
        Some(Self {
            chain: first.chain?,
            sequence: last.sequence,
            mac,
            previous,
            members: members.to_vec(),
            end: start + complete as u64 + 1,
        })
    }

    /// Returns the last line if one of these keys signed it.
    pub(super) fn signed_by(&self, keys: &[AuditKey]) -> Option<AuditAnchor> {
        let Self { chain, previous, members, mac, .. } = self;
        let is_signed = |key: &AuditKey| key.signed_line(chain, previous, members, mac);
        keys.iter().any(is_signed).then(|| AuditAnchor {
            chain: self.chain.clone(),
            sequence: self.sequence,
            mac: self.mac,
        })
    }
}

impl AuditFile {
    /// Opens a file for this process alone, and creates it and its folder if they are missing.
    pub(super) fn open(path: &Path, rotate_bytes: u64, keep_files: u32) -> anyhow::Result<Self> {
        let file = open_locked(path)?;
        let length = file.metadata()?.len();
        let path = path.to_owned();
        Ok(Self { path, file, length, rotate_bytes, keep_files, looked: Instant::now() })
    }

    /// Reads the end of the file. `None` if the file is empty.
    ///
    /// # Errors
    /// The file cannot be read, or it is no audit log.
    pub(super) fn tail(&mut self) -> anyhow::Result<Option<Tail>> {
        let mut first = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        BufReader::new(&self.file).take(LONGEST_LINE).read_until(b'\n', &mut first)?;
        if self.length > 0 && !first.starts_with(br#"{"audit":"#) {
            bail!("{} is not an audit log; take another path", self.path.display());
        }
        let start = self.length.saturating_sub(2 * LONGEST_LINE);
        let mut end = Vec::new();
        self.file.seek(SeekFrom::Start(start))?;
        (&self.file).take(2 * LONGEST_LINE).read_to_end(&mut end)?;
        if end.is_empty() {
            return Ok(None);
        }
        Ok(Some(Tail::read(&first, &end, start).unwrap_or_default()))
    }

    /// Removes an incomplete line at the end, which no call was answered for.
    pub(super) fn keep_complete(&mut self, tail: &Tail) -> io::Result<()> {
        self.truncate(tail.end)
    }

    /// Appends complete lines. After an error the file is as before.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match (&self.file).write_all(lines) {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.truncate(self.length)?;
                Err(error)
            }
        }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.length = length;
        if self.file.metadata()?.len() > length { self.file.set_len(length) } else { Ok(()) }
    }

    /// Brings what was appended to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Returns whether the file has no line yet.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Returns whether the next lines belong into another file: because this one is large, or is not at its path any
    /// more. The path is looked at once a second, or now.
    pub(super) fn must_rotate(&mut self, now: bool) -> bool {
        let is_cut = || self.file.metadata().is_ok_and(|own| own.len() < self.length);
        if self.length >= self.rotate_bytes || is_cut() {
            return true;
        }
        if !now && self.looked.elapsed() < LOOK_PERIOD {
            return false;
        }
        self.looked = Instant::now();
        !self.is_at_path()
    }

    fn is_at_path(&self) -> bool {
        let (Ok(own), Ok(there)) = (self.file.metadata(), fs::metadata(&self.path)) else {
            return false;
        };
        (own.dev(), own.ino()) == (there.dev(), there.ino()) && own.len() >= self.length
    }

    /// Goes on in a new file at the path. A file that is there is renamed, and the oldest renamed files are removed.
    pub(super) fn rotate(&mut self) -> anyhow::Result<()> {
        self.sync()?;
        if self.is_at_path() {
            self.rename("")?;
        } else {
            self.reopen()?;
        }
        if let Err(error) = remove_oldest(&self.path, self.keep_files) {
            warn!(
                error = format!("{error:#}"),
                "an old file of the audit log could not be removed"
            );
        }
        Ok(())
    }

    /// Renames a file that cannot be continued, so that it is never removed as an old one. Returns the new name.
    pub(super) fn set_aside(&mut self) -> anyhow::Result<PathBuf> {
        self.rename(ASIDE)
    }

    /// Renames the file at the path, and opens a new one. Returns the new name.
    fn rename(&mut self, suffix: &str) -> anyhow::Result<PathBuf> {
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%S%6fZ");
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{now}{suffix}"));
        let aside = self.path.with_file_name(name);
        fs::rename(&self.path, &aside)
            .with_context(|| format!("cannot rename {}", self.path.display()))?;
        self.reopen()?;
        Ok(aside)
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        // The path may still be this file, which another program cut.
        self.file.unlock()?;
        self.file = open_locked(&self.path)?;
        self.length = self.file.metadata()?.len();
        if self.length > 0 {
            // A file that another program put here.
            self.set_aside()?;
        }
        Ok(())
    }
}

/// Opens a file and locks it. Another process may be about to end.
fn open_locked(path: &Path) -> anyhow::Result<File> {
    let begun = Instant::now();
    let file = open(path).with_context(|| format!("cannot open {}", path.display()))?;
    if !file.metadata()?.is_file() {
        bail!("{} is no regular file", path.display());
    }
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => {
                return Err(error).context("the file system cannot lock files");
            }
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => {
                thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                bail!("another process writes to it; each server needs a file of its own")
            }
        }
    }
}

/// Opens a file, or creates it and its folder. Follows no link at the path, because a command run by root would
/// otherwise create a file wherever the link points.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = options.create_new(true).open(path)?;
    if geteuid().is_root() {
        // The server may run as another user than this command.
        let owner = fs::metadata(folder)?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    // Otherwise a crash could lose the file's name.
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Returns the renamed files of a log, oldest first, with or without those that were set aside.
pub(crate) fn renamed_files(path: &Path, with_aside: bool) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_renamed = |other: &str| {
        let end = other.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('.'));
        let end = end.map(|end| match end.strip_suffix(ASIDE) {
            Some(end) if with_aside => end,
            _ => end,
        });
        end.is_some_and(|end| end.len() == 22 && end.ends_with('Z') && end.as_bytes()[8] == b'T')
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        if is_renamed(&entry.file_name().to_string_lossy()) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// Removes the oldest renamed files beyond `keep`; 0 keeps all.
fn remove_oldest(path: &Path, keep: u32) -> anyhow::Result<()> {
    if keep == 0 {
        return Ok(());
    }
    let files = renamed_files(path, false)?;
    let surplus = files.len().saturating_sub(keep as usize);
    for file in &files[..surplus] {
        fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}
