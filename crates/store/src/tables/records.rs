//! Records without what is sealed in them: listing, describing, ending and removing them.
//!
//! Invariant: no blob is handed to the server here. Whatever ends a record takes its data key and its tokens away in the
//! same statement, and what has ended never lives again.

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

/// How many records a list looks at, at most, before it answers what it has found so far.
const LOOKED_AT: usize = 2_000;
/// How many it looks at together, at least.
const TOGETHER: usize = 200;
/// How many rows are ended or removed together.
pub(crate) const BATCH: i64 = 256;

/// What is known about a record without its key. Times are microseconds since 1970 UTC.
#[derive(Clone, Debug)]
pub struct RecordInfo {
    /// Its id, which is a part of its key.
    pub id: RecordId,
    /// Who saved it.
    pub owner: Login,
    /// Who issued the tokens.
    pub provider: String,
    /// When it was saved.
    pub created: i64,
    /// When its tokens were last changed.
    pub updated: i64,
    /// When its tokens were last got, roughly.
    pub last_used: Option<i64>,
    /// When it stops to live, or did, if nothing happens before.
    pub expires: Option<i64>,
    /// Since when it lives no more.
    pub ended: Option<i64>,
    /// Counts how often the tokens were replaced; 1 for those that were saved.
    pub generation: i32,
    /// When the access token ends, if that is known.
    pub access_expires: Option<i64>,
    /// The grant behind the tokens; the default if no refresh was tried.
    pub grant: Grant,
}

/// Which records are wanted.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Of which tenant.
    pub tenant: TenantId,
    /// Of whom; of everybody if not told.
    pub owner: Option<Login>,
    /// Of which provider, exactly; of every one if not told.
    pub provider: Option<String>,
    /// Also those that live no more.
    pub include_ended: bool,
    /// Behind which one.
    pub after: Option<Position>,
    /// How many at most.
    pub limit: usize,
}

/// A place in a list: right behind a record, which may be one that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Whose record it is.
    pub owner: String,
    /// The record's id.
    pub record: i64,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// The records, by owner and id. There may be fewer than were asked for, or none, and yet more to come.
    pub records: Vec<RecordInfo>,
    /// Where the next page begins; `None` if there is nothing more.
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
    /// `None` for a row that cannot be read.
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

/// What a record's id and owner are; `None` if no record of this server has such ones.
pub(crate) fn readable(id: i64, owner: &str) -> Option<(RecordId, Login)> {
    Some((RecordId::from_i64(id)?, Login::parse(owner).ok()?))
}

impl Listing {
    fn wants(&self, record: &RecordInfo) -> bool {
        (self.include_ended || record.ended.is_none())
            && self.provider.as_ref().is_none_or(|provider| *provider == record.provider)
    }
}

/// A page of a tenant's records.
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
            // Also behind a row that cannot be read, or the list would come to it again and again.
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

/// The rows behind a place: the rest of that owner's, then those of the owners behind it, so that both are
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

/// A record of a tenant, living or not.
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

/// The record of a key in a tenant, living or not (CONTRACT 8).
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

/// How many records a user has, ended ones included.
pub(crate) fn count(conn: &mut Conn, tenant: &TenantId, owner: &Login) -> Result<u64, StoreError> {
    let of_owner = external_tokens::table
        .filter(external_tokens::tenant.eq(tenant.as_str()))
        .filter(external_tokens::owner.eq(owner.as_str()));
    Ok(of_owner.count().get_result::<i64>(conn)?.unsigned_abs())
}

/// What is taken from a record that ends.
#[diesel::dsl::auto_type]
fn shredded() -> _ {
    let (nothing, no_key): (&'static [u8], &'static str) = (&[], "");
    (
        external_tokens::wrapped_dek.eq(nothing),
        external_tokens::sealed.eq(nothing),
        external_tokens::kek_id.eq(no_key),
    )
}

/// Ends a record of a tenant now, if it lives, is this owner's, or anybody's, and has this generation, or any; whether it
/// did.
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
        // It may have expired by this clock and not by another: it must not be served by any.
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

/// Locks rows in the order of their ids, as whoever changes several does before: so no two servers wait for
/// each other.
pub(crate) fn lock_in_order(session: &mut Session, records: &[i64]) -> Result<(), StoreError> {
    let rows = external_tokens::table
        .filter(external_tokens::id.eq_any(records))
        .order(external_tokens::id)
        .select(external_tokens::id)
        .for_update();
    rows.load::<i64>(session)?;
    Ok(())
}

/// Some records that expired and have not ended yet.
pub(crate) fn expired(conn: &mut Conn, now: i64) -> Result<Vec<i64>, StoreError> {
    let expired = external_tokens::table
        .filter(external_tokens::ended.is_null())
        .filter(external_tokens::expires.le(now))
        .order(external_tokens::expires)
        .select(external_tokens::id)
        .limit(BATCH);
    Ok(expired.load(conn)?)
}

/// Ends those of the records that expired, as of the time when they did.
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

/// Some records that ended by then.
pub(crate) fn ended(conn: &mut Conn, by: i64) -> Result<Vec<i64>, StoreError> {
    let ended = external_tokens::table
        .filter(external_tokens::ended.le(by))
        .order(external_tokens::ended)
        .select(external_tokens::id)
        .limit(BATCH);
    Ok(ended.load(conn)?)
}

/// Removes those of the records that ended by then.
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
