//! The writer's thread, which commits the queued writes in batches.
//!
//! Invariant: every caller is answered only after the transaction that holds its row was committed, to the file that is
//! then at the database's path. A rejected row never fails the other writes of its batch.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Instant,
};

use tracing::warn;

use super::batch::{Batch, Job, Outcome};
use crate::{
    StoreError,
    backend::{
        conn::{self, Conn},
        managed_conn::ManagedConn,
        sqlite::wal::WriteAheadLog,
    },
    error::error_chain,
    figures::WriteFigures,
    tables::external_tokens::{self, TokenRow},
};

/// The most writes in one transaction.
const BATCH: usize = 256;

/// The thread, which owns the only connection that writes.
pub(super) struct Committer {
    managed: ManagedConn,
    /// The write-ahead log; on SQLite only.
    log: Option<WriteAheadLog>,
    jobs: Receiver<Job>,
    figures: Arc<WriteFigures>,
}

impl Committer {
    pub(super) fn new(
        managed: ManagedConn,
        log: Option<WriteAheadLog>,
        jobs: Receiver<Job>,
        figures: Arc<WriteFigures>,
    ) -> Self {
        Self { managed, log, jobs, figures }
    }

    /// Commits jobs until the queue is closed.
    pub(super) fn run(mut self) {
        let mut is_open = true;
        while is_open && let Some(first) = self.next_job() {
            let mut batch = Batch::default();
            let mut next = Some(first);
            while let Some(job) = next {
                is_open &= !matches!(job, Job::Close);
                job.queued().into_iter().for_each(|since| self.figures.taken(since));
                batch.add(job);
                next = if batch.len() < BATCH { self.jobs.try_recv().ok() } else { None };
            }
            for batch in batch.in_order() {
                let (size, erases) = (batch.size(), batch.erases());
                self.commit(batch);
                if let Some(log) = &mut self.log {
                    log.after_commit(&mut self.managed, size, erases);
                }
            }
        }
        if let Some(log) = self.log {
            log.checkpoint_and_close(&mut self.managed);
        }
    }

    /// Waits for the next job, and truncates the log meanwhile when that is due. Returns `None` when the queue is
    /// closed.
    fn next_job(&mut self) -> Option<Job> {
        loop {
            let Some(log) = &mut self.log else { return self.jobs.recv().ok() };
            match self.jobs.recv_timeout(log.truncate_due_in()) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Timeout) => log.truncate(&mut self.managed),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Commits the batch in one transaction. If that fails, commits each write separately.
    fn commit(&mut self, mut batch: Batch) {
        if batch.len() == 0 {
            return;
        }
        match self.write(&mut batch) {
            Ok(outcomes) => batch.answer(outcomes),
            Err(error) if batch.len() > 1 && !self.is_hopeless(&error) => {
                // If the database rejects all writes, every batch fails, and that is logged elsewhere, once.
                if !matches!(error, StoreError::Unavailable(_)) {
                    warn!(
                        error = error_chain(&error),
                        "a write was refused; committing one by one"
                    );
                }
                self.commit_each(batch);
            }
            Err(error) => batch.refuse(&error),
        }
    }

    /// Commits each write separately. Once the database is away, fails the rest without trying.
    fn commit_each(&mut self, batch: Batch) {
        let mut end = None;
        for mut single in batch.singles() {
            let outcome = match &end {
                Some(error) => Err(StoreError::clone(error)),
                None => self.write(&mut single),
            };
            match outcome {
                Ok(outcomes) => single.answer(outcomes),
                Err(error) => {
                    single.refuse(&error);
                    if self.is_hopeless(&error) {
                        end = Some(error);
                    }
                }
            }
        }
    }

    /// Returns whether every other write would fail as well. On SQLite `Unavailable` affects all writes; PostgreSQL may
    /// have rejected a single row.
    fn is_hopeless(&self, error: &StoreError) -> bool {
        matches!(error, StoreError::Unavailable(_))
            && (self.log.is_some() || self.managed.is_away())
    }

    /// Writes the batch in one transaction, and notes it. Returns the outcome of each change.
    fn write(&mut self, batch: &mut Batch) -> Result<Vec<Outcome>, StoreError> {
        let begun = Instant::now();
        let outcomes = self.write_all(batch);
        self.figures.written(batch.len(), begun.elapsed(), outcomes.is_ok());
        outcomes
    }

    fn write_all(&mut self, batch: &mut Batch) -> Result<Vec<Outcome>, StoreError> {
        if self.managed.refuse_other_file().is_err() {
            self.managed.check_file()?;
        }
        let Batch { saves, changes } = batch;
        let rows: Vec<&TokenRow> = saves.iter().map(|save| &*save.row).collect();
        let outcomes = self.managed.run(|conn| match conn {
            // A single statement is a transaction, and takes one round trip.
            Conn::Postgres(_) if changes.is_empty() => {
                external_tokens::insert_all(conn, &rows).map(|()| Vec::new())
            }
            _ => conn::write(conn, |conn| {
                external_tokens::insert_all(conn, &rows)?;
                let outcomes = changes.iter_mut().map(|change| match change.work.run(conn) {
                    // Nothing was changed, so the other writes of the transaction stay.
                    Err(error) if error.changed_nothing() => Ok(Err(error)),
                    outcome => outcome.map(Ok),
                });
                outcomes.collect()
            }),
        })?;
        if let Err(error) = self.managed.check_files() {
            // Truncating puts all acknowledged writes into the moved file, even if its log is lost.
            self.log.iter_mut().for_each(WriteAheadLog::schedule_truncate);
            return Err(error);
        }
        Ok(outcomes)
    }
}
