//! Locks of a write, and their order.
//!
//! Invariant: every server takes its locks in the order of `LockOrder`, so that no two servers wait for each other.

use model::{Login, TenantId};

use crate::backend::conn::PAGE_SIZE;

/// The lock that a write holds during its transaction, if another server's write may wait for it. Locks are ordered by
/// variant, then by content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LockOrder {
    /// No such lock: the write only inserts rows, or only commands do it.
    Nothing,
    /// The row of a master key.
    Kek(String),
    /// A user, by tenant and login.
    User(String, String),
    /// A credential, by id.
    Credential(String),
    /// An idempotency key, by digest.
    IdempotencyKey([u8; 32]),
    /// A record with its grant, by id.
    Record(i64),
    /// The pause of a provider's client, by the client's digest.
    ProviderPause([u8; 32]),
    /// An authorization code, by digest.
    Exchange([u8; 32]),
    /// Several rows in key order, in a transaction of its own.
    OwnTransaction,
}

impl LockOrder {
    /// Returns the lock of a user.
    pub(crate) fn user(tenant: &TenantId, login: &Login) -> Self {
        Self::User(tenant.as_str().to_owned(), login.as_str().to_owned())
    }
}

/// Properties of a write that the writer needs before it runs.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(super) order: LockOrder,
    /// Whether the data that it erases must leave the write-ahead log soon.
    pub(super) erases: bool,
    /// Roughly how many bytes it adds to the write-ahead log, if that is many.
    pub(super) size: usize,
}

impl Write {
    /// A small write that takes this lock.
    pub(crate) fn of(order: LockOrder) -> Self {
        Self { order, erases: false, size: 0 }
    }

    /// A write in a transaction of its own.
    pub(crate) fn alone() -> Self {
        Self::of(LockOrder::OwnTransaction)
    }

    /// Sets the number of rows that it changes; each writes a page.
    pub(crate) fn rows(self, count: usize) -> Self {
        Self { size: count * PAGE_SIZE as usize, ..self }
    }

    /// Marks the write as one that erases secrets.
    pub(crate) fn erasing(self) -> Self {
        Self { erases: true, ..self }
    }
}
