//! The job that backs up the SQLite database of a running server.
//!
//! Invariant: an older backup is removed only after a newer one was restored and proved. A backup that does not prove is
//! kept apart, never counts, and replaces only the one that did not prove before it.

mod folder;

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use store::{KekSources, Store, StoreError};
use tokio::sync::oneshot;
use tracing::info;

pub(crate) use self::folder::Retention;
use self::folder::{Entry, Folder, START};
use super::job::{Job, Outcome};

/// The settings of the backups, and the last one that was proved. All clones are one.
#[derive(Clone)]
pub(crate) struct Backups(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    every: SignedDuration,
    retry_every: Duration,
    retention: Retention,
    keys: KekSources,
    last: Mutex<Option<ProvedBackup>>,
    /// Locked by the first run that can.
    folder: Mutex<Option<Folder>>,
}

/// A backup that was restored and proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProvedBackup {
    /// The time at which it was begun.
    pub(crate) made: Timestamp,
    /// Its size.
    pub(crate) bytes: u64,
}

/// No backup was made.
#[derive(Debug, thiserror::Error)]
enum BackupError {
    #[error("{} cannot be used for backups", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Copy(#[from] store::CopyError),
    #[error(
        "{} did not prove: {damaged} records are damaged, and {unreadable} rows cannot be read; run `latchkey verify`",
        file.display()
    )]
    Unproved { file: PathBuf, damaged: usize, unreadable: usize },
}

impl Backups {
    /// Prepares backups into a folder.
    pub(crate) fn new(
        directory: PathBuf,
        every: SignedDuration,
        retry_every: Duration,
        retention: Retention,
        keys: KekSources,
    ) -> Self {
        let (last, folder) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { directory, every, retry_every, retention, keys, last, folder }))
    }

    /// Returns the last backup in the folder that was proved, as of the last run of the job.
    pub(crate) fn last(&self) -> Option<ProvedBackup> {
        *lock(&self.0.last)
    }

    /// Makes a backup if one is due. Returns whether it did. Blocks.
    fn run(&self, store: &Store) -> Result<bool, BackupError> {
        let Inner { directory, .. } = &*self.0;
        let unusable = |error| BackupError::Folder(directory.clone(), error);
        let mut locked = lock(&self.0.folder);
        // Fails if the folder is away, such as a disk that is not mounted.
        fs::metadata(directory).map_err(unusable)?;
        let is_first = locked.is_none();
        if is_first {
            *locked = Some(Folder::lock(directory).map_err(unusable)?);
        }
        let Some(folder) = &*locked else { return Ok(false) };
        let entries = folder.entries().map_err(unusable)?;
        self.note(&entries);
        if is_first {
            let (directory, last) = (directory.display(), self.last());
            let (made, bytes) = (last.map(|last| last.made), last.map(|last| last.bytes));
            info!(%directory, last = made.map(tracing::field::display), bytes, "backups are made");
        }
        let now = Timestamp::now();
        let is_recent = |entry: &Entry| now.duration_since(entry.made).abs() < self.0.every;
        if entries.iter().any(is_recent) {
            return Ok(false);
        }
        self.back_up(store, folder, now)?;
        let entries = folder.entries().map_err(unusable)?;
        self.note(&entries);
        for entry in self.0.retention.surplus(&entries) {
            fs::remove_file(&entry.path).map_err(unusable)?;
            info!(file = %entry.path.display(), "removed an old backup");
        }
        Ok(true)
    }

    fn back_up(&self, store: &Store, folder: &Folder, now: Timestamp) -> Result<(), BackupError> {
        let begun = Instant::now();
        let unusable = |error| BackupError::Folder(self.0.directory.clone(), error);
        store::remove_unfinished(&self.0.directory, START);
        // One that did not prove shows the damage; more of them would fill the disk.
        for entry in folder.entries().map_err(unusable)? {
            if !entry.is_proved {
                fs::remove_file(&entry.path).map_err(unusable)?;
            }
        }
        let file = folder.unproved(now);
        let proof = store.back_up(&self.0.keys, &file)?;
        let (damaged, unreadable) = (proof.damaged.len(), proof.unreadable.len());
        if damaged + unreadable > 0 {
            return Err(BackupError::Unproved { file, damaged, unreadable });
        }
        let file = folder.accept(&file).map_err(unusable)?;
        let bytes = fs::metadata(&file).map_err(unusable)?.len();
        let (records, ms) = (proof.records, begun.elapsed().as_millis() as u64);
        info!(file = %file.display(), bytes, records, ms, "backed up the database, and proved the backup");
        Ok(())
    }

    /// Notes the newest backup that was proved.
    fn note(&self, entries: &[Entry]) {
        let newest = entries.iter().find(|entry| entry.is_proved);
        let bytes = |entry: &Entry| fs::metadata(&entry.path).map_or(0, |file| file.len());
        let last = newest.map(|entry| ProvedBackup { made: entry.made, bytes: bytes(entry) });
        *lock(&self.0.last) = last;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Backs up the database when a backup is due.
pub(super) struct BackUp {
    pub(super) store: Store,
    pub(super) backups: Backups,
}

impl Job for BackUp {
    fn name(&self) -> &'static str {
        "backing up the database"
    }

    fn period(&self) -> Duration {
        self.backups.0.retry_every
    }

    async fn run(&mut self) -> Result<Outcome, StoreError> {
        let (store, backups) = (self.store.clone(), self.backups.clone());
        let (done, outcome) = oneshot::channel();
        // A thread of its own, because a stop must not wait until a backup is made.
        let work = move || {
            let _ = done.send(backups.run(&store));
        };
        let failed =
            |error: Arc<dyn std::error::Error + Send + Sync>| StoreError::NotBackedUp(error);
        thread::Builder::new()
            .name("backup".to_owned())
            .spawn(work)
            .map_err(|error| failed(Arc::new(error)))?;
        match outcome.await {
            Ok(Ok(true)) => Ok(Outcome::Done),
            Ok(Ok(false)) => Ok(Outcome::Skipped),
            Ok(Err(error)) => Err(failed(Arc::new(error))),
            Err(panicked) => Err(failed(Arc::new(panicked))),
        }
    }

    fn failure(&self) -> &'static str {
        "no backup is made"
    }
}
