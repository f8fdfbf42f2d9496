//! The tables of the audit log: anchors of its chains, and audit keys of retired master keys.
//!
//! Invariant: an anchor only moves forward.

use diesel::prelude::*;

use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    seal::AuditKey,
    tables::schema::{audit_anchors, audit_keys},
};

/// The last line of a chain of the audit log that was anchored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditAnchor {
    /// The random name of the chain.
    pub chain: String,
    /// The sequence number of the line.
    pub sequence: i64,
    /// The line's MAC.
    pub mac: [u8; 32],
}

/// The row of an anchor.
#[derive(PartialEq, Insertable, Queryable, Selectable, AsChangeset)]
#[diesel(table_name = audit_anchors)]
pub(crate) struct AnchorRow {
    pub(crate) chain: String,
    pub(crate) sequence: i64,
    pub(crate) mac: Vec<u8>,
    pub(crate) kek_id: String,
    pub(crate) anchored: i64,
    pub(crate) signature: Vec<u8>,
}

impl AnchorRow {
    /// Makes the signed row of an anchor.
    pub(crate) fn new(anchor: &AuditAnchor, key: &AuditKey, now: i64) -> Self {
        let AuditAnchor { chain, sequence, mac } = anchor;
        Self {
            chain: chain.clone(),
            sequence: *sequence,
            mac: mac.to_vec(),
            kek_id: key.kek_id().to_owned(),
            anchored: now,
            signature: key.sign_anchor(chain, *sequence, mac).to_vec(),
        }
    }

    /// Returns the anchor if one of these keys signed it.
    pub(crate) fn open(&self, keys: &[AuditKey]) -> Option<AuditAnchor> {
        let Self { chain, sequence, mac, kek_id, signature, .. } = self;
        let key = keys.iter().find(|key| key.kek_id() == kek_id)?;
        let mac = <[u8; 32]>::try_from(mac.as_slice()).ok()?;
        let is_genuine = key.signed_anchor(chain, *sequence, &mac, signature);
        is_genuine.then(|| AuditAnchor { chain: chain.clone(), sequence: *sequence, mac })
    }
}

/// The row of the audit key of a retired master key.
#[derive(PartialEq, Insertable, Queryable, Selectable)]
#[diesel(table_name = audit_keys)]
pub(crate) struct AuditKeyRow {
    pub(crate) kek_id: String,
    pub(crate) sealed_by: String,
    pub(crate) sealed: Vec<u8>,
}

/// Writes an anchor, unless a later one of its chain is there.
pub(crate) fn anchor(conn: &mut Conn, row: &AnchorRow) -> Result<(), StoreError> {
    let earlier =
        audit_anchors::table.find(&row.chain).filter(audit_anchors::sequence.lt(row.sequence));
    if diesel::update(earlier).set(row).execute(conn)? == 0 {
        let insert = diesel::insert_into(audit_anchors::table).values(row).on_conflict_do_nothing();
        on_backend!(conn, |conn| insert.execute(conn))?;
    }
    Ok(())
}

/// Finds the anchor of a chain.
pub(crate) fn find_anchor(conn: &mut Conn, chain: &str) -> Result<Option<AnchorRow>, StoreError> {
    let row = audit_anchors::table.find(chain).select(AnchorRow::as_select());
    Ok(row.first(conn).optional()?)
}

/// Returns the sealed audit keys of retired master keys.
pub(crate) fn keys(conn: &mut Conn) -> Result<Vec<AuditKeyRow>, StoreError> {
    Ok(audit_keys::table.select(AuditKeyRow::as_select()).load(conn)?)
}

/// Adds or replaces a sealed audit key.
pub(crate) fn put_key(conn: &mut Conn, row: &AuditKeyRow) -> Result<(), StoreError> {
    diesel::delete(audit_keys::table.find(&row.kek_id)).execute(conn)?;
    diesel::insert_into(audit_keys::table).values(row).execute(conn)?;
    Ok(())
}
