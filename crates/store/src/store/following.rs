//! Following the master keys of the database: what saves and gets do about keys that come and go, and the
//! count of wraps.
//!
//! Invariant: that another process rotated or retired a key fails neither a save nor a get.

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

/// How often a save is sealed, the first time included, if its key is retired meanwhile.
const SEAL_ATTEMPTS: usize = 4;

/// The least time between two loads on behalf of reads.
const PAUSE: Duration = Duration::from_millis(50);

impl Store {
    /// The keyring that the database has now, and the rows of its keys.
    pub(crate) async fn load_keyring(&self) -> Result<Loaded, StoreError> {
        self.share_load(Instant::now(), Duration::ZERO).await
    }

    /// The keyring that the database had at some time since `seen`.
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

    /// Follows the database's master keys, says which of them this server has, puts the next one in use once every
    /// running server has it, and has wraps counted ahead. A server does so once a second. How often the database's
    /// active key has wrapped; `None` if this server lacks it.
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
                // Another key is due; until then saves are told so.
                Err(StoreError::KeyUsedUp(_)) => {}
                counted => counted?,
            }
        }
        let active = rows.first().filter(|row| row.id == keyring.active().id());
        Ok(active.map(|row| row.wraps))
    }

    /// Looks whether the database's file is still in its place, and whether there is room again.
    fn check_file(&self) -> Result<(), StoreError> {
        let Some(database_file) = &self.0.database_file else { return Ok(()) };
        database_file.check()?;
        if database_file.no_room().is_some() && self.0.readers.is_room(&database_file.database()) {
            database_file.set_room();
        }
        Ok(())
    }

    /// The key that new records are sealed under, if there are older ones.
    pub fn rewrap_target(&self) -> Option<String> {
        let keyring = self.0.keyring.current();
        keyring.older().next().map(|_older| keyring.active().id().to_owned())
    }

    /// The keyring, whose active key may be used for so many wraps.
    ///
    /// # Errors
    /// `KeyMissing` if that key was retired, and this process lacks the new one; `KeyUsedUp` if it may wrap no
    /// more.
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
                // Another server may have put another in its place.
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

    /// Leaves the key that something was to be sealed under, so that it can be sealed again, if that key was retired
    /// meanwhile. `tries` counts how often it was.
    ///
    /// # Errors
    /// Any other error, and the same one too often.
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

    /// The row that a read found, and a keyring that has its key. If the key is unknown, another process may
    /// have made it, or have moved the record since; then `again`, which reads it again, is awaited.
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
