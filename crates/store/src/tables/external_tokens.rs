//! The external_tokens table: sealing a carrier into a row, and opening a row with a key.
//!
//! Invariant: only this file turns a carrier into a row and back. It always needs the retrieval key.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use aws_lc_rs::constant_time;
use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary, Integer, Nullable, Text},
};
use model::{
    GrantDetails, Login, Principal, Provider, RecordId, RetrievalKey, SecretText, TenantId,
    TokenManagementInfo,
};

use crate::{
    StoreError,
    backend::{
        conn::{Conn, on_backend},
        postgres::durable,
    },
    expiry_limits::ExpiryPolicy,
    seal::{self, Dek, Kek, SealContext},
    tables::{keks, schema::external_tokens},
};

/// A record that its key opened.
#[derive(Clone, Debug)]
pub struct SavedTokens {
    /// The login that saved it.
    pub owner: Login,
    /// The tokens that were saved, or came with the last refresh.
    pub carrier: TokenManagementInfo,
    /// Further details from the provider about the grant.
    pub details: GrantDetails,
    /// 1 for the saved tokens, plus 1 for each replacement.
    pub generation: i32,
    /// Time of the last change of the tokens, in microseconds since 1970 UTC.
    pub updated: i64,
    /// Expiry of the access token, if known, in microseconds since 1970 UTC by the database's clock.
    pub access_expires: Option<i64>,
    /// Times of the record.
    pub times: RecordTimes,
}

impl SavedTokens {
    /// Compares a token with the stored access token, in constant time.
    pub fn has_access_token(&self, token: &SecretText) -> bool {
        self.carrier.access_token.as_ref().is_some_and(|stored| {
            let (stored, token) = (stored.expose().as_bytes(), token.expose().as_bytes());
            constant_time::verify_slices_are_equal(stored, token).is_ok()
        })
    }
}

/// Times of a record's life, as far as the database knows, in microseconds since 1970 UTC.
#[derive(Clone, Copy, Debug)]
pub struct RecordTimes {
    /// The record's id.
    pub record: RecordId,
    /// Time of the save.
    pub created: i64,
    /// Time of the last get, approximately.
    pub last_used: Option<i64>,
    /// Time of expiry.
    pub expires: Option<i64>,
}

/// A row. The plain columns are for listing and policy; the sealed ones hold the secrets.
#[derive(Clone, PartialEq, Insertable, Queryable, Selectable)]
#[diesel(table_name = external_tokens)]
pub(crate) struct TokenRow {
    pub(crate) id: i64,
    tenant: String,
    owner: String,
    provider: String,
    generation: i32,
    key_digest: Vec<u8>,
    kek_id: String,
    wrapped_dek: Vec<u8>,
    sealed: Vec<u8>,
    created: i64,
    pub(crate) updated: i64,
    last_used: Option<i64>,
    expires: Option<i64>,
    ended: Option<i64>,
    access_expires: Option<i64>,
}

/// The tokens of a record, sealed for one generation of it.
#[derive(Clone)]
pub(crate) struct SealedTokens {
    pub(crate) generation: i32,
    pub(crate) kek_id: String,
    pub(crate) wrapped_dek: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
}

/// The plaintext: tokens, and the provider's details of the grant.
#[derive(Clone, Copy)]
pub(crate) struct Tokens<'a> {
    pub(crate) carrier: &'a TokenManagementInfo,
    pub(crate) details: &'a GrantDetails,
}

impl SealedTokens {
    /// Seals tokens under a new DEK.
    pub(crate) fn new(
        tokens: Tokens<'_>,
        tenant: &TenantId,
        generation: i32,
        key: &RetrievalKey,
        kek: &Kek,
    ) -> Self {
        let provider = &tokens.carrier.provider;
        let context = SealContext { tenant, record: key.record(), provider, generation };
        let dek = Dek::generate();
        Self {
            generation,
            kek_id: kek.id().to_owned(),
            wrapped_dek: kek.wrap(&dek, context),
            sealed: seal::seal(tokens.carrier, tokens.details, &dek, key, context),
        }
    }
}

/// Seals the row of a new record. `access_expires` is the expiry of its access token.
pub(crate) fn seal(
    owner: &Principal,
    tokens: Tokens<'_>,
    access_expires: Option<i64>,
    key: &RetrievalKey,
    kek: &Kek,
    now: i64,
) -> TokenRow {
    let sealed = SealedTokens::new(tokens, &owner.tenant, 1, key, kek);
    let SealedTokens { generation, kek_id, wrapped_dek, sealed } = sealed;
    TokenRow {
        id: key.record().as_i64(),
        tenant: owner.tenant.as_str().to_owned(),
        owner: owner.login.as_str().to_owned(),
        provider: tokens.carrier.provider.as_str().to_owned(),
        generation,
        key_digest: seal::key_digest(key).to_vec(),
        kek_id,
        wrapped_dek,
        sealed,
        created: now,
        updated: now,
        last_used: None,
        expires: None,
        ended: None,
        access_expires,
    }
}

impl TokenRow {
    /// Returns the id of the master key that it is sealed under, or an empty text after its end.
    pub(crate) fn kek_id(&self) -> &str {
        &self.kek_id
    }

    /// Sets the expiry of a new record by these limits.
    pub(crate) fn with_end(self, expiry_policy: &ExpiryPolicy) -> Self {
        let expires = expiry_policy.of(&self.provider).expiry(self.created);
        Self { expires, ..self }
    }

    /// Returns the row's approximate size in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.provider.len() + self.sealed.len()
    }
}

/// Inserts all rows or none. Needs a transaction on SQLite, so that the keys stay.
///
/// # Errors
/// - `Conflict`: an id is taken.
/// - `KeyRetired`: the database does not know the key of a row.
pub(crate) fn insert_all(conn: &mut Conn, rows: &[&TokenRow]) -> Result<(), StoreError> {
    let kek_ids: BTreeSet<&str> = rows.iter().map(|row| row.kek_id.as_str()).collect();
    let Some(first_id) = kek_ids.first() else { return Ok(()) };
    if let Conn::Sqlite(_) = conn {
        kek_ids.iter().try_for_each(|id| keks::hold(conn, id))?;
    }
    match conn {
        // SQLite prepares the statement once, and needs no round trips.
        Conn::Sqlite(conn) => {
            for row in rows {
                diesel::insert_into(external_tokens::table).values(*row).execute(conn)?;
            }
        }
        Conn::Postgres(session) => {
            let known = Vec::from_iter(kek_ids.iter().copied());
            if session.execute_returning_count(&InsertAll::of(rows, known))? == 0 {
                return Err(StoreError::KeyRetired((*first_id).to_owned()));
            }
        }
    }
    Ok(())
}

/// The columns of many rows. The same statement serves any number of rows, so it is prepared once. It keeps their
/// master keys from being retired until the commit. If a key was retired already, it inserts nothing.
struct InsertAll<'a> {
    needed_keks: Vec<&'a str>,
    needed_keks_count: i64,
    ids: Vec<i64>,
    tenants: Vec<&'a str>,
    owners: Vec<&'a str>,
    providers: Vec<&'a str>,
    generations: Vec<i32>,
    key_digests: Vec<&'a [u8]>,
    kek_ids: Vec<&'a str>,
    wrapped_deks: Vec<&'a [u8]>,
    sealed: Vec<&'a [u8]>,
    created: Vec<i64>,
    updated: Vec<i64>,
    expires: Vec<Option<i64>>,
    access_expires: Vec<Option<i64>>,
}

impl<'a> InsertAll<'a> {
    fn of(rows: &[&'a TokenRow], needed_keks: Vec<&'a str>) -> Self {
        Self {
            needed_keks_count: needed_keks.len() as i64,
            needed_keks,
            ids: rows.iter().map(|row| row.id).collect(),
            tenants: rows.iter().map(|row| row.tenant.as_str()).collect(),
            owners: rows.iter().map(|row| row.owner.as_str()).collect(),
            providers: rows.iter().map(|row| row.provider.as_str()).collect(),
            generations: rows.iter().map(|row| row.generation).collect(),
            key_digests: rows.iter().map(|row| row.key_digest.as_slice()).collect(),
            kek_ids: rows.iter().map(|row| row.kek_id.as_str()).collect(),
            wrapped_deks: rows.iter().map(|row| row.wrapped_dek.as_slice()).collect(),
            sealed: rows.iter().map(|row| row.sealed.as_slice()).collect(),
            created: rows.iter().map(|row| row.created).collect(),
            updated: rows.iter().map(|row| row.updated).collect(),
            expires: rows.iter().map(|row| row.expires).collect(),
            access_expires: rows.iter().map(|row| row.access_expires).collect(),
        }
    }
}

impl QueryId for InsertAll<'_> {
    type QueryId = InsertAll<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for InsertAll<'_> {
    fn walk_ast<'b>(&'b self, mut sql: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        sql.push_sql(concat!(
            "WITH durable AS (",
            durable!(),
            "), known AS (SELECT id FROM keks WHERE id = ANY("
        ));
        sql.push_bind_param::<Array<Text>, _>(&self.needed_keks)?;
        sql.push_sql(
            ") FOR KEY SHARE) INSERT INTO external_tokens (id, tenant, owner, provider, generation, key_digest, \
             kek_id, wrapped_dek, sealed, created, updated, expires, access_expires) SELECT * FROM unnest(",
        );
        sql.push_bind_param::<Array<BigInt>, _>(&self.ids)?;
        for texts in [&self.tenants, &self.owners, &self.providers] {
            sql.push_sql(", ");
            sql.push_bind_param::<Array<Text>, _>(texts)?;
        }
        sql.push_sql(", ");
        sql.push_bind_param::<Array<Integer>, _>(&self.generations)?;
        sql.push_sql(", ");
        sql.push_bind_param::<Array<Binary>, _>(&self.key_digests)?;
        sql.push_sql(", ");
        sql.push_bind_param::<Array<Text>, _>(&self.kek_ids)?;
        for blobs in [&self.wrapped_deks, &self.sealed] {
            sql.push_sql(", ");
            sql.push_bind_param::<Array<Binary>, _>(blobs)?;
        }
        for times in [&self.created, &self.updated] {
            sql.push_sql(", ");
            sql.push_bind_param::<Array<BigInt>, _>(times)?;
        }
        for times in [&self.expires, &self.access_expires] {
            sql.push_sql(", ");
            sql.push_bind_param::<Array<Nullable<BigInt>>, _>(times)?;
        }
        sql.push_sql(") WHERE (SELECT count(*) FROM known) = ");
        sql.push_bind_param::<BigInt, _>(&self.needed_keks_count)?;
        // Always true, but needed because PostgreSQL evaluates only the parts that the query uses.
        sql.push_sql(" AND (SELECT count(*) FROM durable) < 2");
        Ok(())
    }
}

/// The key of a look-up: a record's id, and the digest of its retrieval key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct TokenLookup {
    record: RecordId,
    digest: [u8; 32],
}

impl TokenLookup {
    /// Returns the look-up of this key.
    pub(crate) fn by(key: &RetrievalKey) -> Self {
        Self { record: key.record(), digest: seal::key_digest(key) }
    }
}

/// Finds the row of this id and this digest. With a wrong secret the database finds no row and loads no blob. So an
/// unknown id and a wrong secret cost the same (CONTRACT 8).
pub(crate) fn find(conn: &mut Conn, wanted: &TokenLookup) -> Result<Option<TokenRow>, StoreError> {
    let found = external_tokens::table
        .find(wanted.record.as_i64())
        .filter(external_tokens::key_digest.eq(wanted.digest.as_slice()));
    Ok(on_backend!(conn, |conn| found.select(TokenRow::as_select()).first(conn)).optional()?)
}

/// Finds many rows at once.
pub(crate) fn find_all(
    conn: &mut Conn,
    wanted: &[TokenLookup],
) -> Result<HashMap<TokenLookup, TokenRow>, StoreError> {
    let ids: Vec<i64> = wanted.iter().map(|wanted| wanted.record.as_i64()).collect();
    let digests: Vec<&[u8]> = wanted.iter().map(|wanted| wanted.digest.as_slice()).collect();
    let found = external_tokens::table
        .filter(external_tokens::id.eq_any(ids))
        .filter(external_tokens::key_digest.eq_any(digests));
    let rows: Vec<TokenRow> =
        on_backend!(conn, |conn| found.select(TokenRow::as_select()).load(conn))?;
    let found = rows.into_iter().filter_map(|row| {
        let record = RecordId::from_i64(row.id)?;
        let digest = row.key_digest.as_slice().try_into().ok()?;
        Some((TokenLookup { record, digest }, row))
    });
    Ok(found.collect())
}

impl TokenRow {
    /// Opens the row. Returns `None` in another tenant, for another key, and after its end or expiry (CONTRACT 8).
    ///
    /// # Errors
    /// `Damaged`: a part of the row is not as it was sealed, or its master key is missing.
    pub(crate) fn open(
        self,
        tenant: &TenantId,
        key: &RetrievalKey,
        wanted: &TokenLookup,
        kek: Option<&Kek>,
        now: i64,
    ) -> Result<Option<SavedTokens>, StoreError> {
        let is_right =
            constant_time::verify_slices_are_equal(&self.key_digest, &wanted.digest).is_ok();
        if !is_right || self.tenant != tenant.as_str() || !self.lives(now) {
            return Ok(None);
        }
        kek.and_then(|kek| self.try_open(tenant, key, kek))
            .map(Some)
            .ok_or(StoreError::Damaged(key.record()))
    }

    /// Returns whether the record has neither ended nor expired.
    pub(crate) fn lives(&self, now: i64) -> bool {
        self.ended.is_none() && !self.has_expired(now)
    }

    /// Returns whether the record is of this tenant, and has expired without being ended.
    pub(crate) fn is_to_end(&self, tenant: &TenantId, now: i64) -> bool {
        self.tenant == tenant.as_str() && self.ended.is_none() && self.has_expired(now)
    }

    fn has_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn try_open(self, tenant: &TenantId, key: &RetrievalKey, kek: &Kek) -> Option<SavedTokens> {
        let provider = Provider::parse(&self.provider).ok()?;
        let record = RecordId::from_i64(self.id)?;
        let context =
            SealContext { tenant, record, provider: &provider, generation: self.generation };
        let dek = kek.unwrap(&self.wrapped_dek, context).ok()?;
        let (carrier, details) = seal::open(&self.sealed, &dek, key, context).ok()?;
        let Self { created, last_used, expires, generation, updated, access_expires, .. } = self;
        let times = RecordTimes { record, created, last_used, expires };
        let owner = Login::parse(&self.owner).ok()?;
        Some(SavedTokens { owner, carrier, details, generation, updated, access_expires, times })
    }
}
