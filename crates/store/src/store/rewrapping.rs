//! Re-wrapping of records from older master keys to the active one.
//!
//! Invariant: any number of processes may re-wrap at once, and each may be stopped at any time.

use std::{sync::Arc, time::Instant};

use tokio::time;

use super::retry::with_retries;
use crate::{
    Store, StoreError,
    backend::conn::Conn,
    record_ids,
    tables::{
        rewrap::{self, Rewrap},
        wrapped_dek::WrappedDek,
    },
    write::lock_order::Write,
};

/// Records re-wrapped in one transaction.
const BATCH: i64 = 256;

/// Outcome of a re-wrap.
#[derive(Debug, Default)]
pub struct Rewrapped {
    /// Number of re-wrapped records.
    pub records: usize,
    /// Ids of records whose data key does not open, because they were changed outside of this server.
    pub unopenable: Vec<String>,
}

impl Store {
    /// Re-wraps the records of older keys under the active one, until only records that do not open are left. Pauses
    /// after each batch for as long as the batch took.
    pub async fn rewrap(&self) -> Result<Rewrapped, StoreError> {
        let mut records = 0;
        loop {
            let (keyring, _rows) = with_retries(|| self.load_keyring()).await?;
            let (mut found, mut unopenable) = (0, Vec::new());
            for kek in keyring.older() {
                let mut cursor = i64::MIN;
                loop {
                    let begun = Instant::now();
                    let rows = self.records_under(kek.id(), cursor).await?;
                    let Some(last) = rows.last() else { break };
                    cursor = last.id;
                    found += rows.len();
                    records += self.rewrap_some(kek.id(), rows, &mut unopenable).await?;
                    time::sleep(begun.elapsed()).await;
                }
            }
            // The next pass finds records that another process changed meanwhile, or sealed before it knew of the new
            // key.
            let is_same = self.0.keyring.current().active().id() == keyring.active().id();
            if found == unopenable.len() && is_same {
                return Ok(Rewrapped { records, unopenable });
            }
        }
    }

    /// Re-wraps these rows. Returns how many were unchanged since they were read.
    async fn rewrap_some(
        &self,
        old: &str,
        rows: Vec<WrappedDek>,
        unopenable: &mut Vec<String>,
    ) -> Result<usize, StoreError> {
        with_retries(|| self.load_keyring()).await?;
        let keyring = with_retries(|| self.keyring_to_wrap(rows.len() as i64)).await?;
        let Some(kek) = keyring.find(old).filter(|_| keyring.active().id() != old) else {
            return Ok(0);
        };
        let mut moves = Vec::with_capacity(rows.len());
        for row in rows {
            match Rewrap::of(&row, kek, keyring.active()) {
                Some(moved) => moves.push(moved),
                None => unopenable.push(record_ids::name_of(row.id)),
            }
        }
        if moves.is_empty() {
            return Ok(0);
        }
        let rows = moves.len();
        let moves = Arc::new(moves);
        let (old, new) = (old.to_owned(), keyring.active().id().to_owned());
        let rewrap = move |conn: &mut Conn| rewrap::update_all(conn, &old, &new, &moves);
        match with_retries(|| self.0.writer.run(Write::alone().rows(rows), rewrap.clone())).await {
            // The active key changed; the next pass uses the new one.
            Err(StoreError::KeyRetired(_)) => Ok(0),
            written => written,
        }
    }

    pub(super) async fn records_under(
        &self,
        kek: &str,
        after: i64,
    ) -> Result<Vec<WrappedDek>, StoreError> {
        with_retries(|| {
            let kek = kek.to_owned();
            let find = move |conn: &mut Conn| rewrap::records_under(conn, &kek, after, BATCH);
            // After a large rotation, the index may hold many dead entries, so the scan can be slow.
            self.0.readers.run_slowly(find)
        })
        .await
    }
}
