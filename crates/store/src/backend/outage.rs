//! Log lines about outages of the database.
//!
//! Invariant: every outage logs exactly one line when it begins and one when it ends, however many calls it fails.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::{error, info};

use crate::{StoreError, error::error_chain};

/// How long no call may fail before an outage ends. One connection may work while another does not.
const SETTLED: Duration = Duration::from_secs(1);

/// The kind of a call. On a full disk, a database can be read but not written.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Read,
    Write,
}

/// State of the database as callers see it.
pub(crate) struct Outage {
    is_on: AtomicBool,
    state: Mutex<State>,
}

struct State {
    begun: Option<Instant>,
    /// End of the last outage, or start of the process.
    over: Instant,
    refused: u64,
    /// Last failed read and write; `None` if one succeeded since.
    failed: [Option<Instant>; 2],
}

impl Default for Outage {
    fn default() -> Self {
        Self { is_on: AtomicBool::default(), state: Mutex::new(State::new()) }
    }
}

impl State {
    fn new() -> Self {
        Self { begun: None, over: Instant::now(), refused: 0, failed: [None; 2] }
    }
}

impl Outage {
    /// Returns how long the database has worked, or `None` during an outage.
    pub(crate) fn time_since(&self) -> Option<Duration> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.begun.is_none().then(|| state.over.elapsed())
    }

    /// Returns whether an outage lasts.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Records the outcome of a call.
    pub(crate) fn watch<T>(
        &self,
        access: Access,
        outcome: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &outcome {
            // `database_file` logs that the file was replaced.
            Err(error) if error.is_of_another_file() => {}
            Err(StoreError::Unavailable(cause)) => self.failed(access, &**cause),
            Ok(_) if self.is_on.load(Ordering::Relaxed) => self.worked(access),
            _ => {}
        }
        outcome
    }

    fn failed(&self, access: Access, cause: &(dyn std::error::Error + Send + Sync)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.begun.is_none() {
            state.begun = Some(now);
            self.is_on.store(true, Ordering::Relaxed);
            error!(error = error_chain(cause), "the database is unavailable: calls are refused");
        }
        state.refused += 1;
        state.failed[access as usize] = Some(now);
    }

    fn worked(&self, access: Access) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(begun) = state.begun else { return };
        let failed = &mut state.failed[access as usize];
        if failed.is_some_and(|failed| failed.elapsed() >= SETTLED) {
            *failed = None;
        }
        if state.failed.iter().all(Option::is_none) {
            let (seconds, refused) = (begun.elapsed().as_secs(), state.refused);
            info!(seconds, refused, "the database is back");
            *state = State::new();
            self.is_on.store(false, Ordering::Relaxed);
        }
    }
}
