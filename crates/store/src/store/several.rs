//! Several records at once: ending and erasing them.
//!
//! Invariant: every call is one small transaction, so that a command that is stopped has ended or erased whole records,
//! and the next run finds the rest.

use std::sync::Arc;

use model::{EventKind, Login, RecordId, TenantId};

use super::retry::with_retries;
use crate::{
    Delivery, Store, StoreError,
    backend::conn::{self, Conn},
    tables::{deliveries::Details, several},
    write::lock_order::Write,
};

impl Store {
    /// Ends those of a tenant's records that live and were not used after `unused_since`, as `revoke_record` does.
    /// Returns their ids. `records` are few: each writes a page in the same transaction.
    pub async fn revoke_records(
        &self,
        tenant: TenantId,
        records: &[RecordId],
        unused_since: Option<i64>,
    ) -> Result<Vec<RecordId>, StoreError> {
        let mut ids: Vec<i64> = records.iter().map(|record| record.as_i64()).collect();
        // Rows are locked in the order of their ids.
        ids.sort_unstable();
        let (clock, outbox) = (self.0.clock, Arc::clone(&self.0.outbox));
        let revoke = move |conn: &mut Conn| {
            let revoked = several::revoke(conn, clock.now(), &tenant, &ids, unused_since)?;
            if !outbox.is_off() {
                let at = conn::time(conn, clock)?;
                for record in &revoked {
                    let (kind, details) = (EventKind::GrantRevoked, Details::default());
                    outbox.write_of_record(conn, at, *record, kind, details)?;
                }
            }
            Ok(revoked)
        };
        let write = || Write::alone().rows(2 * records.len()).erasing();
        with_retries(|| self.0.writer.run(write(), revoke.clone())).await
    }

    /// Removes some records of an owner, living or not, and all that is kept about them except events. Returns how many
    /// it removed: 0 if none is left.
    pub async fn erase_some_records(
        &self,
        tenant: &TenantId,
        owner: &Login,
    ) -> Result<usize, StoreError> {
        let (of_tenant, of_owner) = (tenant.clone(), owner.clone());
        let find = move |conn: &mut Conn| several::of_owner(conn, &of_tenant, &of_owner);
        let found = with_retries(|| self.0.readers.run(find.clone())).await?;
        if found.is_empty() {
            return Ok(0);
        }
        let write = || Write::alone().rows(2 * found.len()).erasing();
        let erase = |found: Vec<i64>| move |conn: &mut Conn| several::erase(conn, &found);
        with_retries(|| self.0.writer.run(write(), erase(found.clone()))).await?;
        Ok(found.len())
    }

    /// Removes some events about records of an owner, which wait for receivers. Returns how many it removed: 0 if none
    /// is left.
    pub async fn erase_some_events(
        &self,
        tenant: &TenantId,
        owner: &Login,
    ) -> Result<usize, StoreError> {
        let (of_tenant, of_owner) = (tenant.clone(), owner.clone());
        let find = move |conn: &mut Conn| several::events_of_owner(conn, &of_tenant, &of_owner);
        let mut found = with_retries(|| self.0.readers.run(find.clone())).await?;
        if found.is_empty() {
            return Ok(0);
        }
        // The database may sort texts in another order than other writes lock them in.
        found.sort();
        let write = || Write::alone().rows(found.len()).erasing();
        let erase = |found: Vec<_>| move |conn: &mut Conn| several::erase_events(conn, &found);
        with_retries(|| self.0.writer.run(write(), erase(found.clone()))).await?;
        Ok(found.len())
    }

    /// Returns some events about records of an owner after this one, which wait for receivers. None are left after an
    /// empty page.
    pub async fn events_of_owner(
        &self,
        tenant: TenantId,
        owner: Login,
        after: Option<Delivery>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let find = move |conn: &mut Conn| {
            several::deliveries_of_owner(conn, &tenant, &owner, after.as_ref())
        };
        self.0.readers.run(find).await
    }
}
