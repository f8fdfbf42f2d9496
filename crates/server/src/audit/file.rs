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
use rustix::process::geteuid;
use store::{AuditAnchor, AuditKey};

use super::line::{decode_mac, read_line, split_mac};

/// The longest line that is read, in bytes. Lines that are written are much shorter.
const LONGEST_LINE: u64 = 1 << 16;
/// The time between two looks at the file's path.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// How long the opening waits for another process to release the file.
const LOCK_WAIT: Duration = Duration::from_secs(5);
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

/// The end of a file.
pub(super) struct Tail {
    pub(super) chain: String,
    pub(super) sequence: i64,
    pub(super) mac: [u8; 32],
    /// The MAC of the line before the last one.
    previous: [u8; 32],
    /// The signed bytes of the last line.
    members: Vec<u8>,
}

impl Tail {
    /// Returns the last line if one of these keys signed it.
    pub(super) fn open(&self, keys: &[AuditKey]) -> Option<AuditAnchor> {
        let is_signed = |key: &AuditKey| key.signed_line(&self.previous, &self.members, &self.mac);
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

    /// Reads the end of the file, and removes an incomplete last line, which no call was answered for. `None` if the
    /// file is empty.
    ///
    /// # Errors
    /// The file cannot be read, or it is no audit log.
    pub(super) fn tail(&mut self) -> anyhow::Result<Option<Tail>> {
        let mut first = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        BufReader::new(&self.file).take(LONGEST_LINE).read_until(b'\n', &mut first)?;
        let start = self.length.saturating_sub(2 * LONGEST_LINE);
        let mut end = Vec::new();
        self.file.seek(SeekFrom::Start(start))?;
        (&self.file).take(2 * LONGEST_LINE).read_to_end(&mut end)?;
        let complete = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let is_log = first.starts_with(br#"{"audit":"#);
        if self.length > 0 && !is_log {
            bail!("{} is not an audit log; take another path", self.path.display());
        }
        self.truncate(start + complete as u64)?;
        if complete == 0 {
            return Ok(None);
        }
        let mut lines = end[..complete - 1].rsplit(|byte| *byte == b'\n');
        let read = || {
            let (last, before) = (lines.next()?, lines.next());
            let (members, mac) = split_mac(last)?;
            let (last, first) = (read_line(last)?, read_line(first.trim_ascii_end())?);
            let previous = match before {
                Some(before) => split_mac(before)?.1,
                None => decode_mac(last.previous?.as_bytes())?,
            };
            let (chain, members) = (first.chain?, members.to_vec());
            Some(Tail { chain, sequence: last.sequence, mac, previous, members })
        };
        let unreadable = Tail {
            chain: String::new(),
            sequence: 0,
            mac: [0; 32],
            previous: [0; 32],
            members: Vec::new(),
        };
        // No key signed it, so it is set aside.
        Ok(Some({ read }().unwrap_or(unreadable)))
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
    pub(super) fn must_change(&mut self, now: bool) -> bool {
        if self.length >= self.rotate_bytes {
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
    pub(super) fn change(&mut self) -> anyhow::Result<()> {
        self.sync()?;
        if self.is_at_path() {
            self.set_aside()?;
        } else {
            self.reopen()?;
        }
        remove_oldest(&self.path, self.keep_files)
    }

    /// Renames the file at the path, and opens a new one. Returns the new name.
    pub(super) fn set_aside(&mut self) -> anyhow::Result<PathBuf> {
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%S%6fZ").to_string();
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        name.push(now);
        let aside = self.path.with_file_name(name);
        fs::rename(&self.path, &aside)
            .with_context(|| format!("cannot rename {}", self.path.display()))?;
        self.reopen()?;
        Ok(aside)
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
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

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o640);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    let file = options.create(true).open(path)?;
    if geteuid().is_root() {
        // The server may run as another user than this command.
        let owner = fs::metadata(folder)?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    // Otherwise a crash could lose the file's name.
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Returns the renamed files of a log, oldest first.
pub(crate) fn rotated_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_renamed = |other: &str| {
        let end = other.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('.'));
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
    let files = rotated_files(path)?;
    let surplus = files.len().saturating_sub(keep as usize);
    for file in &files[..surplus] {
        fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}
