//! Errors, one enum for each kind of work: opening (`OpenError`), serving (`StoreError`), changing master keys
//! (`KeyError`), copying (`CopyError`).
//!
//! Invariant: no message contains a value of a row.

mod copy;
mod keys;
mod open;
mod store;

use std::{error::Error, sync::Arc};

pub use self::{
    copy::CopyError,
    keys::KeyError,
    open::OpenError,
    store::{Quota, StoreError},
};

/// The underlying error. Shared, because one failed commit fails every caller whose write is in it.
pub(crate) type Source = Arc<dyn Error + Send + Sync>;

/// Formats an error and its causes, each after a colon.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain = format!("{chain}: {error}");
        cause = error.source();
    }
    chain
}

/// The source of an error that is a panic. The panic's message goes to the panic hook.
#[derive(Debug, thiserror::Error)]
#[error("it panicked")]
pub(crate) struct Panicked;
