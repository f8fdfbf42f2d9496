//! A call to the store failed.
//!
//! Invariant: whether others in a transaction go on is decided here, by the kind of the error alone.

use model::RecordId;

use super::Source;

/// A call to the store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Such a row exists.
    #[error("this {0} already exists")]
    Conflict(&'static str),
    /// There is no such row to change.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The idempotency key is that of another save, of the same carrier or not; never leaves the store.
    #[error("the idempotency key was used before")]
    Reserved,
    /// The idempotency key is that of another call.
    #[error("the idempotency key was used for another call")]
    OtherCall,
    /// The row of an idempotency key does not open: it was changed outside of this server.
    #[error("the row of an idempotency key is damaged")]
    DamagedIdempotencyKey,
    /// The user has as many rows as it may have; nothing was saved.
    #[error("the user has reached its quota: {0:?}")]
    QuotaReached(Quota),
    /// The writer's queue is full; nothing was saved. Trying again soon helps.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The database cannot be read or written now, or did not say in time that it was.
    #[error("the database is unavailable")]
    Unavailable(#[source] Source),
    /// The store was closed; nothing was saved.
    #[error("the store is closed")]
    Closed,
    /// The row is there but its seal does not open: it was changed outside of this server.
    #[error("record {0} is damaged")]
    Damaged(RecordId),
    /// The master key's sentinel is gone or does not open.
    #[error("the master key's sentinel does not open")]
    Sentinel,
    /// The database knows a master key that this process does not have.
    #[error(
        "this server lacks the master key {0} of the database; put it where the others are (the log \
         says where)"
    )]
    KeyMissing(String),
    /// The key that something was sealed under was retired meanwhile; nothing was saved.
    #[error("the master key {0} is retired")]
    KeyRetired(String),
    /// The active key has wrapped as often as a key may; nothing was saved.
    #[error(
        "the master key {0} has wrapped as often as it may; another must take its place (the log says why the \
         server could not do so)"
    )]
    KeyUsedUp(String),
    /// The database refused a query, or the query panicked.
    #[error("a query failed")]
    Query(#[source] Source),
}

/// A quota that a user has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// Of this number of records.
    Records(u64),
    /// Of this number of idempotency keys in 24 hours.
    IdempotencyKeys(u64),
}

impl StoreError {
    /// Whether a write found, before it changed anything, that it has nothing to change: then nothing has to
    /// be rolled back, and others in its transaction go on.
    pub(crate) fn changed_nothing(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Reserved | Self::KeyUsedUp(_))
    }

    /// Whether a row was refused by itself: others may be written, also on this connection.
    pub(crate) fn refuses_a_row(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::KeyRetired(_))
    }
}
