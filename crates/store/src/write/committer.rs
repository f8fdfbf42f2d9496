//! The writer's thread: it takes what is queued, and commits it in batches.
//!
//! Invariant: a caller is answered only after the transaction that holds its row was committed, to the file that
//! is then at the database's path, and a row that the database refuses never fails its neighbours.

use std::sync::mpsc::{Receiver, RecvTimeoutError};

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
    tables::external_tokens::{self, TokenRow},
};

/// Writes in one transaction.
const BATCH: usize = 256;

/// The thread, which owns the only connection that writes.
pub(super) struct Committer {
    managed: ManagedConn,
    /// The write-ahead log, where there is one.
    log: Option<WriteAheadLog>,
    jobs: Receiver<Job>,
}

impl Committer {
    pub(super) fn new(
        managed: ManagedConn,
        log: Option<WriteAheadLog>,
        jobs: Receiver<Job>,
    ) -> Self {
        Self { managed, log, jobs }
    }

    /// Works until the queue is closed.
    pub(super) fn run(mut self) {
        let mut is_open = true;
        while is_open && let Some(first) = self.next_job() {
            let mut batch = Batch::default();
            let mut next = Some(first);
            while let Some(job) = next {
                is_open &= !matches!(job, Job::Close);
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

    /// Waits for something to do; meanwhile the log is cut when that is due. `None` when nothing will come.
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

    /// Commits everything at once; if something of it is refused, each on its own.
    fn commit(&mut self, mut batch: Batch) {
        if batch.len() == 0 {
            return;
        }
        match self.write(&mut batch) {
            Ok(outcomes) => batch.answer(outcomes),
            Err(error) if batch.len() > 1 && !self.is_hopeless(&error) => {
                // Of a database that cannot be written each batch is; that is said once.
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

    /// Commits each on its own; once the database is away, nothing more is tried.
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

    /// Whether any other write would fail as well. On a file, whatever makes it unavailable does so for
    /// all; a server may have refused but one row.
    fn is_hopeless(&self, error: &StoreError) -> bool {
        matches!(error, StoreError::Unavailable(_))
            && (self.log.is_some() || self.managed.is_away())
    }

    /// One transaction; what became of each change in it.
    fn write(&mut self, batch: &mut Batch) -> Result<Vec<Outcome>, StoreError> {
        if self.managed.refuse_other_file().is_err() {
            self.managed.check_file()?;
        }
        let Batch { saves, changes } = batch;
        let rows: Vec<&TokenRow> = saves.iter().map(|save| &*save.row).collect();
        let outcomes = self.managed.run(|conn| match conn {
            // A statement is a transaction, and takes one round trip to the server.
            Conn::Postgres(_) if changes.is_empty() => {
                external_tokens::insert_all(conn, &rows).map(|()| Vec::new())
            }
            _ => conn::write(conn, |conn| {
                external_tokens::insert_all(conn, &rows)?;
                let outcomes = changes.iter_mut().map(|change| match change.work.run(conn) {
                    // Nobody else's write is undone for it.
                    Err(error) if error.changed_nothing() => Ok(Err(error)),
                    outcome => outcome.map(Ok),
                });
                outcomes.collect()
            }),
        })?;
        if let Err(error) = self.managed.check_files() {
            // So that the file that was moved has all that was acknowledged, whatever becomes of its log.
            self.log.iter_mut().for_each(WriteAheadLog::schedule_truncate);
            return Err(error);
        }
        Ok(outcomes)
    }
}
