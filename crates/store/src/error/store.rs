//! Errors of calls to the store.
//!
//! Invariant: the kind of an error alone decides whether the other writes of its transaction go on.

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
    /// The idempotency key belongs to another save, of the same carrier or not. Never leaves the store.
    #[error("the idempotency key was used before")]
    Reserved,
    /// The idempotency key belongs to another call.
    #[error("the idempotency key was used for another call")]
    OtherCall,
    /// The row of an idempotency key does not open, because it was changed outside of this server.
    #[error("the row of an idempotency key is damaged")]
    DamagedIdempotencyKey,
    /// The user has reached its quota; nothing was saved.
    #[error("the user has reached its quota: {0:?}")]
    QuotaReached(Quota),
    /// The writer's queue is full; nothing was saved. A retry after a short wait may succeed.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The database cannot be read or written at the moment, or did not confirm a write in time.
    #[error("the database is unavailable")]
    Unavailable(#[source] Source),
    /// The store was closed; nothing was saved.
    #[error("the store is closed")]
    Closed,
    /// The record exists but its seal does not open, because it was changed outside of this server.
    #[error("record {0} is damaged")]
    Damaged(RecordId),
    /// The master key's sentinel is missing or does not open.
    #[error("the master key's sentinel does not open")]
    Sentinel,
    /// The database knows a master key that this process lacks.
    #[error(
        "this server lacks the master key {0} of the database; put it where the others are (the log \
         says where)"
    )]
    KeyMissing(String),
    /// The key used for sealing was retired meanwhile; nothing was saved.
    #[error("the master key {0} is retired")]
    KeyRetired(String),
    /// The active key has reached its limit of wraps; nothing was saved.
    #[error(
        "the master key {0} has wrapped as often as it may; another must take its place (the log says why the \
         server could not do so)"
    )]
    KeyUsedUp(String),
    /// A server's own backup was not made, or not proved.
    #[error("the database was not backed up")]
    NotBackedUp(#[source] Source),
    /// The database rejected a query, or the query panicked.
    #[error("a query failed")]
    Query(#[source] Source),
}

/// A quota that a user has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    /// A quota of this many records.
    Records(u64),
    /// A quota of this many idempotency keys in 24 hours.
    IdempotencyKeys(u64),
}

impl StoreError {
    /// Returns whether the write failed before it changed anything. Then nothing is rolled back, and the other writes
    /// of its transaction go on.
    pub(crate) fn changed_nothing(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Reserved | Self::KeyUsedUp(_))
    }

    /// Returns whether the database rejected this row only. Other rows may be written, also on this connection.
    pub(crate) fn refuses_a_row(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::KeyRetired(_))
    }
}
