//! The keys and anchors of the audit log.
//!
//! Invariant: the audit key of every master key that was active here can be read, even after the key's retirement.

use crate::{
    Store, StoreError,
    backend::conn::Conn,
    keys::keyring::Keyring,
    seal::AuditKey,
    tables::audit::{self, AnchorRow, AuditAnchor, AuditKeyRow},
    write::lock_order::{LockOrder, Write},
};

/// The anchor of a chain, as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundAnchor {
    /// No line of the chain was anchored.
    Missing,
    /// The row was changed, or its key is missing.
    Forged,
    /// The anchor.
    Found(AuditAnchor),
}

impl Store {
    /// Returns the key that signs new lines of the audit log.
    pub fn audit_key(&self) -> AuditKey {
        self.0.keyring.current().active().audit_key().clone()
    }

    /// Returns the audit key of every master key, in use or retired. The active one is the first.
    pub async fn audit_keys(&self) -> Result<Vec<AuditKey>, StoreError> {
        let (keyring, _rows) = self.load_keyring().await?;
        let rows = self.0.readers.run(audit::keys).await?;
        let in_use = keyring.keks().map(|kek| kek.audit_key().clone());
        Ok(in_use.chain(rows.iter().filter_map(|row| open(&keyring, row))).collect())
    }

    /// Anchors the last line of a chain.
    pub async fn anchor_audit(&self, last: AuditAnchor) -> Result<(), StoreError> {
        let key = self.audit_key();
        let change =
            move |conn: &mut Conn, now| audit::anchor(conn, &AnchorRow::new(&last, &key, now));
        self.write_at(Write::of(LockOrder::Nothing), change).await
    }

    /// Finds the anchor of a chain.
    pub async fn audit_anchor(&self, chain: String) -> Result<FoundAnchor, StoreError> {
        let row = self.0.readers.run(move |conn| audit::find_anchor(conn, &chain)).await?;
        let Some(row) = row else { return Ok(FoundAnchor::Missing) };
        let keys = self.audit_keys().await?;
        Ok(row.open(&keys).map_or(FoundAnchor::Forged, FoundAnchor::Found))
    }
}

/// Keeps the audit key of a master key that is being retired, and those that it seals, under the active key. A key
/// that is missing here is skipped: its lines can then no longer be verified.
pub(super) fn keep_keys(
    conn: &mut Conn,
    keyring: &Keyring,
    retired: &str,
) -> Result<(), StoreError> {
    let Some(kek) = keyring.find(retired) else { return Ok(()) };
    let older = audit::keys(conn)?.into_iter().filter(|row| row.sealed_by == retired);
    let older: Vec<AuditKey> = older.filter_map(|row| open(keyring, &row)).collect();
    let active = keyring.active();
    for key in older.iter().chain([kek.audit_key()]) {
        audit::put_key(
            conn,
            &AuditKeyRow {
                kek_id: key.kek_id().to_owned(),
                sealed_by: active.id().to_owned(),
                sealed: active.seal_audit_key(key),
            },
        )?;
    }
    Ok(())
}

fn open(keyring: &Keyring, row: &AuditKeyRow) -> Option<AuditKey> {
    keyring.find(&row.sealed_by)?.open_audit_key(&row.kek_id, &row.sealed).ok()
}
