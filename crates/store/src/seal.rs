//! The seal: what makes a row unreadable to whoever has the database, and to the server without the
//! caller's key.
//!
//! Invariant: a carrier opens only with its record's data key (DEK) and its retrieval key together,
//! in the place that it was sealed for; whatever else fails in one way.
//!
//! A record's random DEK is wrapped under the server's master key (KEK). The carrier is sealed under
//! HKDF-SHA-256(DEK ‖ retrieval key). Both are AES-256-GCM. The carrier's AAD leaves out the KEK, so
//! that a DEK can be wrapped anew without the caller; the DEK that it needs is bound to its KEK.
//!
//! What an idempotency key stands for is sealed under that (`repeats`).
//!
//! Blob: format version (1 byte), algorithm (1 byte), nonce (12), ciphertext, tag (16).

mod repeats;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hkdf,
};
use model::{
    Provider, RecordId, RetrievalKey, SecretText, TenantId, TokenManagementInfo, wiping_stack,
};
use zeroize::Zeroizing;

use crate::ids::random;
pub(crate) use repeats::Repeats;

const VERSION: u8 = 1;
const AES_256_GCM_ID: u8 = 1;
const HEADER: [u8; 2] = [VERSION, AES_256_GCM_ID];
const KEY_LEN: usize = 32;

/// A blob does not open. There is one such error, so that nobody learns why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unopenable;

/// What a blob is for; bound into its AAD, so that one kind never passes for another.
#[derive(Clone, Copy)]
enum Purpose {
    Sentinel = 1,
    Dek = 2,
    Carrier = 3,
    RetrievalKey = 4,
    Backup = 8,
}

/// The place that a record's blobs are sealed for.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) record: RecordId,
    pub(crate) provider: &'a Provider,
    pub(crate) generation: i32,
}

/// A record's own key.
pub(crate) struct Dek(Zeroizing<[u8; KEY_LEN]>);

impl Dek {
    pub(crate) fn generate() -> Self {
        Self(random())
    }
}

/// A master key, which wraps DEKs.
pub(crate) struct Kek {
    id: String,
    key: LessSafeKey,
}

impl Kek {
    pub(crate) fn new(id: String, bytes: &[u8; KEY_LEN]) -> Self {
        Self { id, key: aes_256_gcm(bytes) }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn wrap(&self, dek: &Dek, place: Place<'_>) -> Vec<u8> {
        let aad = place.aad(Purpose::Dek, self.id.as_bytes());
        wiping_stack(|| encrypt(&self.key, &aad, dek.0.as_slice()))
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8], place: Place<'_>) -> Result<Dek, Unopenable> {
        let aad = place.aad(Purpose::Dek, self.id.as_bytes());
        let bytes = wiping_stack(|| decrypt(&self.key, &aad, wrapped))?;
        let mut dek = Dek(Zeroizing::new([0; KEY_LEN]));
        if bytes.len() != KEY_LEN {
            return Err(Unopenable);
        }
        dek.0.copy_from_slice(&bytes);
        Ok(dek)
    }

    /// A blob that only this key opens, kept in the database to recognise the key by.
    pub(crate) fn sentinel(&self) -> Vec<u8> {
        encrypt(&self.key, &aad(Purpose::Sentinel, &[self.id.as_bytes()]), b"latchkey")
    }

    pub(crate) fn opens_sentinel(&self, sentinel: &[u8]) -> bool {
        decrypt(&self.key, &aad(Purpose::Sentinel, &[self.id.as_bytes()]), sentinel).is_ok()
    }

    /// Seals the hash of a backup, and what is said about its key.
    pub(crate) fn seal_backup(&self, about: &[u8], hash: &[u8]) -> Vec<u8> {
        encrypt(&self.key, &aad(Purpose::Backup, &[self.id.as_bytes(), about]), hash)
    }

    /// Whether the blob is what `seal_backup` made of these.
    pub(crate) fn opens_backup(&self, about: &[u8], hash: &[u8], blob: &[u8]) -> bool {
        let opened = decrypt(&self.key, &aad(Purpose::Backup, &[self.id.as_bytes(), about]), blob);
        opened.is_ok_and(|opened| opened.as_slice() == hash)
    }
}

impl Place<'_> {
    fn aad(&self, purpose: Purpose, kek_id: &[u8]) -> Vec<u8> {
        aad(
            purpose,
            &[
                self.tenant.as_str().as_bytes(),
                &self.record.as_i64().to_be_bytes(),
                self.provider.as_str().as_bytes(),
                &self.generation.to_be_bytes(),
                kek_id,
            ],
        )
    }
}

/// Seals a carrier's tokens and claims so that DEK and retrieval key are both needed to open them.
/// The provider is not in the blob but bound by its AAD.
pub(crate) fn seal(
    carrier: &TokenManagementInfo,
    dek: &Dek,
    key: &RetrievalKey,
    place: Place<'_>,
) -> Vec<u8> {
    let aad = place.aad(Purpose::Carrier, b"");
    wiping_stack(|| encrypt(&record_key(dek, key), &aad, &to_bytes(carrier)))
}

/// Opens what `seal` made.
pub(crate) fn open(
    sealed: &[u8],
    dek: &Dek,
    key: &RetrievalKey,
    place: Place<'_>,
) -> Result<TokenManagementInfo, Unopenable> {
    let aad = place.aad(Purpose::Carrier, b"");
    let plain = wiping_stack(|| decrypt(&record_key(dek, key), &aad, sealed))?;
    from_bytes(&plain, place.provider).ok_or(Unopenable)
}

/// What the database keeps of a retrieval key: enough to recognise it, not to open anything.
pub(crate) fn key_digest(key: &RetrievalKey) -> [u8; 32] {
    wiping_stack(|| {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"latchkey retrieval key digest v1\0");
        context.update(key.expose().as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        bytes
    })
}

/// What a master key without a name is called: a hash of it, by which nobody learns it.
pub(crate) fn kek_id(bytes: &[u8; KEY_LEN]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"latchkey master key id v1\0");
    context.update(bytes);
    context.finish().as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn record_key(dek: &Dek, key: &RetrievalKey) -> LessSafeKey {
    // Both parts have a fixed length, so their concatenation is unambiguous.
    let mut secret = Zeroizing::new(Vec::with_capacity(KEY_LEN + key.expose().len()));
    secret.extend_from_slice(dek.0.as_slice());
    secret.extend_from_slice(key.expose().as_bytes());
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(&secret);
    let okm =
        prk.expand(&[b"latchkey carrier v1"], &AES_256_GCM).expect("32 bytes are not too many");
    LessSafeKey::new(UnboundKey::from(okm))
}

fn aes_256_gcm(bytes: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are an AES-256 key"))
}

/// Header, purpose, then each part with its length: no two lists of parts give the same bytes.
fn aad(purpose: Purpose, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    bytes.push(purpose as u8);
    parts.iter().for_each(|one| part(&mut bytes, one));
    bytes
}

fn part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
    bytes.extend_from_slice(part);
}

fn encrypt(key: &LessSafeKey, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let start = HEADER.len() + NONCE_LEN;
    let nonce: Zeroizing<[u8; NONCE_LEN]> = random();
    let mut blob = Vec::with_capacity(start + plain.len() + AES_256_GCM.tag_len());
    blob.extend_from_slice(&HEADER);
    blob.extend_from_slice(nonce.as_slice());
    blob.extend_from_slice(plain);
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(aad),
            &mut blob[start..],
        )
        .expect("a carrier is far below the cipher's limit");
    blob.extend_from_slice(tag.as_ref());
    blob
}

fn decrypt(key: &LessSafeKey, aad: &[u8], blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopenable> {
    let body = blob.strip_prefix(&HEADER).ok_or(Unopenable)?;
    let (nonce, ciphertext) = body.split_first_chunk::<NONCE_LEN>().ok_or(Unopenable)?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let length = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut buffer)
        .map_err(|_unspecified| Unopenable)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

/// Each secret field: a byte that says whether it is there, then its length (4 bytes) and its text.
fn to_bytes(carrier: &TokenManagementInfo) -> Zeroizing<Vec<u8>> {
    let fields = [&carrier.access_token, &carrier.refresh_token, &carrier.claims];
    let length = |field: &&Option<SecretText>| 5 + field.as_ref().map_or(0, |f| f.expose().len());
    let mut bytes = Zeroizing::new(Vec::with_capacity(fields.iter().map(length).sum()));
    for field in fields {
        match field {
            None => bytes.push(0),
            Some(text) => {
                bytes.push(1);
                bytes.extend_from_slice(&(text.expose().len() as u32).to_be_bytes());
                bytes.extend_from_slice(text.expose().as_bytes());
            }
        }
    }
    bytes
}

fn from_bytes(mut bytes: &[u8], provider: &Provider) -> Option<TokenManagementInfo> {
    let mut field = || -> Option<Option<SecretText>> {
        let (is_some, rest) = bytes.split_first()?;
        bytes = rest;
        if *is_some == 0 {
            return Some(None);
        }
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        bytes = rest;
        Some(Some(str::from_utf8(text).ok()?.into()))
    };
    let carrier = TokenManagementInfo {
        provider: provider.clone(),
        access_token: field()?,
        refresh_token: field()?,
        claims: field()?,
    };
    bytes.is_empty().then_some(carrier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ids;

    struct Sealed {
        kek: Kek,
        key: RetrievalKey,
        tenant: TenantId,
        provider: Provider,
        wrapped: Vec<u8>,
        sealed: Vec<u8>,
    }

    impl Sealed {
        fn new() -> Self {
            let kek = Kek::new("kek-a".to_owned(), &random());
            let key = Ids::default().new_key();
            let tenant = TenantId::single();
            let provider = Provider::parse("et").expect("provider");
            let place =
                Place { tenant: &tenant, record: key.record(), provider: &provider, generation: 1 };
            let dek = Dek::generate();
            let carrier = TokenManagementInfo {
                provider: provider.clone(),
                access_token: Some("fugit".into()),
                refresh_token: Some("".into()),
                claims: None,
            };
            let wrapped = kek.wrap(&dek, place);
            let sealed = seal(&carrier, &dek, &key, place);
            Self { kek, key, wrapped, sealed, tenant, provider }
        }

        fn place(&self) -> Place<'_> {
            Place {
                tenant: &self.tenant,
                record: self.key.record(),
                provider: &self.provider,
                generation: 1,
            }
        }

        fn open(&self) -> Result<TokenManagementInfo, Unopenable> {
            self.open_in(self.place())
        }

        fn open_in(&self, place: Place<'_>) -> Result<TokenManagementInfo, Unopenable> {
            open(&self.sealed, &self.kek.unwrap(&self.wrapped, place)?, &self.key, place)
        }
    }

    #[test]
    fn what_was_sealed_opens_byte_for_byte() {
        let carrier = Sealed::new().open().expect("opens");
        assert_eq!(carrier.access_token.as_ref().map(SecretText::expose), Some("fugit"));
        assert_eq!(carrier.refresh_token.as_ref().map(SecretText::expose), Some(""));
        assert!(carrier.claims.is_none());
    }

    #[test]
    fn no_flipped_bit_opens() {
        let mut sealed = Sealed::new();
        for bit in 0..sealed.sealed.len() * 8 {
            sealed.sealed[bit / 8] ^= 1 << (bit % 8);
            assert!(sealed.open().is_err(), "carrier, bit {bit}");
            sealed.sealed[bit / 8] ^= 1 << (bit % 8);
        }
        for bit in 0..sealed.wrapped.len() * 8 {
            sealed.wrapped[bit / 8] ^= 1 << (bit % 8);
            assert!(sealed.open().is_err(), "DEK, bit {bit}");
            sealed.wrapped[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..sealed.sealed.len() {
            let whole = std::mem::take(&mut sealed.sealed);
            sealed.sealed = whole[..length].to_vec();
            assert!(sealed.open().is_err(), "carrier cut to {length}");
            sealed.sealed = whole;
        }
        assert!(sealed.open().is_ok());
    }

    /// A field copied to another row, tenant, provider or generation does not open there.
    #[test]
    fn a_seal_holds_only_in_its_place() {
        let sealed = Sealed::new();
        let right = sealed.place();
        let other_record = RecordId::from_i64(right.record.as_i64() + 1).expect("id");
        let other_provider = Provider::parse("te").expect("provider");
        assert!(sealed.open_in(Place { record: other_record, ..right }).is_err());
        assert!(sealed.open_in(Place { provider: &other_provider, ..right }).is_err());
        assert!(sealed.open_in(Place { generation: 2, ..right }).is_err());
        // The DEK's wrap is bound to the place too; the carrier must refuse by itself.
        let dek = sealed.kek.unwrap(&sealed.wrapped, right).expect("unwraps");
        let elsewhere = Place { record: other_record, ..right };
        assert!(open(&sealed.sealed, &dek, &sealed.key, elsewhere).is_err());
    }

    /// Database, backup and master key together open nothing without the caller's key.
    #[test]
    fn both_keys_are_needed() {
        let mut sealed = Sealed::new();
        let other = RetrievalKey::new(sealed.key.record(), &[0; 32]);
        let own = std::mem::replace(&mut sealed.key, other);
        assert!(sealed.open().is_err(), "another retrieval key to the same record");
        sealed.key = own;
        let own = std::mem::replace(&mut sealed.kek, Kek::new("kek-a".to_owned(), &random()));
        assert!(sealed.open().is_err(), "another master key of the same name");
        sealed.kek = own;
        assert!(sealed.open().is_ok());
    }

    #[test]
    fn a_sentinel_tells_keys_apart_and_blobs_are_not_interchangeable() {
        let sealed = Sealed::new();
        assert!(sealed.kek.opens_sentinel(&sealed.kek.sentinel()));
        assert!(!Kek::new("kek-a".to_owned(), &random()).opens_sentinel(&sealed.kek.sentinel()));
        assert!(!sealed.kek.opens_sentinel(&sealed.wrapped));
        assert!(sealed.kek.unwrap(&sealed.kek.sentinel(), sealed.place()).is_err());
    }

    #[test]
    fn equal_carriers_look_different_and_hold_no_plaintext() {
        let (one, two) = (Sealed::new(), Sealed::new());
        assert!(one.sealed != two.sealed);
        assert!(!one.sealed.windows(5).any(|window| window == b"fugit"));
    }
}
