//! Moving records from older master keys to the active one.
//!
//! Invariant: any number of processes may do so at once, and be stopped anywhere.

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

/// Records that are moved in one transaction.
const BATCH: i64 = 256;

/// What became of the records.
#[derive(Debug, Default)]
pub struct Rewrapped {
    /// How many were moved.
    pub records: usize,
    /// The ids of those whose data key does not open: they were changed outside of this server.
    pub unopenable: Vec<String>,
}

impl Store {
    /// Moves the records of older keys to the active one until none is left that opens, and works at most
    /// half of the time.
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
            // What another process changed meanwhile, or sealed before it knew of the new key, comes next.
            let is_same = self.0.keyring.current().active().id() == keyring.active().id();
            if found == unopenable.len() && is_same {
                return Ok(Rewrapped { records, unopenable });
            }
        }
    }

    /// Moves these; how many were as they had been read.
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
            // The next pass takes the key that is the active one then.
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
            // Right after a large rotation the way through the index may lead past all that it moved.
            self.0.readers.run_slowly(find)
        })
        .await
    }
}
