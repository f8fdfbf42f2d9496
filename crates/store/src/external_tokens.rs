//! The external_tokens table: sealing a carrier into a row, and opening a row with a key.
//!
//! Invariant: only this file turns a carrier into a row and back, and it never does so without the
//! retrieval key.

use aws_lc_rs::constant_time;
use diesel::prelude::*;
use model::{Login, Principal, Provider, RecordId, RetrievalKey, TenantId, TokenManagementInfo};

use crate::{
    StoreError,
    conn::Conn,
    ids,
    keyring::Keyring,
    schema::external_tokens,
    seal::{self, Dek, Place},
};

/// A record that its key opened.
#[derive(Debug)]
pub struct SavedTokens {
    /// Who saved it.
    pub owner: Login,
    /// What was saved.
    pub carrier: TokenManagementInfo,
}

/// A row; the plain columns are for listing and policy, the sealed ones hold the secrets.
#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = external_tokens)]
pub(crate) struct TokenRow {
    id: i64,
    tenant: String,
    owner: String,
    provider: String,
    generation: i32,
    key_digest: Vec<u8>,
    kek_id: String,
    wrapped_dek: Vec<u8>,
    sealed: Vec<u8>,
    created: i64,
    updated: i64,
}

/// The row of a new record.
pub(crate) fn seal(
    owner: &Principal,
    carrier: &TokenManagementInfo,
    key: &RetrievalKey,
    keyring: &Keyring,
) -> TokenRow {
    let place = Place {
        tenant: &owner.tenant,
        record: key.record(),
        provider: &carrier.provider,
        generation: 1,
    };
    let dek = Dek::generate();
    let kek = keyring.active();
    let now = ids::now();
    TokenRow {
        id: key.record().as_i64(),
        tenant: owner.tenant.as_str().to_owned(),
        owner: owner.login.as_str().to_owned(),
        provider: carrier.provider.as_str().to_owned(),
        generation: place.generation,
        key_digest: seal::key_digest(key).to_vec(),
        kek_id: kek.id().to_owned(),
        wrapped_dek: kek.wrap(&dek, place),
        sealed: seal::seal(carrier, &dek, key, place),
        created: now,
        updated: now,
    }
}

/// Adds a row; `Conflict` if the id is taken.
pub(crate) fn insert(conn: &mut Conn, row: &TokenRow) -> Result<(), StoreError> {
    diesel::insert_into(external_tokens::table).values(row).execute(conn)?;
    Ok(())
}

/// What `key` opens in this tenant. An unknown id, a wrong secret and another tenant's record are
/// told apart neither by the answer nor by the work done (CONTRACT 8).
pub(crate) fn open(
    conn: &mut Conn,
    tenant: &TenantId,
    key: &RetrievalKey,
    keyring: &Keyring,
) -> Result<Option<SavedTokens>, StoreError> {
    let record = external_tokens::table.find(key.record().as_i64());
    // The digest alone first: the blobs of a record are not loaded for whoever lacks its key.
    let found: Option<(Vec<u8>, String)> = record
        .select((external_tokens::key_digest, external_tokens::tenant))
        .first(conn)
        .optional()?;
    let (expected, found_in) = found.unwrap_or_else(|| (vec![0; 32], String::new()));
    let digest = seal::key_digest(key);
    let is_right = constant_time::verify_slices_are_equal(&expected, &digest).is_ok();
    if !is_right || found_in != tenant.as_str() {
        return Ok(None);
    }
    let row: Option<TokenRow> = record.select(TokenRow::as_select()).first(conn).optional()?;
    let damaged = StoreError::Damaged(key.record());
    row.map(|row| row.open(tenant, key, keyring).ok_or(damaged)).transpose()
}

impl TokenRow {
    /// `None` if anything about the row is not as it was sealed.
    fn open(self, tenant: &TenantId, key: &RetrievalKey, keyring: &Keyring) -> Option<SavedTokens> {
        let provider = Provider::parse(&self.provider).ok()?;
        let record = RecordId::from_i64(self.id)?;
        let place = Place { tenant, record, provider: &provider, generation: self.generation };
        let dek = keyring.find(&self.kek_id)?.unwrap(&self.wrapped_dek, place).ok()?;
        let carrier = seal::open(&self.sealed, &dek, key, place).ok()?;
        Some(SavedTokens { owner: Login::parse(&self.owner).ok()?, carrier })
    }
}
