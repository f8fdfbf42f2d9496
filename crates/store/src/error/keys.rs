//! Errors of changes of the master keys.
//!
//! Invariant: an error means that nothing was changed.

use super::{OpenError, StoreError};

/// A change of the master keys was rejected; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The next key cannot be made or read.
    #[error(transparent)]
    Key(#[from] OpenError),
    /// The database cannot be used, or lacks a key.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key meant to be next is already in the database.
    #[error("the database knows the master key {0} already")]
    Known(String),
    /// The key was retired, and must not come back.
    #[error("the master key {0} was retired; put a new key in its place")]
    Retired(String),
    /// The key was retired before.
    #[error("the master key {0} was retired already")]
    RetiredAlready(String),
    /// A rotation to another key is not finished.
    #[error("records are still to be moved to the master key {0}")]
    Unfinished(String),
    /// A running server lacks the announced key.
    #[error("the master key {id} is not in use yet, because these running servers lack it: {}",
        servers.join(", ")
    )]
    Unconfirmed {
        /// The key's id.
        id: String,
        /// The servers' names.
        servers: Vec<String>,
    },
    /// The database knows no such key.
    #[error("the database knows no master key {0}")]
    Unknown(String),
    /// New records are sealed under the key.
    #[error("the master key {0} is in use")]
    Active(String),
    /// Records need the key.
    #[error("{records} records are still under the master key {id}")]
    InUse {
        /// The key's id.
        id: String,
        /// Number of records.
        records: i64,
    },
    /// New tokens that wait in files need the key.
    #[error("{tokens} new tokens that wait for the database are under the master key {id}")]
    Unsaved {
        /// The key's id.
        id: String,
        /// Number of waiting tokens.
        tokens: usize,
    },
}
