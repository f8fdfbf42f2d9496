//! What waits for the writer, and what of it is committed together.
//!
//! Invariant: a batch is written in lock order, and each of its callers gets one answer.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::lock_order::{LockOrder, Write};
use crate::{StoreError, backend::conn::Conn, tables::external_tokens::TokenRow};

/// What became of a write.
pub(super) type Outcome = Result<(), StoreError>;

/// What is sent to the writer's thread.
pub(super) enum Job {
    /// A new record.
    Save(Save),
    /// Any other write.
    Change(Change),
    /// Ends the thread, after what is queued.
    Close,
}

/// A new record, and the caller that waits for it.
pub(super) struct Save {
    pub(super) row: Box<TokenRow>,
    pub(super) answer: oneshot::Sender<Outcome>,
    /// Given back once it is written.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Any other write.
pub(super) struct Change {
    pub(super) write: Write,
    pub(super) work: Box<dyn Work>,
    /// Given back once it is written.
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

/// A change of rows, and the caller that waits for what it gives, whatever type that is.
pub(super) trait Work: Send {
    /// Changes rows, or says that there is nothing to change and changes nothing (`StoreError::changed_nothing`).
    /// May be called again, after what it did was rolled back.
    fn run(&mut self, conn: &mut Conn) -> Outcome;

    /// Answers the caller: with what the last run gave, if it was committed.
    fn answer(self: Box<Self>, outcome: Outcome);
}

/// The one implementation of `Work`.
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
        // A caller that went away has no use for its answer.
        let _ = self.answer.send(outcome.and(given));
    }
}

/// What is committed together.
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

    /// In lock order, followed by a batch for each write that needs a transaction of its own.
    pub(super) fn in_order(mut self) -> Vec<Self> {
        self.changes.sort_by(|one, other| one.write.order.cmp(&other.write.order));
        let is_shared = |change: &Change| change.write.order < LockOrder::OwnTransaction;
        let shared = self.changes.partition_point(is_shared);
        let alone = self.changes.split_off(shared);
        let alone =
            alone.into_iter().map(|change| Self { changes: vec![change], ..Self::default() });
        [self].into_iter().chain(alone).collect()
    }

    /// About how many bytes it adds to the write-ahead log.
    pub(super) fn size(&self) -> usize {
        let changes = self.changes.iter().map(|change| change.write.size);
        self.saves.iter().map(|save| save.row.size()).chain(changes).sum()
    }

    pub(super) fn erases(&self) -> bool {
        self.changes.iter().any(|change| change.write.erases)
    }

    /// Each write as a batch of its own, in the same order.
    pub(super) fn singles(self) -> impl Iterator<Item = Self> {
        let saves =
            self.saves.into_iter().map(|save| Self { saves: vec![save], changes: Vec::new() });
        let changes = self
            .changes
            .into_iter()
            .map(|change| Self { saves: Vec::new(), changes: vec![change] });
        saves.chain(changes)
    }

    /// Answers the callers after a commit; `outcomes` are those of the changes.
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
