//! Replacement of a record's tokens by others that did not come from a refresh.
//!
//! Invariant: no attempt claimed before a replacement changes the record afterwards, neither by a late success nor by a
//! late failure.

use model::RecordId;

use super::{GrantRow, NewGrant, find, lock, outcome, remove, write};
use crate::{
    StoreError,
    backend::conn::Conn,
    tables::{external_tokens::SealedTokens, keks},
};

/// Tokens that replace those of a record, sealed for its next generation.
pub(crate) struct Substitute {
    pub(crate) record: RecordId,
    /// The generation of the replaced tokens.
    pub(crate) replaced: i32,
    pub(crate) key_digest: [u8; 32],
    pub(crate) access_expires: Option<i64>,
    pub(crate) grant: Option<NewGrant>,
    pub(crate) sealed: SealedTokens,
}

/// Outcome of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The record has the new tokens.
    Done,
    /// The record has other tokens than those to be replaced.
    Moved,
    /// The record has ended, or does not exist.
    Ended,
}

/// Replaces the tokens of a record. `KeyRetired`: the database does not know their master key.
pub(crate) fn replace(conn: &mut Conn, now: i64, new: &Substitute) -> Result<Replaced, StoreError> {
    keks::hold(conn, &new.sealed.kek_id)?;
    let current = lock(conn, new.record)?;
    let current = current.filter(|found| found.key_digest == new.key_digest && found.lives(now));
    match current {
        None => return Ok(Replaced::Ended),
        Some(current) if current.generation != new.replaced => return Ok(Replaced::Moved),
        Some(_) => {}
    }
    outcome::put(conn, now, new.record, &new.sealed, new.access_expires)?;
    let fresh = new.grant.map(|grant| GrantRow::of_exchange(new.record, grant, now));
    match (find(conn, new.record)?, fresh) {
        (Some(before), Some(fresh)) => {
            let attempt = before.attempt + 1;
            let reported = before.reported;
            write(conn, &GrantRow { attempt, won_by: Some(attempt), reported, ..fresh })?;
        }
        (None, Some(fresh)) => fresh.insert(conn)?,
        // Without a row, no late success counts as later than the current tokens.
        (Some(_), None) => remove(conn, &[new.record.as_i64()])?,
        (None, None) => {}
    }
    Ok(Replaced::Done)
}
