//! Queued writes, and the batches that they are committed in.
//!
//! Invariant: every batch is written in lock order, and each of its callers gets exactly one answer.

use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::lock_order::{LockOrder, Write};
use crate::{StoreError, backend::conn::Conn, tables::external_tokens::TokenRow};

/// Outcome of a write.
pub(super) type Outcome = Result<(), StoreError>;

/// A message to the writer's thread.
pub(super) enum Job {
    /// A new record.
    Save(Save),
    /// Any other write.
    Change(Change),
    /// Ends the thread after the queued jobs.
    Close,
}

impl Job {
    /// Returns when a write was queued.
    pub(super) fn queued(&self) -> Option<Instant> {
        match self {
            Self::Save(save) => Some(save.queued),
            Self::Change(change) => Some(change.queued),
            Self::Close => None,
        }
    }
}

/// A new record, and the caller that waits for it.
pub(super) struct Save {
    pub(super) row: Box<TokenRow>,
    pub(super) answer: oneshot::Sender<Outcome>,
    pub(super) queued: Instant,
    /// Released after the write.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Any other write.
pub(super) struct Change {
    pub(super) write: Write,
    pub(super) work: Box<dyn Work>,
    pub(super) queued: Instant,
    /// Released after the write.
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

/// A change of rows, and the caller that waits for its result. Hides the type of the result.
pub(super) trait Work: Send {
    /// Changes rows. Returns an error with `StoreError::changed_nothing` if there is nothing to change. May be called
    /// again after a rollback.
    fn run(&mut self, conn: &mut Conn) -> Outcome;

    /// Answers the caller, with the result of the last run if it was committed.
    fn answer(self: Box<Self>, outcome: Outcome);
}

/// The only implementation of `Work`.
pub(super) struct Pending<T, F> {
    change: F,
    given: Option<T>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Pending<T, F> {
    pub(super) fn new(change: F, answer: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { change, given: None, answer }
    }
}

impl<T, F> Work for Pending<T, F>
where
    T: Send,
    F: FnMut(&mut Conn) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, conn: &mut Conn) -> Outcome {
        self.given = None;
        self.given = Some((self.change)(conn)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Outcome) {
        let given = self.given.ok_or(StoreError::Closed);
        // The caller may have gone away.
        let _ = self.answer.send(outcome.and(given));
    }
}

/// Writes that are committed together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) saves: Vec<Save>,
    pub(super) changes: Vec<Change>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.saves.len() + self.changes.len()
    }

    pub(super) fn add(&mut self, job: Job) {
        match job {
            Job::Save(save) => self.saves.push(save),
            Job::Change(change) => self.changes.push(change),
            Job::Close => {}
        }
    }

    /// Sorts the batch into lock order, followed by a batch for each write that needs its own transaction.
    pub(super) fn in_order(mut self) -> Vec<Self> {
        self.changes.sort_by(|one, other| one.write.order.cmp(&other.write.order));
        let is_shared = |change: &Change| change.write.order < LockOrder::OwnTransaction;
        let shared = self.changes.partition_point(is_shared);
        let alone = self.changes.split_off(shared);
        let alone =
            alone.into_iter().map(|change| Self { changes: vec![change], ..Self::default() });
        [self].into_iter().chain(alone).collect()
    }

    /// Returns roughly how many bytes the batch adds to the write-ahead log.
    pub(super) fn size(&self) -> usize {
        let changes = self.changes.iter().map(|change| change.write.size);
        self.saves.iter().map(|save| save.row.size()).chain(changes).sum()
    }

    pub(super) fn erases(&self) -> bool {
        self.changes.iter().any(|change| change.write.erases)
    }

    /// Splits the batch into one batch for each write, in the same order.
    pub(super) fn singles(self) -> impl Iterator<Item = Self> {
        let saves =
            self.saves.into_iter().map(|save| Self { saves: vec![save], changes: Vec::new() });
        let changes = self
            .changes
            .into_iter()
            .map(|change| Self { saves: Vec::new(), changes: vec![change] });
        saves.chain(changes)
    }

    /// Answers the callers after a commit. `outcomes` are those of the changes.
    pub(super) fn answer(self, outcomes: Vec<Outcome>) {
        for save in self.saves {
            let _ = save.answer.send(Ok(()));
        }
        for (change, outcome) in self.changes.into_iter().zip(outcomes) {
            change.work.answer(outcome);
        }
    }

    /// Answers all callers with an error.
    pub(super) fn refuse(self, error: &StoreError) {
        for save in self.saves {
            let _ = save.answer.send(Err(error.clone()));
        }
        for change in self.changes {
            change.work.answer(Err(error.clone()));
        }
    }
}
