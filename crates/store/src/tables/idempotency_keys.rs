//! The idempotency_keys table: the call of each idempotency key, and the retrieval key that answered it.
//!
//! Invariant: an idempotency key is reserved in the transaction that saves or changes its record, so that neither
//! exists without the other.

use diesel::{prelude::*, query_dsl::methods, upsert::excluded};
use model::RetrievalKey;

use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    expiry_limits::IDEMPOTENCY_KEY_LIFETIME_US,
    seal::{IdempotencySeal, Repeatable},
    tables::{records::BATCH, schema::idempotency_keys},
};

/// A row.
#[derive(PartialEq, Insertable, Queryable, Selectable)]
#[diesel(table_name = idempotency_keys)]
pub(crate) struct IdempotencyRow {
    pub(crate) digest: Vec<u8>,
    fingerprint: Vec<u8>,
    sealed_key: Vec<u8>,
    expires: i64,
}

impl IdempotencyRow {
    /// Creates the row of an idempotency key for this call and this answer.
    pub(crate) fn new(
        seal: &IdempotencySeal,
        call: Repeatable<'_>,
        key: &RetrievalKey,
        now: i64,
    ) -> Self {
        Self {
            digest: seal.digest().to_vec(),
            fingerprint: seal.fingerprint(call),
            sealed_key: seal.seal(key),
            expires: now.saturating_add(IDEMPOTENCY_KEY_LIFETIME_US),
        }
    }

    /// Returns the digest that the row is found by.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest.as_slice().try_into().expect("a digest has 32 bytes")
    }

    /// Reserves the idempotency key, replacing an expired row. Waits for a concurrent reservation by another server.
    ///
    /// # Errors
    /// `Reserved`: the key is taken.
    pub(crate) fn insert(&self, conn: &mut Conn, now: i64) -> Result<(), StoreError> {
        use idempotency_keys::{digest, expires, fingerprint, sealed_key, table};
        let anew = (
            fingerprint.eq(excluded(fingerprint)),
            sealed_key.eq(excluded(sealed_key)),
            expires.eq(excluded(expires)),
        );
        let reserve = diesel::insert_into(table).values(self);
        let reserve = reserve.on_conflict(digest).do_update().set(anew);
        let reserve = methods::FilterDsl::filter(reserve, expires.le(now));
        match on_backend!(conn, |conn| reserve.execute(conn))? {
            0 => Err(StoreError::Reserved),
            _ => Ok(()),
        }
    }

    /// Removes the reservation in the transaction that made it, because the change was not made.
    pub(crate) fn take_back(&self, conn: &mut Conn) -> Result<(), StoreError> {
        diesel::delete(idempotency_keys::table.find(&self.digest)).execute(conn)?;
        Ok(())
    }

    /// Returns whether the call can still be repeated.
    pub(crate) fn lives(&self, now: i64) -> bool {
        self.expires > now
    }

    /// Opens the retrieval key that answered the call.
    ///
    /// # Errors
    /// - `OtherCall`: the row belongs to another call.
    /// - `DamagedIdempotencyKey`: the row is not as it was written.
    pub(crate) fn open(
        &self,
        seal: &IdempotencySeal,
        call: Repeatable<'_>,
    ) -> Result<RetrievalKey, StoreError> {
        let key = seal.open(&self.sealed_key);
        let key = key.map_err(|_unopenable| StoreError::DamagedIdempotencyKey)?;
        if seal.recognises(call, &self.fingerprint) { Ok(key) } else { Err(StoreError::OtherCall) }
    }
}

/// Finds the reservation of this digest, expired or not.
pub(crate) fn find(
    conn: &mut Conn,
    digest: [u8; 32],
) -> Result<Option<IdempotencyRow>, StoreError> {
    let found = idempotency_keys::table.find(digest.as_slice());
    Ok(found.select(IdempotencyRow::as_select()).first(conn).optional()?)
}

/// Returns the digests of some expired rows.
pub(crate) fn expired(conn: &mut Conn, now: i64) -> Result<Vec<Vec<u8>>, StoreError> {
    use idempotency_keys::{digest, expires, table};
    let expired = table.filter(expires.le(now)).order(expires).limit(BATCH).select(digest);
    Ok(expired.load(conn)?)
}

/// Removes the rows that are still expired, because one may have been reserved again meanwhile.
pub(crate) fn remove(conn: &mut Conn, now: i64, digests: &[Vec<u8>]) -> Result<(), StoreError> {
    use idempotency_keys::{digest, expires, table};
    if let Conn::Postgres(session) = conn {
        let in_order = table.filter(digest.eq_any(digests)).order(digest).select(digest);
        in_order.for_update().load::<Vec<u8>>(session)?;
    }
    let removed = table.filter(digest.eq_any(digests)).filter(expires.le(now));
    on_backend!(conn, |conn| diesel::delete(removed).execute(conn))?;
    Ok(())
}
