//! The database's master keys, and their retirement.
//!
//! Invariant: every key that a record needs stays in the database. A retired key never comes back.

use std::sync::Arc;

use diesel::{dsl::exists, prelude::*};
use tokio::task;

use super::{audit, retry::with_retries};
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
    /// The key's id.
    pub id: String,
    /// The name of a `KeySource`.
    pub source: String,
    /// The place where the key is kept, for people.
    pub place: String,
    /// Time of creation, in microseconds since 1970 UTC.
    pub created: i64,
    /// Whether new records are sealed under it.
    pub is_active: bool,
    /// Whether its rotation waits for running servers that lack it. `created` is 0 then.
    pub is_announced: bool,
    /// Number of data keys wrapped under it, rounded up.
    pub wraps: i64,
    /// Number of records under it.
    pub records: i64,
    /// Whether this process cannot load it.
    pub is_missing: bool,
}

impl Store {
    /// Returns every master key of the database, newest first.
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

    /// Counts the records under older keys.
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
            // No time limit: commands ask for this, and after a rotation it may take minutes.
            Ok(conn::limited(conn, None, |conn| under.get_result(conn))?)
        };
        self.0.readers.run(count).await
    }

    /// Removes a key that no record needs from the database, and returns its last status.
    ///
    /// # Errors
    /// - `Unknown`: the database has no such key.
    /// - `RetiredAlready`: it was retired before.
    /// - `Active`: new records are sealed under it.
    /// - `InUse`: records are under it.
    /// - `Unsaved`: tokens that wait in files are under it.
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
        let retire = move |conn: &mut Conn| retire(conn, &keyring, &id, clock.now());
        match with_retries(|| self.0.writer.run(Write::alone().rows(1).erasing(), retire.clone()))
            .await
        {
            Ok(()) => Ok(key),
            // An unconfirmed earlier attempt, or another process, retired it.
            Err(StoreError::NotFound(_)) if self.is_retired(&key.id).await? => Ok(key),
            Err(StoreError::NotFound(_)) => Err(KeyError::Unknown(key.id)),
            Err(StoreError::Conflict(_)) => {
                let records = self.count_under(&key.id).await?;
                Err(KeyError::InUse { id: key.id, records })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns whether a key was retired, and so must not come back.
    pub(crate) async fn is_retired(&self, id: &str) -> Result<bool, StoreError> {
        let retired = retired_keks::table.find(id.to_owned());
        let is_retired =
            move |conn: &mut Conn| Ok(diesel::select(exists(retired)).get_result(conn)?);
        self.0.readers.run(is_retired).await
    }
}

/// Removes a key; `Conflict` if a record is under it. A server that adds a record holds the key's row until it commits.
/// The check here runs after that lock and sees the record, because the isolation level is `READ COMMITTED`.
fn retire(conn: &mut Conn, keyring: &Keyring, id: &str, now: i64) -> Result<(), StoreError> {
    if diesel::delete(keks::table.find(id)).execute(conn)? == 0 {
        return Err(StoreError::NotFound("master key"));
    }
    if is_needed(conn, id)? {
        return Err(StoreError::Conflict("record under the key"));
    }
    audit::keep_keys(conn, keyring, id)?;
    let row = (retired_keks::id.eq(id), retired_keks::retired.eq(now));
    diesel::insert_into(retired_keks::table).values(row).execute(conn)?;
    Ok(())
}
