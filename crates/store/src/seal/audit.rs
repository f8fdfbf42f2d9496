//! The key of the audit log: it signs lines and anchors.
//!
//! Invariant: each master key has one audit key, derived by HKDF-SHA-256. The audit key reveals nothing about the
//! master key, so it may outlive it.

use std::{fmt, sync::Arc};

use aws_lc_rs::{hkdf, hmac};
use model::wiping_stack;
use zeroize::Zeroizing;

use super::format::{KEY_LEN, part};

/// A key of the audit log. Cheap to clone.
#[derive(Clone)]
pub struct AuditKey(Arc<Inner>);

struct Inner {
    kek_id: String,
    bytes: Zeroizing<[u8; KEY_LEN]>,
    key: hmac::Key,
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditKey").field(&self.0.kek_id).finish()
    }
}

impl AuditKey {
    /// Derives the audit key of a master key from its pseudorandom key.
    pub(super) fn derive(kek_id: &str, prk: &hkdf::Prk) -> Self {
        wiping_stack(|| {
            let mut bytes = Zeroizing::new([0; KEY_LEN]);
            let okm = prk.expand(&[b"latchkey audit v1"], hkdf::HKDF_SHA256);
            let filled = okm.and_then(|okm| okm.fill(bytes.as_mut_slice()));
            filled.expect("32 bytes are not too many");
            Self::new(kek_id, bytes)
        })
    }

    /// Creates the key from the bytes of a blob; `None` if there are not 32.
    pub(super) fn of_bytes(kek_id: &str, bytes: &[u8]) -> Option<Self> {
        let mut own = Zeroizing::new([0; KEY_LEN]);
        if bytes.len() != KEY_LEN {
            return None;
        }
        own.copy_from_slice(bytes);
        Some(wiping_stack(|| Self::new(kek_id, own)))
    }

    fn new(kek_id: &str, bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice());
        Self(Arc::new(Inner { kek_id: kek_id.to_owned(), bytes, key }))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0.bytes
    }

    /// Returns the id of the master key that this key was derived from.
    pub fn kek_id(&self) -> &str {
        &self.0.kek_id
    }

    /// Signs a line of a chain, over the MAC of the line before it. The first line of a chain has 32 zeros before it.
    pub fn sign_line(&self, chain: &str, previous: &[u8; 32], line: &[u8]) -> [u8; 32] {
        self.sign(&[b"line", chain.as_bytes(), previous, line])
    }

    /// Signs an anchor: a chain, and the sequence number and MAC of its last line.
    pub(crate) fn sign_anchor(&self, chain: &str, sequence: i64, mac: &[u8]) -> [u8; 32] {
        self.sign(&[b"anchor", chain.as_bytes(), &sequence.to_be_bytes(), mac])
    }

    /// Returns whether `sign_line` made the MAC, in constant time.
    pub fn signed_line(&self, chain: &str, previous: &[u8; 32], line: &[u8], mac: &[u8]) -> bool {
        self.signed(&[b"line", chain.as_bytes(), previous, line], mac)
    }

    /// Returns whether `sign_anchor` made the signature, in constant time.
    pub(crate) fn signed_anchor(
        &self,
        chain: &str,
        sequence: i64,
        mac: &[u8],
        signature: &[u8],
    ) -> bool {
        self.signed(&[b"anchor", chain.as_bytes(), &sequence.to_be_bytes(), mac], signature)
    }

    fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&self.0.key, &encode(parts)).as_ref());
        mac
    }

    fn signed(&self, parts: &[&[u8]], mac: &[u8]) -> bool {
        hmac::verify(&self.0.key, &encode(parts), mac).is_ok()
    }
}

/// Encodes each part with its length. Different lists of parts give different bytes.
fn encode(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| 4 + part.len()).sum());
    parts.iter().for_each(|one| part(&mut bytes, one));
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::Kek;

    #[test]
    fn a_mac_is_of_one_key_one_line_and_the_line_before() {
        let keks = [Kek::new("a".into(), &[1; 32]), Kek::new("b".into(), &[2; 32])];
        let key = keks[0].audit_key();
        let mac = key.sign_line("chain", &[0; 32], b"line");
        assert!(key.signed_line("chain", &[0; 32], b"line", &mac));
        assert!(!key.signed_line("chain", &[1; 32], b"line", &mac));
        assert!(!key.signed_line("chain", &[0; 32], b"lime", &mac));
        assert!(!key.signed_line("other", &[0; 32], b"line", &mac));
        assert!(!key.signed_line("chain", &[0; 32], b"line", &mac[1..]));
        assert!(!keks[1].audit_key().signed_line("chain", &[0; 32], b"line", &mac));
        let anchor = key.sign_anchor("chain", 7, &mac);
        assert!(key.signed_anchor("chain", 7, &mac, &anchor));
        assert!(!key.signed_anchor("chain", 8, &mac, &anchor));
        assert!(!key.signed_anchor("other", 7, &mac, &anchor));
    }

    #[test]
    fn a_sealed_audit_key_opens_under_its_master_key_alone() {
        let keks = [Kek::new("a".into(), &[1; 32]), Kek::new("b".into(), &[2; 32])];
        let sealed = keks[1].seal_audit_key(keks[0].audit_key());
        let opened = keks[1].open_audit_key("a", &sealed).expect("it opens");
        let mac = keks[0].audit_key().sign_line("chain", &[0; 32], b"line");
        assert!(opened.signed_line("chain", &[0; 32], b"line", &mac));
        assert_eq!(opened.kek_id(), "a");
        assert!(keks[1].open_audit_key("c", &sealed).is_err());
        assert!(keks[0].open_audit_key("a", &sealed).is_err());
    }
}
