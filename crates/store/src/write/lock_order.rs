//! What a write locks, and in which order.
//!
//! Invariant: every server takes its locks in the order of `LockOrder`, so that no two servers wait for each other.

use model::{Login, TenantId};

use crate::backend::conn::PAGE_SIZE;

/// What a write locks for as long as its transaction takes, if a write of another server may wait for it. The order
/// is that of the variants, and of what is in them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LockOrder {
    /// Nothing: it only adds rows, or only commands do it.
    Nothing,
    /// The row of a master key.
    Kek(String),
    /// A user, by tenant and login.
    User(String, String),
    /// A credential, by its id.
    Credential(String),
    /// An idempotency key, by its digest.
    IdempotencyKey([u8; 32]),
    /// A record, by its id, and its grant.
    Record(i64),
    /// The pause of a client of a provider, by the client's digest.
    ProviderPause([u8; 32]),
    /// An authorization code, by its digest.
    Exchange([u8; 32]),
    /// Several rows, in the order of their keys, in a transaction that has nothing else.
    OwnTransaction,
}

impl LockOrder {
    /// A user.
    pub(crate) fn user(tenant: &TenantId, login: &Login) -> Self {
        Self::User(tenant.as_str().to_owned(), login.as_str().to_owned())
    }
}

/// What the writer must know of a write beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(super) order: LockOrder,
    /// Whether what it takes away must be gone from the write-ahead log soon afterwards.
    pub(super) erases: bool,
    /// About how many bytes it adds to the write-ahead log, if those are many.
    pub(super) size: usize,
}

impl Write {
    /// A small write that locks this.
    pub(crate) fn of(order: LockOrder) -> Self {
        Self { order, erases: false, size: 0 }
    }

    /// A write in a transaction of its own.
    pub(crate) fn alone() -> Self {
        Self::of(LockOrder::OwnTransaction)
    }

    /// It changes rows in this many places; each writes a page.
    pub(crate) fn rows(self, count: usize) -> Self {
        Self { size: count * PAGE_SIZE as usize, ..self }
    }

    /// It takes secrets away.
    pub(crate) fn erasing(self) -> Self {
        Self { erases: true, ..self }
    }
}
