//! Records: listing them without their tokens, and ending them.
//!
//! Invariant: an ended record holds no token and never lives again.

use std::sync::Arc;

use model::{EventKind, Login, RecordId, RetrievalKey, TenantId};
use tracing::warn;

use crate::{
    Listing, Page, RecordInfo, Store, StoreError,
    backend::conn::{self, Conn},
    error::error_chain,
    tables::{deliveries::Details, records},
    write::lock_order::{LockOrder, Write},
};

impl Store {
    /// Returns a page of a tenant's records, by owner and id.
    pub async fn records(&self, listing: Listing) -> Result<Page, StoreError> {
        let clock = self.0.clock;
        self.0.readers.run(move |conn| records::list(conn, clock.now(), &listing)).await
    }

    /// Returns a record of a tenant, living or not.
    pub async fn record(
        &self,
        tenant: TenantId,
        record: RecordId,
    ) -> Result<Option<RecordInfo>, StoreError> {
        let clock = self.0.clock;
        self.0.readers.run(move |conn| records::find(conn, clock.now(), &tenant, record)).await
    }

    /// Returns the record of a key in a tenant, living or not.
    pub async fn record_of_key(
        &self,
        tenant: TenantId,
        key: RetrievalKey,
    ) -> Result<Option<RecordInfo>, StoreError> {
        let clock = self.0.clock;
        self.0.readers.run(move |conn| records::find_by_key(conn, clock.now(), &tenant, &key)).await
    }

    /// Ends a living record of a tenant for good. With `owner` or `generation`, only if they match. Returns whether
    /// such a record was living. Every get that begins after this call returns, on any server, finds the record ended.
    pub async fn revoke_record(
        &self,
        tenant: TenantId,
        record: RecordId,
        owner: Option<Login>,
        generation: Option<i32>,
    ) -> Result<bool, StoreError> {
        let (clock, outbox) = (self.0.clock, Arc::clone(&self.0.outbox));
        let revoke = move |conn: &mut Conn| {
            let now = clock.now();
            let was_ended =
                records::revoke(conn, now, &tenant, record, owner.as_ref(), generation)?;
            if was_ended && !outbox.is_off() {
                // Events use the database's time, which differs from `now` on PostgreSQL.
                let at = conn::time(conn, clock)?;
                outbox.write_of_record(
                    conn,
                    at,
                    record,
                    EventKind::GrantRevoked,
                    Details::default(),
                )?;
            }
            Ok(was_ended)
        };
        let order = LockOrder::Record(record.as_i64());
        self.0.writer.run(Write::of(order).rows(1).erasing(), revoke).await
    }

    /// Ends a record that was found expired, so that it stays expired if the clock is set back. If this fails, the next
    /// sweep ends it.
    pub(crate) async fn end(&self, record: RecordId) {
        let id = record.as_i64();
        let clock = self.0.clock;
        let end = move |conn: &mut Conn| records::end_expired(conn, clock.now(), &[id]);
        // A database that rejects writes has been logged already.
        if let Err(error) =
            self.0.writer.run(Write::of(LockOrder::Record(id)).rows(1).erasing(), end).await
            && !matches!(error, StoreError::Unavailable(_))
        {
            warn!(error = error_chain(&error), "a record that expired could not be ended yet");
        }
    }
}
