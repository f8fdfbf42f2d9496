//! Deliveries: the events to send to receivers of webhooks.
//!
//! Invariant: an event leaves the table only when its receiver confirmed it, or when it is too old.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use model::RecordId;
use tracing::warn;

use crate::{
    Delivery, Store, StoreError,
    backend::conn::{self, Conn},
    tables::{
        deliveries::{self, Outbox},
        grants::report::{self, TOGETHER, Trouble},
        provider_states,
    },
    write::lock_order::Write,
};

impl Store {
    /// Claims at most `limit` events that are due for a receiver. No server claims them again within `lease_us`
    /// microseconds. Returns none while grants are paused, because the database may be a copy whose original sends
    /// them.
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

    /// Removes the events that the receiver confirmed. Schedules each of the others for its next attempt, in
    /// microseconds.
    pub async fn finish_deliveries(
        &self,
        receiver: &str,
        mut sent: Vec<(Delivery, Option<i64>)>,
    ) -> Result<(), StoreError> {
        sent.sort_by(|(one, _), (other, _)| one.key().cmp(&other.key()));
        let confirmed = sent.iter().filter(|(_delivery, pause_us)| pause_us.is_none()).count();
        let write = Write::alone().rows(sent.len());
        let finish = move |conn: &mut Conn, now: i64| {
            sent.iter().try_for_each(|(delivery, pause_us)| match pause_us {
                None => deliveries::confirm(conn, delivery),
                Some(pause_us) => {
                    deliveries::postpone(conn, delivery, now.saturating_add(*pause_us))
                }
            })
        };
        self.write_at(write, finish).await?;
        self.0.outbox.confirmed(receiver, confirmed as u64);
        Ok(())
    }

    /// Counts the waiting events of each receiver. The counts bound how many events are added.
    pub async fn count_deliveries(&self) -> Result<(), StoreError> {
        for receiver in self.0.outbox.names() {
            let name = receiver.to_owned();
            let count = move |conn: &mut Conn| deliveries::count(conn, &name);
            let count = self.0.readers.run_slowly(count).await?;
            self.0.outbox.counted(receiver, count);
        }
        Ok(())
    }

    /// Removes events older than `keep_us` microseconds, sent or not.
    pub async fn remove_old_deliveries(&self, keep_us: i64) -> Result<(), StoreError> {
        let by = self.database_time().saturating_sub(keep_us);
        let dropped: Mutex<BTreeMap<String, u64>> = Mutex::default();
        let remove = async |mut found: Vec<Delivery>| {
            found.sort_by(|one, other| one.key().cmp(&other.key()));
            let removed = found.clone();
            let remove = move |conn: &mut Conn| {
                found.iter().try_for_each(|delivery| deliveries::confirm(conn, delivery))
            };
            self.0.writer.run(Write::alone().rows(removed.len()), remove).await?;
            let mut dropped = dropped.lock().unwrap_or_else(PoisonError::into_inner);
            for delivery in removed {
                *dropped.entry(delivery.receiver().to_owned()).or_default() += 1;
            }
            Ok(())
        };
        let outcome = self.in_batches(move |conn| deliveries::old(conn, by), remove).await;
        for (receiver, dropped) in dropped.into_inner().unwrap_or_else(PoisonError::into_inner) {
            warn!(receiver, dropped, "events were too old to be sent, and were dropped");
        }
        outcome
    }

    /// Adds events about grants that have failed for a while, dead grants that were not reported yet, and refresh
    /// tokens that end soon.
    pub async fn report_grants(&self) -> Result<(), StoreError> {
        if self.0.outbox.is_off() {
            return Ok(());
        }
        let now = self.database_time();
        let since = now.saturating_sub(self.0.outbox.failing_us);
        let by = now.saturating_add(self.0.outbox.expiring_us);
        for (trouble, since) in [(Trouble::Dead, now), (Trouble::Failing, since)] {
            let find = move |conn: &mut Conn| report::in_trouble(conn, trouble, since);
            self.report_each(find, report::report_trouble).await?;
        }
        self.report_each(move |conn| report::expiring(conn, now, by), report::report_expiring).await
    }

    /// Reports what `find` finds, until it finds less than a full batch, or a batch had nothing to report.
    async fn report_each(
        &self,
        find: impl Fn(&mut Conn) -> Result<Vec<i64>, StoreError> + Clone + Send + 'static,
        report: fn(&mut Conn, i64, &Outbox, &[RecordId]) -> Result<usize, StoreError>,
    ) -> Result<(), StoreError> {
        loop {
            let mut found = self.0.readers.run(find.clone()).await?;
            let is_last = found.len() < TOGETHER;
            // Rows are locked in the order of their ids.
            found.sort_unstable();
            let records: Vec<RecordId> = found.into_iter().filter_map(RecordId::from_i64).collect();
            if records.is_empty() {
                return Ok(());
            }
            let outbox = Arc::clone(&self.0.outbox);
            let write = Write::alone().rows(2 * records.len());
            let report = move |conn: &mut Conn, now| report(conn, now, &outbox, &records);
            if self.write_at(write, report).await? == 0 || is_last {
                return Ok(());
            }
        }
    }
}
