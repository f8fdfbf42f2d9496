//! Records without their sealed contents: listing, describing, ending and removing them.
//!
//! Invariant: no blob is returned to the server here. Every statement that ends a record also erases its data key and
//! its tokens. An ended record never lives again.

use diesel::prelude::*;
use model::{Login, RecordId, RetrievalKey, TenantId};

use crate::{
    StoreError,
    backend::{
        conn::{Conn, on_backend},
        postgres::Session,
    },
    record_ids, seal,
    tables::{
        grants::{self, Grant},
        schema::external_tokens,
        unreadable,
    },
};

/// The most rows that a list reads before it returns the records found so far.
const LOOKED_AT: usize = 2_000;
/// The fewest rows to read at once.
const TOGETHER: usize = 200;
/// Rows ended or removed in one batch.
pub(crate) const BATCH: i64 = 256;

/// Properties of a record that need no key. Times are microseconds since 1970 UTC.
#[derive(Clone, Debug)]
pub struct RecordInfo {
    /// Its id, which is a part of its key.
    pub id: RecordId,
    /// The login that saved it.
    pub owner: Login,
    /// The issuer of the tokens.
    pub provider: String,
    /// Time of the save.
    pub created: i64,
    /// Time of the last change of the tokens.
    pub updated: i64,
    /// Time of the last get, approximately.
    pub last_used: Option<i64>,
    /// Time of expiry, past or future.
    pub expires: Option<i64>,
    /// Time of its end or expiry, if past.
    pub ended: Option<i64>,
    /// 1 for the saved tokens, plus 1 for each replacement.
    pub generation: i32,
    /// Expiry of the access token, if known.
    pub access_expires: Option<i64>,
    /// The grant; the default if no refresh was tried.
    pub grant: Grant,
}

/// A query for records.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The tenant.
    pub tenant: TenantId,
    /// The owner; `None` for all.
    pub owner: Option<Login>,
    /// The provider's exact name; `None` for all.
    pub provider: Option<String>,
    /// The time after which the record was not used; `None` for all. A record that was never used counts from its save.
    pub unused_since: Option<i64>,
    /// Whether to include ended records.
    pub include_ended: bool,
    /// The position to start after.
    pub after: Option<Position>,
    /// The most records to return.
    pub limit: usize,
}

/// A position in a list: after a record, which may be unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The record's owner.
    pub owner: String,
    /// The record's id.
    pub record: i64,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// The records, by owner and id. There may be fewer than requested, or none, even if more follow.
    pub records: Vec<RecordInfo>,
    /// The start of the next page; `None` at the end.
    pub next: Option<Position>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = external_tokens)]
struct InfoRow {
    id: i64,
    owner: String,
    provider: String,
    created: i64,
    updated: i64,
    last_used: Option<i64>,
    expires: Option<i64>,
    ended: Option<i64>,
    generation: i32,
    access_expires: Option<i64>,
}

impl InfoRow {
    /// Returns `None` for an unreadable row.
    fn into_info(self, now: i64, grant: Option<Grant>) -> Option<RecordInfo> {
        let expired = self.expires.filter(|expires| *expires <= now);
        let Some((id, owner)) = readable(self.id, &self.owner) else {
            unreadable::log_once("record", record_ids::name_of(self.id));
            return None;
        };
        Some(RecordInfo {
            id,
            owner,
            provider: self.provider,
            created: self.created,
            updated: self.updated,
            last_used: self.last_used,
            expires: self.expires,
            ended: self.ended.or(expired),
            generation: self.generation,
            access_expires: self.access_expires,
            grant: grant.unwrap_or_default(),
        })
    }
}

/// Parses a record's id and owner. Returns `None` if this server cannot have written them.
pub(crate) fn readable(id: i64, owner: &str) -> Option<(RecordId, Login)> {
    Some((RecordId::from_i64(id)?, Login::parse(owner).ok()?))
}

impl Listing {
    fn wants(&self, record: &RecordInfo) -> bool {
        (self.include_ended || record.ended.is_none())
            && self.provider.as_ref().is_none_or(|provider| *provider == record.provider)
            && self
                .unused_since
                .is_none_or(|since| record.last_used.unwrap_or(record.created) <= since)
    }
}

/// Returns a page of a tenant's records.
pub(crate) fn list(conn: &mut Conn, now: i64, listing: &Listing) -> Result<Page, StoreError> {
    let together = TOGETHER.max(listing.limit + 1);
    let mut page = Page { records: Vec::new(), next: None };
    let mut after = listing.after.clone();
    for _ in 0..LOOKED_AT.div_ceil(together) {
        let rows = rows_behind(conn, listing, after.as_ref(), together)?;
        let is_last = rows.len() < together;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut grants = grants::of_records(conn, &ids)?;
        for row in rows {
            if page.records.len() == listing.limit {
                page.next = after;
                return Ok(page);
            }
            // Moves past unreadable rows too, because otherwise the list would read them again and again.
            after = Some(Position { owner: row.owner.clone(), record: row.id });
            let grant = grants.remove(&row.id);
            page.records.extend(row.into_info(now, grant).filter(|record| listing.wants(record)));
        }
        if is_last {
            return Ok(page);
        }
    }
    page.next = after;
    Ok(page)
}

/// Returns the rows after a position: first the rest of that owner's rows, then those of later owners. Both queries
/// read along the index.
fn rows_behind(
    conn: &mut Conn,
    listing: &Listing,
    after: Option<&Position>,
    count: usize,
) -> Result<Vec<InfoRow>, StoreError> {
    let of_tenant = || {
        let of_tenant = external_tokens::table
            .filter(external_tokens::tenant.eq(listing.tenant.as_str()))
            .order((external_tokens::owner, external_tokens::id))
            .select(InfoRow::as_select());
        let of_tenant = of_tenant.into_boxed();
        match &listing.owner {
            Some(owner) => of_tenant.filter(external_tokens::owner.eq(owner.as_str())),
            None => of_tenant,
        }
    };
    let Some(Position { owner, record }) = after else {
        return Ok(of_tenant().limit(count as i64).load(conn)?);
    };
    let mut rows: Vec<InfoRow> = of_tenant()
        .filter(external_tokens::owner.eq(owner.as_str()))
        .filter(external_tokens::id.gt(record))
        .limit(count as i64)
        .load(conn)?;
    if rows.len() < count {
        let rest = (count - rows.len()) as i64;
        let behind = of_tenant().filter(external_tokens::owner.gt(owner.as_str())).limit(rest);
        rows.extend(behind.load::<InfoRow>(conn)?);
    }
    Ok(rows)
}

/// Returns a record of a tenant, living or not.
pub(crate) fn find(
    conn: &mut Conn,
    now: i64,
    tenant: &TenantId,
    record: RecordId,
) -> Result<Option<RecordInfo>, StoreError> {
    let found = external_tokens::table
        .find(record.as_i64())
        .filter(external_tokens::tenant.eq(tenant.as_str()));
    let row: Option<InfoRow> =
        on_backend!(conn, |conn| found.select(InfoRow::as_select()).first(conn)).optional()?;
    with_grant(conn, now, row)
}

fn with_grant(
    conn: &mut Conn,
    now: i64,
    row: Option<InfoRow>,
) -> Result<Option<RecordInfo>, StoreError> {
    let Some(row) = row else { return Ok(None) };
    let grant = grants::of_records(conn, &[row.id])?.remove(&row.id);
    Ok(row.into_info(now, grant))
}

/// Returns the record of a key in a tenant, living or not (CONTRACT 8).
pub(crate) fn find_by_key(
    conn: &mut Conn,
    now: i64,
    tenant: &TenantId,
    key: &RetrievalKey,
) -> Result<Option<RecordInfo>, StoreError> {
    let digest = seal::key_digest(key);
    let found = external_tokens::table
        .find(key.record().as_i64())
        .filter(external_tokens::key_digest.eq(digest.as_slice()))
        .filter(external_tokens::tenant.eq(tenant.as_str()));
    let row: Option<InfoRow> =
        on_backend!(conn, |conn| found.select(InfoRow::as_select()).first(conn)).optional()?;
    with_grant(conn, now, row)
}

/// Counts the records of a user, including ended ones.
pub(crate) fn count(conn: &mut Conn, tenant: &TenantId, owner: &Login) -> Result<u64, StoreError> {
    let of_owner = external_tokens::table
        .filter(external_tokens::tenant.eq(tenant.as_str()))
        .filter(external_tokens::owner.eq(owner.as_str()));
    Ok(of_owner.count().get_result::<i64>(conn)?.unsigned_abs())
}

/// Numbers of records.
pub(crate) struct RecordsCounted {
    pub(crate) all: u64,
    pub(crate) ended: u64,
    /// Expired, but not ended yet.
    pub(crate) expired: u64,
    /// Living, and expiring soon.
    pub(crate) expiring: u64,
}

/// Counts all records, and those that live and expire until `soon`. Each statement reads an index.
pub(crate) fn count_all(
    conn: &mut Conn,
    now: i64,
    soon: i64,
) -> Result<RecordsCounted, StoreError> {
    let ended = external_tokens::table.filter(external_tokens::ended.is_not_null());
    let due = external_tokens::table.filter(external_tokens::ended.is_null());
    let expired = due.filter(external_tokens::expires.le(now));
    let expiring =
        due.filter(external_tokens::expires.gt(now)).filter(external_tokens::expires.le(soon));
    Ok(RecordsCounted {
        all: external_tokens::table.count().get_result::<i64>(conn)?.unsigned_abs(),
        ended: ended.count().get_result::<i64>(conn)?.unsigned_abs(),
        expired: expired.count().get_result::<i64>(conn)?.unsigned_abs(),
        expiring: expiring.count().get_result::<i64>(conn)?.unsigned_abs(),
    })
}

/// The values that erase the secrets of an ended record.
#[diesel::dsl::auto_type]
fn shredded() -> _ {
    let (nothing, no_key): (&'static [u8], &'static str) = (&[], "");
    (
        external_tokens::wrapped_dek.eq(nothing),
        external_tokens::sealed.eq(nothing),
        external_tokens::kek_id.eq(no_key),
    )
}

/// Ends these records, which the caller has found living and has locked.
pub(crate) fn end(conn: &mut Conn, now: i64, records: &[i64]) -> Result<(), StoreError> {
    let living = external_tokens::table.filter(external_tokens::id.eq_any(records));
    let ended = external_tokens::ended.eq(now);
    on_backend!(conn, |conn| diesel::update(living).set((ended, shredded())).execute(conn))?;
    Ok(())
}

/// Ends a living record of a tenant now. With `owner` or `generation`, only if they match. Returns whether it ended
/// one.
pub(crate) fn revoke(
    conn: &mut Conn,
    now: i64,
    tenant: &TenantId,
    record: RecordId,
    owner: Option<&Login>,
    generation: Option<i32>,
) -> Result<bool, StoreError> {
    if let Some(generation) = generation
        && grants::lock_generation(conn, record)? != Some(generation)
    {
        return Ok(false);
    }
    let living = external_tokens::table
        .find(record.as_i64())
        .filter(external_tokens::tenant.eq(tenant.as_str()))
        .filter(external_tokens::ended.is_null())
        .filter(external_tokens::expires.is_null().or(external_tokens::expires.gt(now)));
    let ended = external_tokens::ended.eq(now);
    let count = match owner {
        Some(owner) => {
            let own = living.filter(external_tokens::owner.eq(owner.as_str()));
            diesel::update(own).set((ended, shredded())).execute(conn)
        }
        None => diesel::update(living).set((ended, shredded())).execute(conn),
    }?;
    if count == 0 {
        // The record may have expired by this clock but not by another one, and no server must return it any more.
        end_expired_of(conn, tenant, record, owner)?;
    }
    Ok(count > 0)
}

fn end_expired_of(
    conn: &mut Conn,
    tenant: &TenantId,
    record: RecordId,
    owner: Option<&Login>,
) -> Result<(), StoreError> {
    let expired = external_tokens::table
        .find(record.as_i64())
        .filter(external_tokens::tenant.eq(tenant.as_str()))
        .filter(external_tokens::ended.is_null());
    let ended = external_tokens::ended.eq(external_tokens::expires);
    match owner {
        Some(owner) => {
            let own = expired.filter(external_tokens::owner.eq(owner.as_str()));
            diesel::update(own).set((ended, shredded())).execute(conn)
        }
        None => diesel::update(expired).set((ended, shredded())).execute(conn),
    }?;
    Ok(())
}

/// Locks rows in the order of their ids. Every change of several rows does so first, so that no two servers deadlock.
pub(crate) fn lock_in_order(session: &mut Session, records: &[i64]) -> Result<(), StoreError> {
    let rows = external_tokens::table
        .filter(external_tokens::id.eq_any(records))
        .order(external_tokens::id)
        .select(external_tokens::id)
        .for_update();
    rows.load::<i64>(session)?;
    Ok(())
}

/// Returns some expired records that have not ended yet.
pub(crate) fn expired(conn: &mut Conn, now: i64) -> Result<Vec<i64>, StoreError> {
    let expired = external_tokens::table
        .filter(external_tokens::ended.is_null())
        .filter(external_tokens::expires.le(now))
        .order(external_tokens::expires)
        .select(external_tokens::id)
        .limit(BATCH);
    Ok(expired.load(conn)?)
}

/// Ends the expired ones of these records, as of their expiry.
pub(crate) fn end_expired(conn: &mut Conn, now: i64, records: &[i64]) -> Result<(), StoreError> {
    if let Conn::Postgres(session) = conn {
        lock_in_order(session, records)?;
    }
    let expired = external_tokens::table
        .filter(external_tokens::id.eq_any(records))
        .filter(external_tokens::ended.is_null())
        .filter(external_tokens::expires.le(now));
    let ended = external_tokens::ended.eq(external_tokens::expires);
    on_backend!(conn, |conn| diesel::update(expired).set((ended, shredded())).execute(conn))?;
    Ok(())
}

/// Returns some records that ended at `by` or before.
pub(crate) fn ended(conn: &mut Conn, by: i64) -> Result<Vec<i64>, StoreError> {
    let ended = external_tokens::table
        .filter(external_tokens::ended.le(by))
        .order(external_tokens::ended)
        .select(external_tokens::id)
        .limit(BATCH);
    Ok(ended.load(conn)?)
}

/// Removes those of these records that ended at `by` or before.
pub(crate) fn remove(conn: &mut Conn, records: &[i64], by: i64) -> Result<(), StoreError> {
    if let Conn::Postgres(session) = conn {
        lock_in_order(session, records)?;
    }
    let ended = external_tokens::table
        .filter(external_tokens::id.eq_any(records))
        .filter(external_tokens::ended.le(by));
    on_backend!(conn, |conn| diesel::delete(ended).execute(conn))?;
    grants::remove(conn, records)
}
