//! The keyring in use, which follows the database.
//!
//! Invariant: every caller that finds a record under an unknown key gets a keyring that was loaded afterwards. Such
//! callers share a load, and no other caller waits. A key in memory stays there as long as the database knows it, even
//! if its file is gone.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, task};
use tracing::{error, info};

use super::keyring::{KekRow, Keyring};
use crate::{KekSources, SingleFlight, StoreError};

/// The most callers that may wait for a load.
const WAITING: usize = 1 << 16;

/// The keyring, and the sources of its keys.
pub(crate) struct LiveKeyring {
    pub(crate) keys: KekSources,
    current: RwLock<Arc<Keyring>>,
    loads: SingleFlight<Result<Loaded, StoreError>>,
    /// Held while wraps are counted, so that one call counts for all.
    pub(crate) counting: Mutex<()>,
}

/// A keyring, and the rows of its keys.
pub(crate) type Loaded = (Arc<Keyring>, Arc<[KekRow]>);

impl LiveKeyring {
    pub(crate) fn new(keys: KekSources, keyring: Keyring) -> Self {
        let current = RwLock::new(Arc::new(keyring));
        Self { keys, current, loads: SingleFlight::new(WAITING), counting: Mutex::default() }
    }

    /// Returns the current keyring without any I/O.
    pub(crate) fn current(&self) -> Arc<Keyring> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the outcome of a load that began after `seen`, shared with other callers. Loads begin at least `pause`
    /// apart.
    pub(crate) async fn share<F>(
        &self,
        seen: Instant,
        pause: Duration,
        load: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Loaded, StoreError>
    where
        F: Future<Output = Result<Loaded, StoreError>> + Send + 'static,
    {
        self.loads.since(seen, pause, load).await.unwrap_or(Err(StoreError::Overloaded))
    }

    /// Loads the keys of the database's rows, and replaces the current keyring. A hardware module may be slow.
    pub(crate) async fn follow(&self, rows: Vec<KekRow>) -> Result<Loaded, StoreError> {
        let before = self.current();
        if rows.is_empty() || before.is_of(&rows) {
            return Ok((before, rows.into()));
        }
        let (known, keys) = (Arc::clone(&before), self.keys.clone());
        let follow = task::spawn_blocking(move || (known.follow(&keys, &rows), rows));
        let (after, rows) = follow.await.map_err(|error| StoreError::Query(Arc::new(error)))?;
        let after = Arc::new(after);
        for missing in after.all_missing() {
            if before.all_missing().iter().all(|known| known.id != missing.id) {
                error!(kek.id = missing.id, error = missing.reason, "a master key is missing here");
            }
        }
        if before.active().id() != after.active().id() {
            info!(kek.id = after.active().id(), "sealing under this master key from now on");
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&after);
        Ok((after, rows.into()))
    }
}
