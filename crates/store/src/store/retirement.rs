//! The master keys as the database knows them, and retirement.
//!
//! Invariant: a key that a record needs stays in the database, and one that was retired does not come back.

use std::sync::Arc;

use diesel::{dsl::exists, prelude::*};
use tokio::task;

use super::retry::with_retries;
use crate::{
    KeyError, Store, StoreError,
    backend::conn::{self, Conn},
    keys::keyring::{KekRow, Keyring, is_needed},
    tables::schema::{external_tokens, keks, retired_keks},
    write::lock_order::Write,
};

/// A master key as the database knows it.
#[derive(Debug)]
pub struct KekStatus {
    /// What it is called.
    pub id: String,
    /// The name of a `KeySource`.
    pub source: String,
    /// Where it is kept, for people.
    pub place: String,
    /// In microseconds since 1970 UTC.
    pub created: i64,
    /// Whether new records are sealed under it.
    pub is_active: bool,
    /// Whether its rotation waits for running servers that lack it; `created` is 0 then.
    pub is_announced: bool,
    /// How many data keys were wrapped under it, rounded up.
    pub wraps: i64,
    /// How many records are under it.
    pub records: i64,
    /// Whether this process cannot load it.
    pub is_missing: bool,
}

impl Store {
    /// Every master key of the database, the youngest first.
    pub async fn master_keys(&self) -> Result<Vec<KekStatus>, StoreError> {
        let (keyring, rows) = self.load_keyring().await?;
        let mut keys = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            keys.push(self.master_key(&keyring, row.clone(), index == 0).await?);
        }
        Ok(keys)
    }

    async fn master_key(
        &self,
        keyring: &Keyring,
        row: KekRow,
        is_active: bool,
    ) -> Result<KekStatus, StoreError> {
        let records = self.count_under(&row.id).await?;
        let place = self.0.keyring.keys.place_of(&row);
        let is_announced = row.is_announced();
        let KekRow { id, source, created, wraps, .. } = row;
        let is_missing = keyring.find(&id).is_none();
        Ok(KekStatus {
            id,
            source,
            place,
            created,
            is_active,
            is_announced,
            wraps,
            records,
            is_missing,
        })
    }

    /// How many records are under older keys.
    pub async fn records_to_move(&self) -> Result<i64, StoreError> {
        let mut records = 0;
        for kek in self.0.keyring.current().older() {
            records += self.count_under(kek.id()).await?;
        }
        Ok(records)
    }

    async fn count_under(&self, kek: &str) -> Result<i64, StoreError> {
        let kek = kek.to_owned();
        let count = move |conn: &mut Conn| {
            let under = external_tokens::table.filter(external_tokens::kek_id.eq(&kek)).count();
            // Commands ask for it, and right after a rotation it may take minutes.
            Ok(conn::limited(conn, None, |conn| under.get_result(conn))?)
        };
        self.0.readers.run(count).await
    }

    /// Lets the database forget a key that no record needs; what the key was.
    ///
    /// # Errors
    /// `Unknown`, `RetiredAlready`, `Active`, `InUse`, `Unsaved`.
    pub async fn retire_key(&self, id: &str) -> Result<KekStatus, KeyError> {
        let (keyring, rows) = self.load_keyring().await?;
        let found = rows.iter().position(|row| row.id == id);
        let Some(index) = found else {
            let is_retired = self.is_retired(id).await?;
            let refusal = if is_retired { KeyError::RetiredAlready } else { KeyError::Unknown };
            return Err(refusal(id.to_owned()));
        };
        let row = rows[index].clone();
        if index == 0 {
            return Err(KeyError::Active(row.id));
        }
        let key = self.master_key(&keyring, row, false).await?;
        if key.records > 0 {
            return Err(KeyError::InUse { id: key.id, records: key.records });
        }
        let (inner, kek) = (Arc::clone(&self.0), key.id.clone());
        let waiting = task::spawn_blocking(move || inner.unsaved.count_under(&kek)).await;
        let waiting = waiting.expect("reading files does not panic");
        if waiting > 0 {
            return Err(KeyError::Unsaved { id: key.id, tokens: waiting });
        }
        let id = key.id.clone();
        let clock = self.0.clock;
        let retire = move |conn: &mut Conn| retire(conn, &id, clock.now());
        match with_retries(|| self.0.writer.run(Write::alone().rows(1).erasing(), retire.clone()))
            .await
        {
            Ok(()) => Ok(key),
            // It was there: an attempt that was not confirmed did it, or another process.
            Err(StoreError::NotFound(_)) if self.is_retired(&key.id).await? => Ok(key),
            Err(StoreError::NotFound(_)) => Err(KeyError::Unknown(key.id)),
            Err(StoreError::Conflict(_)) => {
                let records = self.count_under(&key.id).await?;
                Err(KeyError::InUse { id: key.id, records })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a key was retired, and must not come back.
    pub(crate) async fn is_retired(&self, id: &str) -> Result<bool, StoreError> {
        let retired = retired_keks::table.find(id.to_owned());
        let is_retired =
            move |conn: &mut Conn| Ok(diesel::select(exists(retired)).get_result(conn)?);
        self.0.readers.run(is_retired).await
    }
}

/// Removes a key; `Conflict` if a record is under it. A server that is adding one holds the key's row until
/// it is done; then the record is seen here: what is read is not older than the lock (`READ COMMITTED`).
fn retire(conn: &mut Conn, id: &str, now: i64) -> Result<(), StoreError> {
    if diesel::delete(keks::table.find(id)).execute(conn)? == 0 {
        return Err(StoreError::NotFound("master key"));
    }
    if is_needed(conn, id)? {
        return Err(StoreError::Conflict("record under the key"));
    }
    let row = (retired_keks::id.eq(id), retired_keks::retired.eq(now));
    diesel::insert_into(retired_keks::table).values(row).execute(conn)?;
    Ok(())
}
