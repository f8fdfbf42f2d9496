//! The seal's format, versions 1 to 3, implemented a second time: the keys that open a record, and their inputs.
//!
//! Invariant: nothing here calls the server's own code. Every blob that a released version sealed opens with this file
//! unchanged.
//!
//! Every blob is its version (`01`, of a carrier also `02`), `01` (AES-256-GCM), a nonce of 12 bytes, the ciphertext
//! and a tag of 16. The additional data is the version, `01`, a byte for the purpose, then each part with its length
//! before it, in 4 bytes, the most significant first. Numbers are written likewise, in 8 and 4 bytes.
//!
//! | purpose | key | parts | plaintext |
//! |---|---|---|---|
//! | 1, sentinel | KEK | KEK's id | `latchkey` |
//! | 2, data key | KEK | tenant, record, provider, generation, KEK's id | DEK, 32 bytes |
//! | 3, carrier | HKDF(DEK ‖ retrieval key, no salt, `latchkey carrier v1`) | tenant, record, provider, generation, nothing | access token, refresh token, claims: each `00`, or `01`, length and text |
//! | 4, retrieval key | HKDF(idempotency key, digest, `latchkey idempotency seal v1`) | digest | retrieval key |
//!
//! The plaintext of a carrier of version 2 has two more of them: scope, and subject of the id_token.
//!
//! HKDF is that of RFC 5869 with SHA-256, for 32 bytes.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest::{SHA256, digest},
    hmac,
};

use crate::{Database, support::app::Setup};

/// The columns of a record in the database.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) id: i64,
    pub(crate) tenant: String,
    pub(crate) provider: String,
    pub(crate) generation: i32,
    pub(crate) key_digest: Vec<u8>,
    pub(crate) kek_id: String,
    pub(crate) wrapped_dek: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
}

impl Sealed {
    /// Every record, the oldest first.
    pub(crate) fn all(setup: &Setup) -> Vec<Self> {
        let count = setup.database().number("SELECT count(*) FROM external_tokens");
        let row = |row| Self::one(setup, &format!("ORDER BY id LIMIT 1 OFFSET {row}"));
        (0..count).map(row).collect()
    }

    /// The record with this id.
    pub(crate) fn of_record(setup: &Setup, id: i64) -> Self {
        Self::one(setup, &format!("WHERE id = {id}"))
    }

    fn one(setup: &Setup, which: &str) -> Self {
        let database = setup.database();
        let column = |column: &str| {
            database.text(&format!("SELECT CAST({column} AS TEXT) FROM external_tokens {which}"))
        };
        let bytes = |name: &str| unhex(&column(&Database::hex(name)));
        Self {
            id: column("id").parse().expect("a number"),
            tenant: column("tenant"),
            provider: column("provider"),
            generation: column("generation").parse().expect("a number"),
            key_digest: bytes("key_digest"),
            kek_id: column("kek_id"),
            wrapped_dek: bytes("wrapped_dek"),
            sealed: bytes("sealed"),
        }
    }

    /// Its data key.
    pub(crate) fn dek(&self, kek: &[u8]) -> Option<Vec<u8>> {
        decrypt(kek, &self.aad(1, 2, &self.kek_id), &self.wrapped_dek)
    }

    /// The saved carrier: access token, refresh token, claims.
    pub(crate) fn open(&self, kek: &[u8], retrieval_key: &[u8]) -> Option<[Option<String>; 3]> {
        let secret = [&self.dek(kek)?, retrieval_key].concat();
        self.open_under(&hkdf(b"", &secret, b"latchkey carrier v1")).map(|plain| fields(&plain))
    }

    /// The content of the blob, if this key opens it.
    pub(crate) fn open_under(&self, key: &[u8]) -> Option<Vec<u8>> {
        let version = *self.sealed.first().filter(|version| [1, 2, 3].contains(*version))?;
        decrypt(key, &self.aad(version, 3, ""), &self.sealed)
    }

    fn aad(&self, version: u8, purpose: u8, kek_id: &str) -> Vec<u8> {
        let (id, generation) = (self.id.to_be_bytes(), self.generation.to_be_bytes());
        let (tenant, provider) = (self.tenant.as_bytes(), self.provider.as_bytes());
        aad(version, purpose, &[tenant, &id, provider, &generation, kek_id.as_bytes()])
    }
}

/// The digest of a retrieval key in the database.
pub(crate) fn key_digest(retrieval_key: &str) -> Vec<u8> {
    let text = [b"latchkey retrieval key digest v1\0", retrieval_key.as_bytes()].concat();
    digest(&SHA256, &text).as_ref().to_vec()
}

/// The content of a key's sentinel.
pub(crate) fn sentinel(kek: &[u8], kek_id: &str, blob: &[u8]) -> Option<Vec<u8>> {
    decrypt(kek, &aad(1, 1, &[kek_id.as_bytes()]), blob)
}

/// The digest by which the row of an idempotency key is found.
pub(crate) fn idempotency_digest(tenant: &str, login: &str, header: &str) -> Vec<u8> {
    let mut text = b"latchkey idempotency key digest v1\0".to_vec();
    [tenant, login, header].iter().for_each(|one| part(&mut text, one.as_bytes()));
    digest(&SHA256, &text).as_ref().to_vec()
}

/// The key that a save under an idempotency key returned.
pub(crate) fn saved_key(header: &str, row_digest: &[u8], blob: &[u8]) -> Option<Vec<u8>> {
    let key = hkdf(row_digest, header.as_bytes(), b"latchkey idempotency seal v1");
    decrypt(&key, &aad(1, 4, &[row_digest]), blob)
}

/// RFC 5869, for one block.
pub(crate) fn hkdf(salt: &[u8], secret: &[u8], info: &[u8]) -> Vec<u8> {
    let mac = |key: &[u8], data: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
    };
    let prk = mac(if salt.is_empty() { &[0; 32] } else { salt }, secret);
    mac(&prk, &[info, &[1]].concat())
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a text that `hex` wrote.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = |start| u8::from_str_radix(&text[start..start + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digits).collect()
}

fn aad(version: u8, purpose: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![version, 1, purpose];
    parts.iter().for_each(|one| part(&mut bytes, one));
    bytes
}

fn part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend(u32::try_from(part.len()).expect("short").to_be_bytes());
    bytes.extend(part);
}

fn decrypt(key: &[u8], aad: &[u8], blob: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = blob.split_at_checked(2)?;
    let (nonce, ciphertext) = rest.split_at_checked(12)?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut buffer = ciphertext.to_vec();
    let plain = key.open_in_place(nonce, Aad::from(aad), &mut buffer).ok()?.to_vec();
    (header == &aad[..2]).then_some(plain)
}

fn fields(mut plain: &[u8]) -> [Option<String>; 3] {
    [(); 3].map(|()| {
        let (is_there, rest) = plain.split_first().expect("a field");
        plain = rest;
        if *is_there == 0 {
            return None;
        }
        let (length, rest) = plain.split_first_chunk::<4>().expect("a length");
        let (text, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        plain = rest;
        Some(String::from_utf8(text.to_vec()).expect("UTF-8"))
    })
}
