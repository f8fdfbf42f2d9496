//! Sealed files of new tokens that the database could not take.
//!
//! Invariant: a file holds what the row would hold, and nothing in the clear. It is complete or absent. It is removed
//! only after the database has its tokens or no longer needs them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use model::RecordId;

use crate::{
    OpenError,
    files::{self, UNFINISHED, failed},
    seal::random_name,
    tables::{
        external_tokens::SealedTokens,
        grants::{
            lease::Lease,
            outcome::{RefreshTimes, Replacement},
        },
    },
};

/// The first bytes of a file, with the version of the layout.
const MAGIC: &[u8] = b"latchkey unsaved tokens 1\0";
/// The suffix of a file.
const SUFFIX: &str = ".unsaved";
/// The most files. Each stands for a request to a provider during an outage of the database.
const MOST: usize = 10_000;
/// The maximum size of a file, in bytes: three secrets, bounded by the longest request body.
const MOST_BYTES: u64 = 64 << 20;

/// The folder and its known files.
#[derive(Debug)]
pub(crate) struct Unsaved {
    folder: PathBuf,
    /// Files by record id and attempt number.
    files: Mutex<BTreeMap<(i64, i64), File>>,
}

/// State of a file in this process.
#[derive(Debug, Default)]
struct File {
    /// Keeps other servers from refreshing the record while its tokens wait.
    _lease: Option<Arc<Lease>>,
    /// Whether the log already says that the file is useless.
    is_reported: bool,
}

impl Unsaved {
    /// Lists the files that an earlier process left in the folder. A missing folder counts as empty.
    ///
    /// # Errors
    /// The folder exists but cannot be read.
    pub(crate) fn of(folder: &Path) -> Result<Self, OpenError> {
        let found = match list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            found => found.map_err(failed("read", folder))?,
        };
        let files = found.into_iter().map(|file| (file, File::default())).collect();
        Ok(Self { folder: folder.to_owned(), files: Mutex::new(files) })
    }

    /// Creates the folder if it is missing, and checks that it is writable. Blocks.
    ///
    /// # Errors
    /// The folder cannot be created or written.
    pub(crate) fn probe(&self) -> Result<(), OpenError> {
        files::create_folder(&self.folder)?;
        let probe = self.folder.join(format!("{}{UNFINISHED}", random_name()));
        let written = fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe));
        written.map_err(failed("write", &probe))
    }

    /// Returns whether tokens of this record wait.
    pub(crate) fn has(&self, record: RecordId) -> bool {
        let record = record.as_i64();
        self.files().range((record, i64::MIN)..=(record, i64::MAX)).next().is_some()
    }

    /// Lists the waiting tokens by record and attempt.
    pub(crate) fn list(&self) -> Vec<(i64, i64)> {
        self.files().keys().copied().collect()
    }

    /// Lists the waiting tokens of one record.
    pub(crate) fn of_record(&self, record: RecordId) -> Vec<(i64, i64)> {
        let record = record.as_i64();
        let of_record = (record, i64::MIN)..=(record, i64::MAX);
        self.files().range(of_record).map(|(file, _known)| *file).collect()
    }

    /// Writes tokens to the disk, and holds the lease until the file is gone. Blocks.
    pub(crate) fn write(
        &self,
        tokens: &Replacement,
        lease: Option<Arc<Lease>>,
    ) -> Result<(), OpenError> {
        let file = (tokens.record.as_i64(), tokens.attempt);
        if self.files().contains_key(&file) {
            return Ok(());
        }
        if self.files().len() >= MOST {
            let full = io::Error::other(format!("there are {MOST} files already"));
            return Err(failed("write to", &self.folder)(full));
        }
        files::create_folder(&self.folder)?;
        files::write_secret(&self.path(file), &encode(tokens), &self.folder)?;
        self.files().insert(file, File { _lease: lease, is_reported: false });
        Ok(())
    }

    /// Reads tokens back. Blocks.
    pub(crate) fn read(&self, file: (i64, i64)) -> Result<Replacement, OpenError> {
        let path = self.path(file);
        let read = || {
            if fs::metadata(&path)?.len() > MOST_BYTES {
                return Err(io::Error::other("it is too long"));
            }
            let bytes = fs::read(&path)?;
            let tokens =
                decode(&bytes).filter(|tokens| (tokens.record.as_i64(), tokens.attempt) == file);
            tokens.ok_or_else(|| io::Error::other("it is damaged"))
        };
        read().map_err(failed("read", &path))
    }

    /// Counts the files that are sealed under this master key. Blocks.
    pub(crate) fn count_under(&self, kek: &str) -> usize {
        let is_under =
            |file: &(i64, i64)| self.read(*file).is_ok_and(|tokens| tokens.sealed.kek_id == kek);
        self.list().iter().filter(|file| is_under(file)).count()
    }

    /// Returns true once for a useless file, so that it is reported once.
    pub(crate) fn report(&self, file: (i64, i64)) -> bool {
        let mut files = self.files();
        files.get_mut(&file).is_some_and(|known| !std::mem::replace(&mut known.is_reported, true))
    }

    /// Returns whether the file still exists; otherwise forgets it. Blocks.
    pub(crate) fn is_there(&self, file: (i64, i64)) -> bool {
        let is_there = self.path(file).exists();
        if !is_there {
            self.forget(file);
        }
        is_there
    }

    /// Forgets a file and leaves it on the disk for the operator.
    pub(crate) fn forget(&self, file: (i64, i64)) {
        self.files().remove(&file);
    }

    /// Removes tokens that the database has or no longer needs. Blocks.
    pub(crate) fn remove(&self, file: (i64, i64)) -> Result<(), OpenError> {
        self.forget(file);
        let path = self.path(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error))
            }
            _removed_or_gone => Ok(()),
        }
    }

    fn path(&self, (record, attempt): (i64, i64)) -> PathBuf {
        let record = crate::record_ids::name_of(record);
        self.folder.join(format!("{record}.{attempt}{SUFFIX}"))
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<(i64, i64), File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the files in a folder. A missing folder counts as empty. Blocks.
///
/// # Errors
/// The folder cannot be read.
pub fn count(folder: &Path) -> Result<u64, OpenError> {
    match list(folder) {
        Ok(files) => Ok(files.len() as u64),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(failed("read", folder)(error)),
    }
}

/// Lists the files of a folder by record and attempt.
fn list(folder: &Path) -> io::Result<BTreeSet<(i64, i64)>> {
    let entries = fs::read_dir(folder)?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let found = names.filter_map(|name| {
        let (record, attempt) = name.strip_suffix(SUFFIX)?.split_once('.')?;
        Some((RecordId::parse(record)?.as_i64(), attempt.parse().ok()?))
    });
    Ok(found.collect())
}

/// Encodes the fixed-length numbers, then each blob after its length, and a digest of all of it. The digest keeps a
/// corrupted file from replacing intact tokens.
fn encode(tokens: &Replacement) -> Vec<u8> {
    let SealedTokens { generation, kek_id, wrapped_dek, sealed } = &tokens.sealed;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&tokens.record.as_i64().to_be_bytes());
    bytes.extend_from_slice(&tokens.attempt.to_be_bytes());
    bytes.extend_from_slice(&tokens.replaced.to_be_bytes());
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.extend_from_slice(&tokens.key_digest);
    for time in [tokens.times.access_expires, tokens.times.refresh_by] {
        bytes.push(time.is_some().into());
        bytes.extend_from_slice(&time.unwrap_or_default().to_be_bytes());
    }
    for blob in [kek_id.as_bytes(), wrapped_dek, sealed] {
        bytes.extend_from_slice(&(blob.len() as u32).to_be_bytes());
        bytes.extend_from_slice(blob);
    }
    let digest = digest::digest(&SHA256, &bytes);
    bytes.extend_from_slice(digest.as_ref());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Replacement> {
    let (bytes, digest) = bytes.split_last_chunk::<SHA256_OUTPUT_LEN>()?;
    if digest::digest(&SHA256, bytes).as_ref() != digest {
        return None;
    }
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let rest = &mut rest;
    let record = RecordId::from_i64(i64::from_be_bytes(*take(rest)?))?;
    let attempt = i64::from_be_bytes(*take(rest)?);
    let replaced = i32::from_be_bytes(*take(rest)?);
    let generation = i32::from_be_bytes(*take(rest)?);
    let key_digest = *take(rest)?;
    let access_expires = take_time(rest)?;
    let refresh_by = take_time(rest)?;
    let kek_id = String::from_utf8(take_blob(rest)?.to_vec()).ok()?;
    let wrapped_dek = take_blob(rest)?.to_vec();
    let sealed = take_blob(rest)?.to_vec();
    let sealed = SealedTokens { generation, kek_id, wrapped_dek, sealed };
    let times = RefreshTimes { access_expires, refresh_by };
    rest.is_empty().then_some(Replacement { record, attempt, replaced, key_digest, times, sealed })
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(taken)
}

fn take_time(rest: &mut &[u8]) -> Option<Option<i64>> {
    let [is_some] = *take(rest)?;
    let time = i64::from_be_bytes(*take(rest)?);
    Some((is_some == 1).then_some(time))
}

fn take_blob<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_be_bytes(*take(rest)?) as usize;
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Replacement {
        Replacement {
            record: RecordId::from_i64(1 << 60).expect("id"),
            attempt: 7,
            replaced: 2,
            key_digest: [5; 32],
            times: RefreshTimes { access_expires: Some(9), refresh_by: None },
            sealed: SealedTokens {
                generation: 3,
                kek_id: "kek-a".to_owned(),
                wrapped_dek: vec![1, 2],
                sealed: vec![],
            },
        }
    }

    #[test]
    fn what_was_written_is_found_by_the_next_process() {
        let folder = tempfile::tempdir().expect("folder");
        let folder = folder.path().join("unsaved");
        let (tokens, file) = (tokens(), (1 << 60, 7));
        assert_eq!(count(&folder).expect("nothing there"), 0);
        let first = Unsaved::of(&folder).expect("read");
        assert!(!first.has(tokens.record) && !folder.exists());
        first.write(&tokens, None).expect("written");
        first.write(&tokens, None).expect("it is there already");
        let next = Unsaved::of(&folder).expect("read");
        assert!(next.has(tokens.record));
        assert_eq!(next.list(), [file]);
        assert_eq!(count(&folder).expect("counted"), 1);
        let read = next.read(file).expect("read");
        assert_eq!(encode(&read), encode(&tokens));
        assert_eq!((read.times, read.replaced), (tokens.times, 2));
        assert!(next.report(file) && !next.report(file), "once");
        assert_eq!(next.of_record(tokens.record), [file]);
        next.remove(file).expect("removed");
        next.remove(file).expect("it is gone already");
        assert!(!first.is_there(file) && !first.has(tokens.record), "another process removed it");
        assert!(!next.has(tokens.record));
        next.probe().expect("it can be written");
        assert_eq!(fs::read_dir(&folder).expect("folder").count(), 0);
        fs::remove_dir(&folder).expect("removed");
        fs::write(&folder, "").expect("written");
        next.probe().expect_err("a file is in its place");
        Unsaved::of(&folder).expect_err("it is no folder");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let unsaved = Unsaved::of(folder.path()).expect("read");
        unsaved.write(&tokens(), None).expect("written");
        let (path, whole) = (unsaved.path((1 << 60, 7)), encode(&tokens()));
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("written");
            let error = unsaved.read((1 << 60, 7)).map(drop).expect_err("it was cut");
            assert!(crate::error::error_chain(&error).contains("it is damaged"), "{error}");
        }
        fs::write(&path, [&whole, [0].as_slice()].concat()).expect("written");
        assert!(unsaved.read((1 << 60, 7)).is_err());
        for byte in 0..whole.len() {
            let mut garbled = whole.clone();
            garbled[byte] ^= 1;
            fs::write(&path, &garbled).expect("written");
            assert!(unsaved.read((1 << 60, 7)).is_err(), "byte {byte}");
        }
    }
}
