//! Deliveries: the events that receivers of webhooks are sent.
//!
//! Invariant: an event goes from the table only when its receiver confirmed it, or when it is too old.

use model::RecordId;
use tracing::warn;

use crate::{
    Delivery, Store, StoreError,
    backend::conn::{self, Conn},
    tables::{deliveries, grants::report, provider_states},
    write::lock_order::Write,
};

impl Store {
    /// Takes events that are to be sent to a receiver now, at most `limit`; no server takes them again within `lease_us`
    /// microseconds. None while grants are paused: the database may be a copy, and its original sends them.
    pub async fn claim_deliveries(
        &self,
        receiver: &str,
        limit: usize,
        lease_us: i64,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (clock, name) = (self.0.clock, receiver.to_owned());
        let is_due = move |conn: &mut Conn| {
            let now = conn::time(conn, clock)?;
            Ok(deliveries::is_due(conn, &name, now)? && !provider_states::are_all_paused(conn)?)
        };
        if !self.0.readers.run(is_due).await? {
            return Ok(Vec::new());
        }
        let name = receiver.to_owned();
        let claim = move |conn: &mut Conn, now: i64| {
            deliveries::claim(conn, &name, limit, now, now.saturating_add(lease_us))
        };
        self.write_at(Write::alone().rows(limit), claim).await
    }

    /// Removes the events that a receiver confirmed, and lets each of the others be sent again after its time, in
    /// microseconds.
    pub async fn finish_deliveries(
        &self,
        confirmed: Vec<Delivery>,
        failed: Vec<(Delivery, i64)>,
    ) -> Result<(), StoreError> {
        let rows = confirmed.len() + failed.len();
        let finish = move |conn: &mut Conn, now: i64| {
            confirmed.iter().try_for_each(|delivery| deliveries::confirm(conn, delivery))?;
            failed.iter().try_for_each(|(delivery, pause_us)| {
                deliveries::postpone(conn, delivery, now.saturating_add(*pause_us))
            })
        };
        self.write_at(Write::alone().rows(rows), finish).await
    }

    /// Counts the events that wait for a receiver, which bounds how many are added.
    pub async fn count_deliveries(&self, receiver: &str) -> Result<u64, StoreError> {
        let name = receiver.to_owned();
        let count = self.0.readers.run(move |conn| deliveries::count(conn, &name)).await?;
        self.0.outbox.counted(receiver, count);
        Ok(count)
    }

    /// Removes the events that happened `keep_us` microseconds ago, whether or not they were sent.
    pub async fn remove_old_deliveries(&self, keep_us: i64) -> Result<(), StoreError> {
        let by = self.database_time().saturating_sub(keep_us);
        let remove = async |found: Vec<Delivery>| {
            let (count, first) = (found.len(), found.first().map(|one| one.kind().to_owned()));
            warn!(count, first, "events are too old to be sent, and are dropped");
            let remove = move |conn: &mut Conn| {
                found.iter().try_for_each(|delivery| deliveries::confirm(conn, delivery))
            };
            self.0.writer.run(Write::alone().rows(count), remove).await
        };
        self.in_batches(move |conn| deliveries::old(conn, by), remove).await
    }

    /// Writes events about the grants whose refreshes have failed for a while, and about the refresh tokens that end
    /// soon.
    pub async fn report_grants(&self) -> Result<(), StoreError> {
        if self.0.outbox.is_off() {
            return Ok(());
        }
        let now = self.database_time();
        let since = now.saturating_sub(self.0.outbox.failing_us());
        let by = now.saturating_add(self.0.outbox.expiring_us());
        self.in_batches(
            move |conn| report::failing(conn, since),
            async |found| self.report_each(found, report::report_failing).await,
        )
        .await?;
        self.in_batches(
            move |conn| report::expiring(conn, now, by),
            async |found| self.report_each(found, report::report_expiring).await,
        )
        .await
    }

    async fn report_each(
        &self,
        found: Vec<i64>,
        report: fn(&mut Conn, i64, &deliveries::Outbox, &[RecordId]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let outbox = std::sync::Arc::clone(&self.0.outbox);
        let mut records: Vec<RecordId> = found.into_iter().filter_map(RecordId::from_i64).collect();
        records.sort_unstable_by_key(|record| record.as_i64());
        let write = Write::alone().rows(2 * records.len());
        self.write_at(write, move |conn, now| report(conn, now, &outbox, &records)).await
    }
}
