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
    seal::{self, Contents, Dek, Place},
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
    let contents = Contents {
        access_token: carrier.access_token.clone(),
        refresh_token: carrier.refresh_token.clone(),
        claims: carrier.claims.clone(),
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
        sealed: seal::seal(&contents, &dek, key, place),
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
    let row: Option<TokenRow> = external_tokens::table
        .find(key.record().as_i64())
        .select(TokenRow::as_select())
        .first(conn)
        .optional()?;
    let expected: &[u8] = row.as_ref().map_or(&[0; 32], |row| &row.key_digest);
    let is_right = constant_time::verify_slices_are_equal(expected, &seal::key_digest(key)).is_ok();
    match row {
        Some(row) if is_right && row.tenant == tenant.as_str() => {
            let damaged = StoreError::Damaged(key.record());
            row.open(tenant, key, keyring).map(Some).ok_or(damaged)
        }
        _ => Ok(None),
    }
}

impl TokenRow {
    /// `None` if anything about the row is not as it was sealed.
    fn open(self, tenant: &TenantId, key: &RetrievalKey, keyring: &Keyring) -> Option<SavedTokens> {
        let provider = Provider::parse(&self.provider).ok()?;
        let record = RecordId::from_i64(self.id)?;
        let place = Place { tenant, record, provider: &provider, generation: self.generation };
        let dek = keyring.find(&self.kek_id)?.unwrap(&self.wrapped_dek, place).ok()?;
        let contents = seal::open(&self.sealed, &dek, key, place).ok()?;
        Some(SavedTokens {
            owner: Login::parse(&self.owner).ok()?,
            carrier: TokenManagementInfo {
                provider,
                access_token: contents.access_token,
                refresh_token: contents.refresh_token,
                claims: contents.claims,
            },
        })
    }
}
