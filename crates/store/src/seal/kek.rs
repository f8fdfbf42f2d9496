//! Master keys (KEKs). A KEK seals the data keys (DEKs) of records, its own sentinel, and the hashes of backups.
//!
//! Invariant: a DEK is wrapped for one record, in one context, under one KEK, and unwraps only there.

use aws_lc_rs::{aead::LessSafeKey, digest, hkdf, hmac};
use model::{Provider, RecordId, TenantId, wiping_stack};
use zeroize::Zeroizing;

use super::{
    audit::AuditKey,
    format::{KEY_LEN, Purpose, Unopenable, aes_256_gcm, decrypt, encrypt},
    random,
};

/// The context that a record's blobs are bound to.
#[derive(Clone, Copy)]
pub(crate) struct SealContext<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) record: RecordId,
    pub(crate) provider: &'a Provider,
    pub(crate) generation: i32,
}

impl SealContext<'_> {
    /// Calls `work` with the parts of the AAD; `kek_id` is empty for the carrier, because otherwise a KEK could not be
    /// replaced without every caller's key.
    pub(super) fn with_parts<T>(&self, kek_id: &str, work: impl FnOnce(&[&[u8]]) -> T) -> T {
        work(&[
            self.tenant.as_str().as_bytes(),
            &self.record.as_i64().to_be_bytes(),
            self.provider.as_str().as_bytes(),
            &self.generation.to_be_bytes(),
            kek_id.as_bytes(),
        ])
    }
}

/// A record's own key. It is on the heap, because otherwise moving it would leave copies on the stack.
pub(crate) struct Dek(Box<Zeroizing<[u8; KEY_LEN]>>);

impl Dek {
    /// Generates a random key.
    pub(crate) fn generate() -> Self {
        let mut dek = Self::zero();
        random::fill(dek.0.as_mut_slice());
        dek
    }

    fn zero() -> Self {
        Self(Box::new(Zeroizing::new([0; KEY_LEN])))
    }

    /// Returns the bytes, to derive the carrier's key from.
    pub(super) fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

/// A master key, which wraps DEKs.
pub(crate) struct Kek {
    id: String,
    key: LessSafeKey,
    /// The derived key that signs the states of authorizations.
    states: hmac::Key,
    /// The derived key that signs the lines of the audit log.
    audit: AuditKey,
}

impl Kek {
    pub(crate) fn new(id: String, bytes: &[u8; KEY_LEN]) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(bytes);
        let states = prk.expand(&[b"latchkey authorization state v1"], hmac::HMAC_SHA256);
        let states = states.expect("32 bytes are not too many").into();
        let audit = AuditKey::derive(&id, &prk);
        Self { id, key: aes_256_gcm(bytes), states, audit }
    }

    /// Returns the key of the audit log's lines while this master key is the active one.
    pub(crate) fn audit_key(&self) -> &AuditKey {
        &self.audit
    }

    /// Seals the audit key of a master key that is about to be retired.
    pub(crate) fn seal_audit_key(&self, key: &AuditKey) -> Vec<u8> {
        let parts = [self.id.as_bytes(), key.kek_id().as_bytes()];
        wiping_stack(|| encrypt(&self.key, Purpose::AuditKey, &parts, key.bytes()))
    }

    /// Opens the audit key of a retired master key.
    pub(crate) fn open_audit_key(
        &self,
        retired: &str,
        sealed: &[u8],
    ) -> Result<AuditKey, Unopenable> {
        let parts = [self.id.as_bytes(), retired.as_bytes()];
        let opened = wiping_stack(|| decrypt(&self.key, Purpose::AuditKey, &parts, sealed))?;
        AuditKey::of_bytes(retired, &opened.plain).ok_or(Unopenable)
    }

    /// Returns the HMAC-SHA-256 of the state of an authorization.
    pub(super) fn sign_state(&self, message: &[u8]) -> hmac::Tag {
        wiping_stack(|| hmac::sign(&self.states, message))
    }

    /// Verifies a signature of `sign_state`, in constant time.
    pub(super) fn signed_state(&self, message: &[u8], signature: &[u8]) -> bool {
        wiping_stack(|| hmac::verify(&self.states, message, signature).is_ok())
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn wrap(&self, dek: &Dek, context: SealContext<'_>) -> Vec<u8> {
        context.with_parts(&self.id, |parts| {
            wiping_stack(|| encrypt(&self.key, Purpose::Dek, parts, dek.bytes()))
        })
    }

    pub(crate) fn unwrap(
        &self,
        wrapped: &[u8],
        context: SealContext<'_>,
    ) -> Result<Dek, Unopenable> {
        let opened = context.with_parts(&self.id, |parts| {
            wiping_stack(|| decrypt(&self.key, Purpose::Dek, parts, wrapped))
        })?;
        let mut dek = Dek::zero();
        if opened.plain.len() != KEY_LEN {
            return Err(Unopenable);
        }
        dek.0.copy_from_slice(&opened.plain);
        Ok(dek)
    }

    /// Creates a blob that only this key opens. The database stores it to identify the key.
    pub(crate) fn sentinel(&self) -> Vec<u8> {
        encrypt(&self.key, Purpose::Sentinel, &[self.id.as_bytes()], b"latchkey")
    }

    pub(crate) fn opens_sentinel(&self, sentinel: &[u8]) -> bool {
        decrypt(&self.key, Purpose::Sentinel, &[self.id.as_bytes()], sentinel).is_ok()
    }

    /// Seals the hash of a backup, together with the description of its key.
    pub(crate) fn seal_backup(&self, about: &[u8], hash: &[u8]) -> Vec<u8> {
        encrypt(&self.key, Purpose::Backup, &[self.id.as_bytes(), about], hash)
    }

    /// Returns whether `seal_backup` made the blob from these values.
    pub(crate) fn opens_backup(&self, about: &[u8], hash: &[u8], blob: &[u8]) -> bool {
        let opened = decrypt(&self.key, Purpose::Backup, &[self.id.as_bytes(), about], blob);
        opened.is_ok_and(|opened| opened.plain.as_slice() == hash)
    }
}

/// Returns the id of a master key without another name: a hash that does not reveal the key.
pub(crate) fn kek_id(bytes: &[u8; KEY_LEN]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"latchkey master key id v1\0");
    context.update(bytes);
    context.finish().as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
