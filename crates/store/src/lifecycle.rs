//! The life of records: who sees them, what ends them, and what is done to them beside the calls.
//!
//! Invariant: each write is small, goes through the writer, and may be done by any number of servers at
//! once and be cut off anywhere: whoever comes next finds what is left to do.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use model::{Login, RecordId, RetrievalKey, TenantId};
use tracing::warn;

use crate::{
    Listing, Page, RecordInfo, SavedTokens, Store, StoreError,
    commit::Turn,
    conn::Conn,
    error::told,
    ids,
    records::{self, BATCH},
    reservations, uses,
};

/// How many batches of uses are written in one go: calls write too.
const USES_BATCHES: usize = 4;

impl Store {
    /// A page of a tenant's records, by owner and id.
    pub async fn records(&self, listing: Listing) -> Result<Page, StoreError> {
        self.0.readers.run(move |conn| records::list(conn, &listing)).await
    }

    /// A record of a tenant, living or not.
    pub async fn record(
        &self,
        tenant: TenantId,
        record: RecordId,
    ) -> Result<Option<RecordInfo>, StoreError> {
        self.0.readers.run(move |conn| records::find(conn, &tenant, record)).await
    }

    /// The record of a key in a tenant, living or not.
    pub async fn record_of_key(
        &self,
        tenant: TenantId,
        key: RetrievalKey,
    ) -> Result<Option<RecordInfo>, StoreError> {
        self.0.readers.run(move |conn| records::find_by_key(conn, &tenant, &key)).await
    }

    /// Ends a living record of a tenant for good: that of `owner`, or anybody's; whether there was one. Once
    /// it returns, no get that begins on any server finds it living.
    pub async fn revoke_record(
        &self,
        tenant: TenantId,
        record: RecordId,
        owner: Option<Login>,
    ) -> Result<bool, StoreError> {
        let lived = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&lived);
        let revoke = move |conn: &mut Conn| {
            told.store(records::revoke(conn, &tenant, record, owner.as_ref())?, Ordering::Relaxed);
            Ok(())
        };
        let turn = Turn::Record(record.as_i64());
        self.0.writer.erase(turn, 1, revoke).await?;
        Ok(lived.load(Ordering::Relaxed))
    }

    /// Notes that a caller got these tokens; `write_uses` writes it down.
    pub fn note_use(&self, saved: &SavedTokens) {
        let lifespan = self.0.lifespans.of(saved.carrier.provider.as_str());
        self.0.uses.note(saved.life, lifespan);
    }

    /// Writes some of the uses that were noted, each in its turn; whether there are no more. What is not
    /// written stays noted.
    pub async fn write_uses(&self) -> Result<bool, StoreError> {
        for _ in 0..USES_BATCHES {
            let uses = self.0.uses.some();
            if uses.is_empty() {
                return Ok(true);
            }
            let written = uses.clone();
            let write = move |conn: &mut Conn| uses::write(conn, &uses);
            self.0.writer.run_on_rows(written.len(), write).await?;
            self.0.uses.done(&written);
        }
        Ok(false)
    }

    /// Ends a record that was found to have expired, so that it stays so if the clock is set back. If that
    /// fails, the next sweep does it.
    pub(crate) async fn end(&self, record: RecordId) {
        let id = record.as_i64();
        let end = move |conn: &mut Conn| records::end_expired(conn, &[id]);
        // Of a database that cannot be written something was said already.
        if let Err(error) = self.0.writer.erase(Turn::Record(id), 1, end).await
            && !matches!(error, StoreError::Unavailable(_))
        {
            warn!(error = told(&error), "a record that expired could not be ended yet");
        }
    }

    /// Takes the tokens of the records that expired away, and removes those that ended `keep_ended`
    /// microseconds ago, and credentials and idempotency keys that expired.
    pub async fn sweep(&self, keep_ended: i64) -> Result<(), StoreError> {
        let inner = &self.0;
        self.remove_expired_credentials().await?;
        loop {
            let found = inner.readers.run(records::expired).await?;
            let is_last = found.len() < BATCH as usize;
            if !found.is_empty() {
                let count = found.len();
                let end = move |conn: &mut Conn| records::end_expired(conn, &found);
                inner.writer.erase(Turn::Alone, count, end).await?;
            }
            if is_last {
                break;
            }
        }
        let by = ids::now().saturating_sub(keep_ended);
        loop {
            let found = inner.readers.run(move |conn| records::ended(conn, by)).await?;
            let is_last = found.len() < BATCH as usize;
            if !found.is_empty() {
                let count = found.len();
                let remove = move |conn: &mut Conn| records::remove(conn, &found, by);
                inner.writer.run_on_rows(count, remove).await?;
            }
            if is_last {
                break;
            }
        }
        loop {
            let found = inner.readers.run(reservations::expired).await?;
            let is_last = found.len() < BATCH as usize;
            if !found.is_empty() {
                let count = found.len();
                let remove = move |conn: &mut Conn| reservations::remove(conn, &found);
                inner.writer.erase(Turn::Alone, count, remove).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
