//! Blobs: the layout, encryption and AAD of each kind.
//!
//! Invariant: a blob opens only for the purpose, and with the parts, that it was sealed for. Every failure is the same
//! `Unopenable`.
//!
//! Blob: format (2 bytes), nonce (12), ciphertext, tag (16).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::random::random;

/// Length of a key, in bytes.
pub(crate) const KEY_LEN: usize = 32;
/// Length of the header before the nonce, in bytes.
const HEADER_LEN: usize = 2;
/// Length of a tag, in bytes.
const TAG_LEN: usize = 16;
/// Extra length of a blob over its plaintext, in bytes.
pub(crate) const OVERHEAD: usize = HEADER_LEN + NONCE_LEN + TAG_LEN;

/// A blob does not open. This single error reveals no cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unopenable;

/// The purpose of a blob. It is part of the AAD, so that one kind never passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Sentinel = 1,
    Dek = 2,
    Carrier = 3,
    RetrievalKey = 4,
    AuditKey = 5,
    Backup = 8,
}

/// The layout and cipher of a blob. Each purpose has its own formats, so that a new format of carriers does not affect
/// sentinels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// AES-256-GCM.
    V1,
    /// AES-256-GCM; a carrier with the provider's details of the grant.
    V2,
    /// AES-256-GCM; a carrier that also has the parameters of its provider's URLs.
    V3,
}

impl Format {
    /// Returns the first bytes of a blob: version and algorithm. Algorithm 1 is AES-256-GCM.
    pub(crate) const fn header(self) -> [u8; HEADER_LEN] {
        match self {
            Self::V1 => [1, 1],
            Self::V2 => [2, 1],
            Self::V3 => [3, 1],
        }
    }

    /// Returns the formats that this version opens.
    const fn known(purpose: Purpose) -> &'static [Self] {
        match purpose {
            Purpose::Carrier => &[Self::V1, Self::V2, Self::V3],
            Purpose::Sentinel
            | Purpose::Dek
            | Purpose::RetrievalKey
            | Purpose::AuditKey
            | Purpose::Backup => &[Self::V1],
        }
    }

    /// Returns the format of a blob, and the bytes after its header.
    fn read(purpose: Purpose, blob: &[u8]) -> Result<(Self, &[u8]), Unopenable> {
        let (header, body) = blob.split_first_chunk::<HEADER_LEN>().ok_or(Unopenable)?;
        let format = Self::known(purpose).iter().find(|format| format.header() == *header);
        format.map(|format| (*format, body)).ok_or(Unopenable)
    }
}

/// The plaintext of a blob, and its format.
pub(super) struct Opened {
    pub(super) format: Format,
    pub(super) plain: Zeroizing<Vec<u8>>,
}

/// Creates the cipher's key from 32 bytes.
pub(super) fn aes_256_gcm(bytes: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are an AES-256 key"))
}

/// Encrypts in the first format, bound to `parts`.
pub(super) fn encrypt(
    key: &LessSafeKey,
    purpose: Purpose,
    parts: &[&[u8]],
    plain: &[u8],
) -> Vec<u8> {
    encrypt_in(Format::V1, key, purpose, parts, plain)
}

/// Encrypts in this format, which must be one of the purpose.
pub(super) fn encrypt_in(
    format: Format,
    key: &LessSafeKey,
    purpose: Purpose,
    parts: &[&[u8]],
    plain: &[u8],
) -> Vec<u8> {
    let start = HEADER_LEN + NONCE_LEN;
    let nonce: Zeroizing<[u8; NONCE_LEN]> = random();
    let mut blob = Vec::with_capacity(plain.len() + OVERHEAD);
    blob.extend_from_slice(&format.header());
    blob.extend_from_slice(nonce.as_slice());
    blob.extend_from_slice(plain);
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(aad(format, purpose, parts)),
            &mut blob[start..],
        )
        .expect("a carrier is far below the cipher's limit");
    blob.extend_from_slice(tag.as_ref());
    blob
}

/// Decrypts a blob in any format of the purpose that this version knows.
pub(super) fn decrypt(
    key: &LessSafeKey,
    purpose: Purpose,
    parts: &[&[u8]],
    blob: &[u8],
) -> Result<Opened, Unopenable> {
    let (format, body) = Format::read(purpose, blob)?;
    let (nonce, ciphertext) = body.split_first_chunk::<NONCE_LEN>().ok_or(Unopenable)?;
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    let aad = Aad::from(aad(format, purpose, parts));
    let length = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut plain)
        .map_err(|_unspecified| Unopenable)?
        .len();
    plain.truncate(length);
    Ok(Opened { format, plain })
}

/// Encodes header, purpose, and each part with its length. Different lists of parts give different bytes.
fn aad(format: Format, purpose: Purpose, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format.header().to_vec();
    bytes.push(purpose as u8);
    parts.iter().for_each(|one| part(&mut bytes, one));
    bytes
}

/// Appends a part, preceded by its length (4 bytes).
pub(super) fn part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
    bytes.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_that_a_purpose_does_not_have_is_refused() {
        let key = aes_256_gcm(&random());
        let blob = encrypt(&key, Purpose::Dek, &[b"part"], b"plain");
        assert_eq!(blob.len(), b"plain".len() + OVERHEAD);
        let opened = decrypt(&key, Purpose::Dek, &[b"part"], &blob).expect("it opens");
        assert_eq!((opened.format, opened.plain.as_slice()), (Format::V1, b"plain".as_slice()));
        for header in [[0, 1], [1, 0], [2, 1], [1, 2]] {
            let other = [header.as_slice(), &blob[HEADER_LEN..]].concat();
            assert!(decrypt(&key, Purpose::Dek, &[b"part"], &other).is_err(), "{header:?}");
        }
        assert!(decrypt(&key, Purpose::Carrier, &[b"part"], &blob).is_err());
        assert!(decrypt(&key, Purpose::Dek, &[b"p", b"art"], &blob).is_err());
    }
}
