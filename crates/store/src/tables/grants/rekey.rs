//! Replacement of a record's retrieval key.
//!
//! Invariant: the key changes only while no server may return with tokens that it sealed for the old key, because those
//! would be lost. The check and the change are one transaction.

use diesel::prelude::*;
use model::RecordId;

use super::{Grant, find, lease::LeaseHolder, lock};
use crate::{
    StoreError,
    backend::conn::Conn,
    tables::{external_tokens::SealedTokens, keks, schema::external_tokens},
};

/// The tokens of a record, sealed for another key.
#[derive(Clone)]
pub(crate) struct Resealed {
    pub(crate) record: RecordId,
    /// The generation that they were opened in.
    pub(crate) replaced: i32,
    /// The digests of the old key and of the new one.
    pub(crate) digests: [[u8; 32]; 2],
    pub(crate) sealed: SealedTokens,
}

/// Outcome of changing a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyChange {
    /// The record has the new key.
    Done,
    /// The record has other tokens or another key now, or has ended; read it again.
    Moved,
    /// Another server may be refreshing the record.
    Leased,
}

/// Replaces a record's key, and its tokens by the same ones sealed for the new key. `KeyRetired`: the database does not
/// know their master key. `updated` and the expiry times stay, because the tokens are the same.
pub(crate) fn change(
    conn: &mut Conn,
    now: i64,
    holder: &LeaseHolder,
    new: &Resealed,
) -> Result<KeyChange, StoreError> {
    let Resealed { record, replaced, digests: [before, after], sealed } = new;
    keks::hold(conn, &sealed.kek_id)?;
    match lock(conn, *record)? {
        Some(current)
            if current.lives(now)
                && current.generation == *replaced
                && current.key_digest == before => {}
        _ => return Ok(KeyChange::Moved),
    }
    let grant = find(conn, *record)?.map(Grant::from);
    if grant.is_some_and(|grant| grant.may_be_refreshed_elsewhere(holder, now)) {
        return Ok(KeyChange::Leased);
    }
    let tokens = (
        external_tokens::generation.eq(sealed.generation),
        external_tokens::key_digest.eq(after.as_slice()),
        external_tokens::kek_id.eq(&sealed.kek_id),
        external_tokens::wrapped_dek.eq(&sealed.wrapped_dek),
        external_tokens::sealed.eq(&sealed.sealed),
    );
    let changed = external_tokens::table.find(record.as_i64());
    diesel::update(changed).set(tokens).execute(conn)?;
    Ok(KeyChange::Done)
}
