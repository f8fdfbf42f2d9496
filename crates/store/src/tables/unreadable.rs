//! Rows that this version cannot read, because another program wrote them. Queries skip them.
//!
//! Invariant: every such row is logged at most once, with its key and no other part of it.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use tracing::error;

/// The most rows remembered as logged. Beyond that, rows are not logged.
const CAPACITY: usize = 1000;

/// A global, because the log is one too.
static LOGGED: Mutex<Option<HashSet<(&'static str, String)>>> = Mutex::new(None);

/// Logs that a row of a table of `thing`s, with this key, is skipped.
pub(crate) fn log_once(thing: &'static str, key: String) {
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    let logged = logged.get_or_insert_default();
    if logged.len() >= CAPACITY || logged.contains(&(thing, key.clone())) {
        return;
    }
    error!(
        row = thing,
        ?key,
        "a row cannot be read and is left out; verifying the database lists all"
    );
    logged.insert((thing, key));
}
