//! The end of a backup, which identifies it and seals everything before it.
//!
//! Invariant: every database copied out of a backup is what was sealed, to the last bit.
//!
//! A backup is the database's file followed by:
//!
//! - the description of the key: its id, its source, and the blob for the hardware module, each with its length,
//! - a blob of the seal with the SHA-256 of the database's file,
//! - a SHA-256 of the two before and the length after it,
//! - the length of the key's description (4 bytes),
//! - the mark.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, Digest, SHA256, SHA256_OUTPUT_LEN, digest};

use crate::{
    CopyError, KekSources, OpenError,
    files::failed,
    keys::{is_id, keyring::KekRow},
    seal::{Kek, format::OVERHEAD},
};

const MARK: [u8; 16] = *b"Latchkey backup1";
/// Length of the blob with the hash.
const BLOB: usize = SHA256_OUTPUT_LEN + OVERHEAD;
/// Length of the trailer without the key's description.
const FIXED: usize = BLOB + SHA256_OUTPUT_LEN + size_of::<u32>() + MARK.len();
/// Maximum length of a key's description.
const ABOUT: usize = 1 << 16;
/// Bytes read at once.
const BUFFER: usize = 1 << 18;

/// A backup and its trailer.
pub(super) struct Trailer {
    path: PathBuf,
    file: File,
    /// Length of the database's file.
    length: u64,
    about: Vec<u8>,
    kek: KekRow,
    blob: [u8; BLOB],
}

/// Seals a database's file, which makes it a backup, and flushes it to the disk.
pub(super) fn append(
    (mut file, path): (&File, &Path),
    kek: &Kek,
    row: &KekRow,
) -> Result<(), OpenError> {
    let begun = file.rewind().and_then(|()| file.metadata());
    let length = begun.map_err(failed("read", path))?.len();
    let hash = pour((file, path), length, None)?;
    let about = about(row);
    let blob = kek.seal_backup(&about, hash.as_ref());
    let length = u32::try_from(about.len()).expect("a key's row is short").to_be_bytes();
    let mut end = [about, blob].concat();
    let check = checksum(&end, length);
    for part in [check.as_ref(), &length, &MARK] {
        end.extend_from_slice(part);
    }
    file.write_all(&end).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

impl Trailer {
    /// Reads the trailer of a file.
    pub(super) fn read(mut file: File, path: PathBuf) -> Result<Self, CopyError> {
        let parts = read_end(&mut file).map_err(failed("read", &path))?;
        let (length, end) = parts.ok_or_else(|| CopyError::NoBackup(path.clone()))?;
        let broken = || CopyError::BrokenSeal(path.clone());
        let (sealed, tail) = end.split_at_checked(end.len() - FIXED + BLOB).ok_or_else(broken)?;
        let (check, tail) = tail.split_at(SHA256_OUTPUT_LEN);
        let about_length = *tail.first_chunk().ok_or_else(broken)?;
        if checksum(sealed, about_length).as_ref() != check {
            return Err(broken());
        }
        let (about, blob) = sealed.split_last_chunk().ok_or_else(broken)?;
        let kek = row_of(about).ok_or_else(broken)?;
        let (about, blob) = (about.to_vec(), *blob);
        Ok(Self { path, file, length, about, kek, blob })
    }

    /// Returns the backup's file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Verifies the seal.
    ///
    /// # Errors
    /// The key is missing, `BrokenSeal`, or the file cannot be read.
    pub(super) fn check(&mut self, keys: &KekSources) -> Result<(), CopyError> {
        self.pour(keys, None)
    }

    /// Verifies the seal, and copies the database's file to `target` if given. The copy is valid only if this succeeds.
    pub(super) fn pour(
        &mut self,
        keys: &KekSources,
        target: Option<(&mut File, &Path)>,
    ) -> Result<(), CopyError> {
        let kek = keys.find(&self.kek)?;
        self.file.rewind().map_err(failed("read", &self.path))?;
        let hash = pour((&self.file, &self.path), self.length, target)?;
        if kek.opens_backup(&self.about, hash.as_ref(), &self.blob) {
            return Ok(());
        }
        Err(CopyError::BrokenSeal(self.path.clone()))
    }
}

/// Returns the length of the database's file, and the trailer's bytes. Returns `None` if the mark is missing.
fn read_end(file: &mut File) -> io::Result<Option<(u64, Vec<u8>)>> {
    let whole = file.metadata()?.len();
    let mut tail = [0; size_of::<u32>() + MARK.len()];
    if whole < FIXED as u64 {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-(tail.len() as i64)))?;
    file.read_exact(&mut tail)?;
    let Some(about) = tail.strip_suffix(&MARK).and_then(|about| about.first_chunk()) else {
        return Ok(None);
    };
    let about = u32::from_be_bytes(*about) as usize;
    // A too long description is not read completely, so that its checksum is wrong.
    let end = FIXED + about.min(ABOUT);
    let Some(length) = whole.checked_sub(end as u64) else { return Ok(None) };
    file.seek(SeekFrom::Start(length))?;
    let mut bytes = vec![0; end];
    file.read_exact(&mut bytes)?;
    Ok(Some((length, bytes)))
}

/// Reads `length` bytes, copies them to the target if given, and returns their hash.
fn pour(
    (mut source, from): (&File, &Path),
    length: u64,
    mut target: Option<(&mut File, &Path)>,
) -> Result<Digest, OpenError> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; BUFFER];
    let mut left = length;
    while left > 0 {
        let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let part = &mut buffer[..part];
        source.read_exact(part).map_err(failed("read", from))?;
        context.update(part);
        if let Some((target, to)) = &mut target {
            target.write_all(part).map_err(failed("write", to))?;
        }
        left -= part.len() as u64;
    }
    Ok(context.finish())
}

fn checksum(sealed: &[u8], length: [u8; 4]) -> Digest {
    digest(&SHA256, &[sealed, &length].concat())
}

fn about(row: &KekRow) -> Vec<u8> {
    let mut bytes = Vec::new();
    let sealed = row.sealed.as_deref();
    for part in [row.id.as_bytes(), row.source.as_bytes(), sealed.unwrap_or_default()] {
        bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn row_of(mut about: &[u8]) -> Option<KekRow> {
    let mut part = || {
        let (length, rest) = about.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        about = rest;
        Some(part.to_vec())
    };
    // The id becomes part of a path.
    let id = String::from_utf8(part()?).ok().filter(|id| is_id(id))?;
    let source = String::from_utf8(part()?).ok()?;
    let sealed = part()?;
    let sealed = (!sealed.is_empty()).then_some(sealed);
    about.is_empty().then_some(KekRow { id, source, sealed, ..KekRow::default() })
}
