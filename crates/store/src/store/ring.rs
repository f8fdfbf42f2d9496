//! The keyring in use, which follows the database.
//!
//! Invariant: whoever finds a record under an unknown key gets a keyring that was loaded after that, however
//! many do so at once, and nobody else waits. A key in memory stays there as long as the database knows it,
//! whatever becomes of its file.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, task};
use tracing::{error, info};

use crate::{
    Keys, SingleFlight, Store, StoreError,
    keys::keyring::{self, KekRow, Keyring},
};

/// The least time between two loads on behalf of reads.
const PAUSE: Duration = Duration::from_millis(50);
/// How many callers may wait for a load.
const WAITING: usize = 1 << 16;

/// The keyring, and where its keys come from.
pub(crate) struct Ring {
    pub(crate) keys: Keys,
    current: RwLock<Arc<Keyring>>,
    loads: SingleFlight<Result<Loaded, StoreError>>,
    /// Held while wraps are being counted, so that one call does it for all.
    pub(crate) counting: Mutex<()>,
}

/// A keyring, and the rows of its keys.
type Loaded = (Arc<Keyring>, Arc<[KekRow]>);

impl Ring {
    pub(crate) fn new(keys: Keys, keyring: Keyring) -> Self {
        let current = RwLock::new(Arc::new(keyring));
        Self { keys, current, loads: SingleFlight::new(WAITING), counting: Mutex::default() }
    }

    /// What is known now, without asking anybody.
    pub(crate) fn current(&self) -> Arc<Keyring> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store {
    /// What the database has now, and the rows of its keys.
    pub(crate) async fn load_keyring(&self) -> Result<Loaded, StoreError> {
        self.share_load(Instant::now(), Duration::ZERO).await
    }

    /// What the database had at some time since `seen`.
    pub(crate) async fn load_keyring_since(
        &self,
        seen: Instant,
    ) -> Result<Arc<Keyring>, StoreError> {
        Ok(self.share_load(seen, PAUSE).await?.0)
    }

    async fn share_load(&self, seen: Instant, pause: Duration) -> Result<Loaded, StoreError> {
        let store = self.clone();
        let load = move || async move { store.load_keyring_alone().await };
        self.0.ring.loads.since(seen, pause, load).await.unwrap_or(Err(StoreError::Overloaded))
    }

    async fn load_keyring_alone(&self) -> Result<Loaded, StoreError> {
        let rows = self.0.readers.run(keyring::rows).await?;
        let before = self.0.ring.current();
        if rows.is_empty() || before.is_of(&rows) {
            return Ok((before, rows.into()));
        }
        // A hardware module may take its time.
        let (known, keys) = (Arc::clone(&before), self.0.ring.keys.clone());
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
        let current = &self.0.ring.current;
        *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&after);
        Ok((after, rows.into()))
    }
}
