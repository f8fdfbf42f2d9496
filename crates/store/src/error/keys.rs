//! A change of the master keys was refused.
//!
//! Invariant: then nothing was changed.

use super::{OpenError, StoreError};

/// A change of the master keys was refused, and nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The next key cannot be made or read.
    #[error(transparent)]
    Key(#[from] OpenError),
    /// The database cannot be used, or lacks a key.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database knows the key that should be the next one.
    #[error(
        "the database knows the master key {0} already; put a new key in front of it in keys.secret, where \
         keys are in a secret, or name another file with --key"
    )]
    Known(String),
    /// The key was retired, and must not come back.
    #[error("the master key {0} was retired; put a new key in its place")]
    Retired(String),
    /// There is nothing to retire any more.
    #[error("the master key {0} was retired already")]
    RetiredAlready(String),
    /// A rotation to another key is not over.
    #[error(
        "records are still to be moved to the master key {0}; let `latchkey keys rotate` finish that \
         first"
    )]
    Unfinished(String),
    /// A running server lacks the key that was announced.
    #[error(
        "the master key {id} is not in use yet, because these running servers lack it: {}; the log of each says why \
         (is the key's file there, and can the server's user read it?); give them the key, or stop them, and run \
         `latchkey keys rotate` again; `latchkey keys retire {id}` gives the key up",
        servers.join(", ")
    )]
    Unconfirmed {
        /// The key's id.
        id: String,
        /// The servers' names.
        servers: Vec<String>,
    },
    /// The database knows no such key.
    #[error("the database knows no master key {0}; `latchkey keys status` lists them")]
    Unknown(String),
    /// New records are sealed under the key.
    #[error("the master key {0} is in use; `latchkey keys rotate` puts another in its place")]
    Active(String),
    /// Records need the key.
    #[error(
        "{records} records are still under the master key {id}; `latchkey keys rotate` moves them, and \
         names those that it cannot open"
    )]
    InUse {
        /// The key's id.
        id: String,
        /// How many.
        records: i64,
    },
}
