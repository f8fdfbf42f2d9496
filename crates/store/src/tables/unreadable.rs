//! Rows that this version cannot read: they were written by something else. They are left out of what is found.
//!
//! Invariant: each is logged once, with its key and nothing else of it.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use tracing::error;

/// How many rows are remembered as logged; past that they are not logged.
const CAPACITY: usize = 1000;

/// A global, because the log is one too.
static LOGGED: Mutex<Option<HashSet<(&'static str, String)>>> = Mutex::new(None);

/// Logs that the row of this key, of a table that holds `thing`s, is left out.
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
