//! Several records at once, as commands end and erase them.
//!
//! Invariant: a write locks its records in the order of their ids, and ends or erases nothing but those that still match
//! when it has the locks.

use diesel::prelude::*;
use model::{Login, RecordId, TenantId};

use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    tables::{
        deliveries::{DELIVERY_KEY, Delivery, DeliveryKey, DeliveryRow},
        grants,
        records::{self, BATCH},
        schema::{deliveries, external_tokens},
    },
};

/// Ends those of a tenant's records that live and were not used after `unused_since`. Returns their ids.
pub(crate) fn revoke(
    conn: &mut Conn,
    now: i64,
    tenant: &TenantId,
    ids: &[i64],
    unused_since: Option<i64>,
) -> Result<Vec<RecordId>, StoreError> {
    if let Conn::Postgres(session) = conn {
        records::lock_in_order(session, ids)?;
    }
    let living = external_tokens::table
        .filter(external_tokens::id.eq_any(ids))
        .filter(external_tokens::tenant.eq(tenant.as_str()))
        .filter(external_tokens::ended.is_null())
        .filter(external_tokens::expires.is_null().or(external_tokens::expires.gt(now)))
        .order(external_tokens::id)
        .select((external_tokens::id, external_tokens::created, external_tokens::last_used));
    let living: Vec<(i64, i64, Option<i64>)> = on_backend!(conn, |conn| living.load(conn))?;
    let is_meant = |&(_id, created, last_used): &(i64, i64, Option<i64>)| {
        unused_since.is_none_or(|since| last_used.unwrap_or(created) <= since)
    };
    let revoked: Vec<i64> = living.into_iter().filter(is_meant).map(|row| row.0).collect();
    records::end(conn, now, &revoked)?;
    Ok(revoked.into_iter().filter_map(RecordId::from_i64).collect())
}

/// Returns the ids of some records of an owner, living or not.
pub(crate) fn of_owner(
    conn: &mut Conn,
    tenant: &TenantId,
    owner: &Login,
) -> Result<Vec<i64>, StoreError> {
    let owned = external_tokens::table
        .filter(external_tokens::tenant.eq(tenant.as_str()))
        .filter(external_tokens::owner.eq(owner.as_str()))
        .order(external_tokens::id)
        .select(external_tokens::id)
        .limit(BATCH);
    Ok(on_backend!(conn, |conn| owned.load(conn))?)
}

/// Returns whether an owner has a living record.
pub(crate) fn has_living(
    conn: &mut Conn,
    now: i64,
    tenant: &TenantId,
    owner: &Login,
) -> Result<bool, StoreError> {
    let living = external_tokens::table
        .filter(external_tokens::tenant.eq(tenant.as_str()))
        .filter(external_tokens::owner.eq(owner.as_str()))
        .filter(external_tokens::ended.is_null())
        .filter(external_tokens::expires.is_null().or(external_tokens::expires.gt(now)))
        .select(external_tokens::id);
    let first: Option<i64> = on_backend!(conn, |conn| living.first(conn)).optional()?;
    Ok(first.is_some())
}

/// Removes records with their grants. Returns how many there were.
pub(crate) fn erase(conn: &mut Conn, ids: &[i64]) -> Result<usize, StoreError> {
    if let Conn::Postgres(session) = conn {
        records::lock_in_order(session, ids)?;
    }
    let rows = external_tokens::table.filter(external_tokens::id.eq_any(ids));
    let erased = on_backend!(conn, |conn| diesel::delete(rows).execute(conn))?;
    grants::remove(conn, ids)?;
    Ok(erased)
}

/// Returns the keys of some events about an owner's records, in their order.
pub(crate) fn events_of_owner(
    conn: &mut Conn,
    tenant: &TenantId,
    owner: &Login,
) -> Result<Vec<DeliveryKey>, StoreError> {
    let named = deliveries::table
        .filter(deliveries::tenant.eq(tenant.as_str()))
        .filter(deliveries::owner.eq(owner.as_str()))
        .order(DELIVERY_KEY)
        .select(DELIVERY_KEY)
        .limit(BATCH);
    Ok(on_backend!(conn, |conn| named.load(conn))?)
}

/// Returns some events about an owner's records after this key.
pub(crate) fn deliveries_of_owner(
    conn: &mut Conn,
    tenant: &TenantId,
    owner: &Login,
    after: Option<&Delivery>,
) -> Result<Vec<Delivery>, StoreError> {
    let (receiver, subject, position) = after.map_or(("", "", i64::MIN), Delivery::key);
    let same_receiver = deliveries::receiver.eq(receiver);
    let is_behind = deliveries::receiver.gt(receiver).or(same_receiver
        .and(deliveries::subject.gt(subject))
        .or(same_receiver
            .and(deliveries::subject.eq(subject))
            .and(deliveries::position.gt(position))));
    let named = deliveries::table
        .filter(deliveries::tenant.eq(tenant.as_str()))
        .filter(deliveries::owner.eq(owner.as_str()))
        .filter(is_behind)
        .order(DELIVERY_KEY)
        .limit(BATCH);
    let rows: Vec<DeliveryRow> =
        on_backend!(conn, |conn| named.select(DeliveryRow::as_select()).load(conn))?;
    Ok(rows.into_iter().map(Delivery::of_row).collect())
}

/// Removes events. Returns how many there were.
pub(crate) fn erase_events(conn: &mut Conn, keys: &[DeliveryKey]) -> Result<usize, StoreError> {
    let mut erased = 0;
    for (receiver, subject, position) in keys {
        let row = deliveries::table.find((receiver, subject, position));
        erased += on_backend!(conn, |conn| diesel::delete(row).execute(conn))?;
    }
    Ok(erased)
}
