//! Following the database's master keys: how saves and gets handle keys that come and go, and the count of wraps.
//!
//! Invariant: no save or get fails because another process rotated or retired a key.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::prelude::*;

use crate::{
    Store, StoreError,
    backend::conn::Conn,
    keys::{
        keyring::{self, Keyring},
        live::Loaded,
        wrap_budget::{BLOCK, MOST},
    },
    tables::{external_tokens::TokenRow, schema::keks},
    write::lock_order::{LockOrder, Write},
};

/// Attempts to seal a save, including the first, if its key is retired meanwhile.
const SEAL_ATTEMPTS: usize = 4;

/// The minimum time between two loads of the keyring for reads.
const PAUSE: Duration = Duration::from_millis(50);

impl Store {
    /// Loads the keyring from the database, with the rows of its keys.
    pub(crate) async fn load_keyring(&self) -> Result<Loaded, StoreError> {
        self.share_load(Instant::now(), Duration::ZERO).await
    }

    /// Returns a keyring that was loaded after `seen`.
    pub(crate) async fn load_keyring_since(
        &self,
        seen: Instant,
    ) -> Result<Arc<Keyring>, StoreError> {
        Ok(self.share_load(seen, PAUSE).await?.0)
    }

    async fn share_load(&self, seen: Instant, pause: Duration) -> Result<Loaded, StoreError> {
        let store = self.clone();
        let load = move || async move {
            let rows = store.0.readers.run(keyring::rows).await?;
            store.0.keyring.follow(rows).await
        };
        self.0.keyring.share(seen, pause, load).await
    }

    /// Keeps this server in step with the database's master keys. A server calls it once a second. It:
    ///
    /// - reports which keys this server has,
    /// - activates an announced key once every running server has it,
    /// - reserves wraps in advance.
    ///
    /// Returns the wrap count of the database's active key, or `None` if this server lacks that key.
    pub async fn tend_keys(&self) -> Result<Option<i64>, StoreError> {
        self.check_file()?;
        let (keyring, rows) = self.load_keyring().await?;
        self.report_keys(&keyring).await?;
        if let Some(announced) = rows.iter().find(|row| row.is_announced())
            && self.servers_without(&announced.id, &keyring).await?.is_empty()
        {
            self.put_in_use(&announced.id, &keyring).await?;
        }
        if let Some(count) = keyring.wraps().due() {
            match self.count_wraps(&keyring, count).await {
                // The key must be rotated. Until then saves get this error.
                Err(StoreError::KeyUsedUp(_)) => {}
                counted => counted?,
            }
        }
        let active = rows.first().filter(|row| row.id == keyring.active().id());
        Ok(active.map(|row| row.wraps))
    }

    /// Checks that the database's file is still in its place, and whether the disk has room again.
    fn check_file(&self) -> Result<(), StoreError> {
        let Some(database_file) = &self.0.database_file else { return Ok(()) };
        database_file.check()?;
        if database_file.no_room().is_some() && self.0.readers.is_room(&database_file.database()) {
            database_file.set_room();
        }
        Ok(())
    }

    /// Returns the key that records are to be re-wrapped under, if older keys exist.
    pub fn rewrap_target(&self) -> Option<String> {
        let keyring = self.0.keyring.current();
        keyring.older().next().map(|_older| keyring.active().id().to_owned())
    }

    /// Returns a keyring whose active key has `count` wraps reserved.
    ///
    /// # Errors
    /// - `KeyMissing`: the active key was retired, and this process lacks the new one.
    /// - `KeyUsedUp`: the active key has reached its limit of wraps.
    pub(crate) async fn keyring_to_wrap(&self, count: i64) -> Result<Arc<Keyring>, StoreError> {
        loop {
            let keyring = self.0.keyring.current();
            if keyring.wraps().take(count) {
                return Ok(keyring);
            }
            let _counting = self.0.keyring.counting.lock().await;
            if keyring.wraps().take(count) {
                return Ok(keyring);
            }
            match self.count_wraps(&keyring, BLOCK.max(count)).await {
                Err(StoreError::KeyRetired(id)) => self.leave_key(&id).await?,
                // Another server may have rotated the key.
                Err(StoreError::KeyUsedUp(id)) => {
                    let now = self.load_keyring_since(Instant::now()).await?;
                    if now.active().id() == id {
                        return Err(StoreError::KeyUsedUp(id));
                    }
                }
                counted => counted?,
            }
        }
    }

    /// After `KeyRetired`, loads the new active key, so that the caller can seal again. `tries` counts the attempts.
    ///
    /// # Errors
    /// Any other error, and `KeyRetired` after the last attempt.
    pub(super) async fn leave_retired(
        &self,
        error: StoreError,
        tries: &mut usize,
    ) -> Result<(), StoreError> {
        *tries += 1;
        match error {
            StoreError::KeyRetired(id) if *tries < SEAL_ATTEMPTS => self.leave_key(&id).await,
            other => Err(other),
        }
    }

    pub(super) async fn leave_key(&self, id: &str) -> Result<(), StoreError> {
        let keyring = self.load_keyring_since(Instant::now()).await?;
        match keyring.missing().next() {
            Some(missing) if keyring.active().id() == id => {
                Err(StoreError::KeyMissing(missing.id.clone()))
            }
            _ if keyring.active().id() == id => Err(StoreError::Sentinel),
            _ => Ok(()),
        }
    }

    async fn count_wraps(&self, keyring: &Keyring, count: i64) -> Result<(), StoreError> {
        let id = keyring.active().id().to_owned();
        let work = move |conn: &mut Conn| {
            let row = keks::table.find(&id).filter(keks::wraps.le(MOST - count));
            if diesel::update(row).set(keks::wraps.eq(keks::wraps + count)).execute(conn)? > 0 {
                return Ok(());
            }
            Err(match keks::table.find(&id).select(keks::wraps).first::<i64>(conn).optional()? {
                Some(_) => StoreError::KeyUsedUp(id.clone()),
                None => StoreError::KeyRetired(id.clone()),
            })
        };
        let order = LockOrder::Kek(keyring.active().id().to_owned());
        self.0.writer.run(Write::of(order), work).await?;
        keyring.wraps().add(count);
        Ok(())
    }

    /// Returns the row with a keyring that has its key. If the key is unknown, another process may have made it, or
    /// moved the record meanwhile. Then the row is read once more through `again`.
    pub(crate) async fn with_its_key(
        &self,
        found: Option<TokenRow>,
        again: impl Future<Output = Result<Option<TokenRow>, StoreError>>,
    ) -> Result<(Option<TokenRow>, Arc<Keyring>), StoreError> {
        let keyring = self.0.keyring.current();
        let needs_no_other =
            |row: &TokenRow| !row.lives(self.0.clock.now()) || keyring.find(row.kek_id()).is_some();
        if found.as_ref().is_none_or(needs_no_other) {
            return Ok((found, keyring));
        }
        let found = again.await?;
        let keyring = self.load_keyring_since(Instant::now()).await?;
        match found.as_ref().and_then(|row| keyring.missing().find(|key| key.id == row.kek_id())) {
            Some(missing) => Err(StoreError::KeyMissing(missing.id.clone())),
            None => Ok((found, keyring)),
        }
    }
}
