//! Another retrieval key for a record.
//!
//! Invariant: the key changes only while no server may come back with tokens that it sealed for the old key, because
//! these could not be kept. One transaction sees to both.

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
    /// The digests of the key that opened them, and of the other one.
    pub(crate) digests: [[u8; 32]; 2],
    pub(crate) sealed: SealedTokens,
}

/// What became of the wish for another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyChange {
    /// The record has it.
    Done,
    /// The record has other tokens or another key now, or ended: it must be read again.
    Moved,
    /// Another server may be refreshing it.
    Leased,
}

/// Puts another key, and the same tokens sealed for it, in the place of what a record has. `KeyRetired` if the database
/// does not know their master key. The tokens stay what they were, so that `updated` and their ends do.
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
