//! The keyring in use, which follows the database.
//!
//! Invariant: whoever finds a record under an unknown key gets a keyring that was loaded after that, however
//! many do so at once, and nobody else waits. A key in memory stays there as long as the database knows it,
//! whatever becomes of its file.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tokio::{sync::Mutex, task, time};
use tracing::{error, info};

use crate::{
    Keys, StoreError,
    keyring::{self, KekRow, Keyring},
    readers::Readers,
};

/// The least time between two loads on behalf of reads.
const PAUSE: Duration = Duration::from_millis(50);

/// The keyring, and where its keys come from.
pub(crate) struct Ring {
    pub(crate) keys: Keys,
    current: RwLock<Arc<Keyring>>,
    /// When the latest load began that came to its end. Held while one is under way.
    loaded: Mutex<Option<Instant>>,
    /// Held while wraps are being counted, so that one call does it for all.
    pub(crate) counting: Mutex<()>,
}

impl Ring {
    pub(crate) fn new(keys: Keys, keyring: Keyring) -> Self {
        let current = RwLock::new(Arc::new(keyring));
        Self { keys, current, loaded: Mutex::default(), counting: Mutex::default() }
    }

    /// What is known now, without asking anybody.
    pub(crate) fn current(&self) -> Arc<Keyring> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the database has now, and the rows of its keys.
    pub(crate) async fn load(
        &self,
        readers: &Readers,
    ) -> Result<(Arc<Keyring>, Vec<KekRow>), StoreError> {
        let mut loaded = self.loaded.lock().await;
        self.load_alone(&mut loaded, readers).await
    }

    /// What the database had at some time since `seen`.
    pub(crate) async fn load_since(
        &self,
        seen: Instant,
        readers: &Readers,
    ) -> Result<Arc<Keyring>, StoreError> {
        let mut loaded = self.loaded.lock().await;
        if let Some(last) = *loaded {
            if last > seen {
                return Ok(self.current());
            }
            time::sleep(PAUSE.saturating_sub(last.elapsed())).await;
        }
        Ok(self.load_alone(&mut loaded, readers).await?.0)
    }

    async fn load_alone(
        &self,
        loaded: &mut Option<Instant>,
        readers: &Readers,
    ) -> Result<(Arc<Keyring>, Vec<KekRow>), StoreError> {
        let begun = Instant::now();
        let rows = readers.run(keyring::rows).await?;
        let before = self.current();
        if rows.is_empty() || before.is_of(&rows) {
            *loaded = Some(begun);
            return Ok((before, rows));
        }
        // A hardware module may take its time.
        let (known, keys) = (Arc::clone(&before), self.keys.clone());
        let follow = task::spawn_blocking(move || (known.follow(&keys, &rows), rows));
        let (after, rows) = follow.await.map_err(|error| StoreError::Query(Arc::new(error)))?;
        let after = Arc::new(after);
        for missing in after.missing() {
            if before.missing().iter().all(|known| known.id != missing.id) {
                error!(kek.id = missing.id, error = missing.told, "a master key is missing here");
            }
        }
        if before.active().id() != after.active().id() {
            info!(kek.id = after.active().id(), "sealing under this master key from now on");
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&after);
        // Not before: whoever waits for this may be cancelled anywhere, and then the next one must load.
        *loaded = Some(begun);
        Ok((after, rows))
    }
}
