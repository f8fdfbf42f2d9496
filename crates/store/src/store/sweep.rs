//! Background jobs on rows: sweeping expired and ended ones, counting records, writing uses.
//!
//! Invariant: every write is small and goes through the writer. Any number of servers may run a job at once and stop at
//! any time: the next run finds the rest.

use std::time::Duration;

use crate::{
    SavedTokens, Store, StoreError,
    backend::conn::Conn,
    read::use_buffer,
    store::Inner,
    tables::{
        credentials, idempotency_keys,
        records::{self, BATCH},
    },
    write::lock_order::Write,
};

/// Batches of uses to write in one call, because the calls of clients write too.
const USES_BATCHES: usize = 4;

impl Store {
    /// Notes in memory that a caller got these tokens. `write_uses` writes it to the database.
    pub fn note_use(&self, saved: &SavedTokens) {
        let limits = self.0.expiry_policy.of(saved.carrier.provider.as_str());
        self.0.uses.note(saved.times, limits, self.0.clock.now());
    }

    /// Writes some of the noted uses in batches, ordered by record. Returns whether all are written; the others stay
    /// noted.
    pub async fn write_uses(&self) -> Result<bool, StoreError> {
        for _ in 0..USES_BATCHES {
            let uses = self.0.uses.some();
            if uses.is_empty() {
                return Ok(true);
            }
            let written = uses.clone();
            let clock = self.0.clock;
            let write = move |conn: &mut Conn| use_buffer::write(conn, clock.now(), &uses);
            self.0.writer.run(Write::alone().rows(written.len()), write).await?;
            self.0.uses.done(&written);
        }
        Ok(false)
    }

    /// Counts the records of users who save, if their quota requires it. Each user is counted at once at first, then at
    /// most once in `every`.
    pub async fn count_records(&self, every: Duration) -> Result<(), StoreError> {
        let Inner { counts, quotas, readers, .. } = &*self.0;
        for user in counts.due(quotas.records, every) {
            let (before, (tenant, login)) = (counts.saved_before(&user), user.clone());
            let count = move |conn: &mut Conn| records::count(conn, &tenant, &login);
            let records = readers.run_slowly(count).await?;
            counts.counted(&user, records, before);
        }
        Ok(())
    }

    /// Erases the tokens of expired records.
    pub async fn end_expired_records(&self) -> Result<(), StoreError> {
        let clock = self.0.clock;
        let end = async |found: Vec<i64>| {
            let count = found.len();
            let end = move |conn: &mut Conn| records::end_expired(conn, clock.now(), &found);
            self.0.writer.run(Write::alone().rows(count).erasing(), end).await
        };
        self.in_batches(move |conn| records::expired(conn, clock.now()), end).await
    }

    /// Removes the records that ended `keep_ended_us` microseconds ago.
    pub async fn remove_ended_records(&self, keep_ended_us: i64) -> Result<(), StoreError> {
        let by = self.0.clock.now().saturating_sub(keep_ended_us);
        let remove = async |found: Vec<i64>| {
            let count = found.len();
            let remove = move |conn: &mut Conn| records::remove(conn, &found, by);
            self.0.writer.run(Write::alone().rows(count), remove).await
        };
        self.in_batches(move |conn| records::ended(conn, by), remove).await
    }

    /// Removes expired idempotency keys.
    pub async fn remove_expired_idempotency_keys(&self) -> Result<(), StoreError> {
        let clock = self.0.clock;
        let remove = async |found: Vec<Vec<u8>>| {
            let count = found.len();
            let remove = move |conn: &mut Conn| idempotency_keys::remove(conn, clock.now(), &found);
            self.0.writer.run(Write::alone().rows(count).erasing(), remove).await
        };
        self.in_batches(move |conn| idempotency_keys::expired(conn, clock.now()), remove).await
    }

    /// Removes expired credentials, so that they stay expired if the clock is set back.
    pub async fn remove_expired_credentials(&self) -> Result<(), StoreError> {
        let clock = self.0.clock;
        let remove = async |found: Vec<String>| {
            let count = found.len();
            let remove =
                move |conn: &mut Conn| credentials::remove_expired(conn, clock.now(), &found);
            self.0.writer.run(Write::alone().rows(count), remove).await
        };
        self.in_batches(move |conn| credentials::expired(conn, clock.now()), remove).await
    }

    /// Writes the rows that `find` finds, `BATCH` rows a transaction, until it finds fewer. Other writes run between
    /// two transactions.
    pub(super) async fn in_batches<Row: Send + 'static>(
        &self,
        find: impl Fn(&mut Conn) -> Result<Vec<Row>, StoreError> + Clone + Send + 'static,
        write: impl AsyncFn(Vec<Row>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        loop {
            let found = self.0.readers.run(find.clone()).await?;
            let is_last = found.len() < BATCH as usize;
            if !found.is_empty() {
                write(found).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
