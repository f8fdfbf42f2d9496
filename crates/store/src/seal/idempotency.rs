//! The seal of an idempotency key's row, which makes the row unreadable without that key.
//!
//! Invariant: with the row but without the idempotency key, an attacker can neither open the retrieval key nor test
//! guesses of the saved tokens.
//!
//! Two keys come from HKDF-SHA-256 over the idempotency key, salted with the row's digest. One seals the retrieval key
//! (AES-256-GCM). The other computes the MAC of the saved tokens.

use std::collections::BTreeMap;

use aws_lc_rs::{
    aead::{AES_256_GCM, LessSafeKey, UnboundKey},
    digest, hkdf, hmac,
};
use model::{
    CodeToExchange, IdempotencyKey, Principal, RetrievalKey, TokenManagementInfo, wiping_stack,
};
use zeroize::Zeroizing;

use super::{
    carrier::fields,
    format::{Purpose, Unopenable, decrypt, encrypt, part},
};

/// A call that may be repeated with an idempotency key.
#[derive(Clone, Copy)]
pub(crate) enum Repeatable<'a> {
    /// The save of a carrier, with the parameters in its provider's URLs.
    Save(&'a TokenManagementInfo, &'a BTreeMap<String, String>),
    /// The exchange of a code. Its carrier is not known in advance.
    Exchange(&'a CodeToExchange),
    /// Another key for the record of this one.
    Rekey(&'a RetrievalKey),
}

/// The seal of one caller's idempotency key.
pub(crate) struct IdempotencySeal {
    digest: [u8; 32],
    seal: LessSafeKey,
    mac: hmac::Key,
}

impl IdempotencySeal {
    /// Derives the seal for this caller only. The same key of another caller gives an unrelated seal.
    pub(crate) fn of(caller: &Principal, key: &IdempotencyKey) -> Self {
        wiping_stack(|| Self::derive(caller, key))
    }

    fn derive(caller: &Principal, key: &IdempotencyKey) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"latchkey idempotency key digest v1\0");
        for text in [caller.tenant.as_str(), caller.login.as_str(), key.expose()] {
            context.update(&(text.len() as u32).to_be_bytes());
            context.update(text.as_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());

        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &digest).extract(key.expose().as_bytes());
        let seal = prk.expand(&[b"latchkey idempotency seal v1"], &AES_256_GCM);
        let mac = prk.expand(&[b"latchkey idempotency fingerprint v1"], hmac::HMAC_SHA256);
        let fits = "32 bytes are not too many";
        Self {
            digest,
            seal: LessSafeKey::new(UnboundKey::from(seal.expect(fits))),
            mac: hmac::Key::from(mac.expect(fits)),
        }
    }

    /// Returns the digest that the row is found by.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Returns the fingerprint of a call.
    pub(crate) fn fingerprint(&self, call: Repeatable<'_>) -> Vec<u8> {
        wiping_stack(|| hmac::sign(&self.mac, &call.canonical()).as_ref().to_vec())
    }

    /// Compares a fingerprint with that of the call, in constant time.
    pub(crate) fn recognises(&self, call: Repeatable<'_>, fingerprint: &[u8]) -> bool {
        wiping_stack(|| hmac::verify(&self.mac, &call.canonical(), fingerprint).is_ok())
    }

    /// Seals the retrieval key that answers the save.
    pub(crate) fn seal(&self, key: &RetrievalKey) -> Vec<u8> {
        wiping_stack(|| {
            encrypt(&self.seal, Purpose::RetrievalKey, &[&self.digest], key.expose().as_bytes())
        })
    }

    /// Opens a sealed retrieval key.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<RetrievalKey, Unopenable> {
        let opened =
            wiping_stack(|| decrypt(&self.seal, Purpose::RetrievalKey, &[&self.digest], sealed))?;
        let text = str::from_utf8(&opened.plain).map_err(|_not_text| Unopenable)?;
        RetrievalKey::parse(text).map_err(|_no_key| Unopenable)
    }
}

impl Repeatable<'_> {
    /// Encodes the call. Different calls give different bytes.
    fn canonical(self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Save(carrier, parameters) => canonical(carrier, parameters),
            Self::Exchange(code) => canonical_exchange(code),
            Self::Rekey(key) => canonical_rekey(key),
        }
    }
}

/// Encodes the carrier. Different carriers give different bytes. The first three secrets are laid out as in
/// `carrier::fields`. A field added later is appended by its name, or left out if it is absent. So the fingerprint of a
/// carrier without it stays the same.
fn canonical(
    carrier: &TokenManagementInfo,
    parameters: &BTreeMap<String, String>,
) -> Zeroizing<Vec<u8>> {
    let TokenManagementInfo { provider, access_token, refresh_token, claims } = carrier;
    let secrets = fields([access_token, refresh_token, claims]);
    let provider = provider.as_str().as_bytes();
    let room = 4 + provider.len() + secrets.len() + room_of(parameters);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    part(&mut bytes, provider);
    bytes.extend_from_slice(&secrets);
    write_parameters(&mut bytes, parameters);
    bytes
}

/// Encodes parameters. None gives no bytes, so that a call of an earlier version has the same bytes.
fn write_parameters(bytes: &mut Vec<u8>, parameters: &BTreeMap<String, String>) {
    for (name, value) in parameters {
        part(bytes, name.as_bytes());
        part(bytes, value.as_bytes());
    }
}

/// Returns the length that `write_parameters` adds, in bytes.
fn room_of(parameters: &BTreeMap<String, String>) -> usize {
    parameters.iter().map(|(name, value)| 8 + name.len() + value.len()).sum()
}

/// Encodes the exchange. It begins with an empty part; a carrier begins with its provider, which is not empty.
fn canonical_exchange(exchange: &CodeToExchange) -> Zeroizing<Vec<u8>> {
    let CodeToExchange { provider, code, redirect_uri, nonce, pkce_verifier, parameters, key } =
        exchange;
    let secrets = fields([&Some(code.clone()), nonce, pkce_verifier]);
    let (provider, redirect_uri) = (provider.as_str().as_bytes(), redirect_uri.as_bytes());
    let key = key.as_ref().map(|key| key.expose().as_bytes());
    let room = 12
        + provider.len()
        + redirect_uri.len()
        + secrets.len()
        + room_of(parameters)
        + key.map_or(0, |key| 4 + key.len());
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    part(&mut bytes, b"");
    part(&mut bytes, provider);
    part(&mut bytes, redirect_uri);
    bytes.extend_from_slice(&secrets);
    write_parameters(&mut bytes, parameters);
    if let Some(key) = key {
        part(&mut bytes, key);
    }
    bytes
}

/// Encodes the request for another key. It begins with two empty parts. A carrier begins with its provider, and an
/// exchange with one empty part and its provider, and no provider is empty.
fn canonical_rekey(key: &RetrievalKey) -> Zeroizing<Vec<u8>> {
    let key = key.expose().as_bytes();
    let mut bytes = Zeroizing::new(Vec::with_capacity(12 + key.len()));
    part(&mut bytes, b"");
    part(&mut bytes, b"");
    part(&mut bytes, key);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_ids::RecordIds;
    use model::{Login, Provider, TenantId};

    const HEADER: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

    fn seal_of(tenant: &str, login: &str, header: &str) -> IdempotencySeal {
        let tenant = TenantId::parse(tenant).expect("tenant");
        let login = Login::parse(login).expect("login");
        let caller = Principal { tenant, login, is_administrator: false };
        IdempotencySeal::of(&caller, &IdempotencyKey::parse(header.as_bytes()).expect("key"))
    }

    fn carrier(
        provider: &str,
        access: Option<&str>,
        refresh: Option<&str>,
        claims: Option<&str>,
    ) -> TokenManagementInfo {
        TokenManagementInfo {
            provider: Provider::parse(provider).expect("provider"),
            access_token: access.map(Into::into),
            refresh_token: refresh.map(Into::into),
            claims: claims.map(Into::into),
        }
    }

    #[test]
    fn the_same_key_of_the_same_caller_opens_and_no_other() {
        let key = RecordIds::default().new_key(0);
        let own = seal_of("Cust12345", "ann", HEADER);
        let sealed = own.seal(&key);
        assert!(sealed != own.seal(&key), "a nonce of its own");
        let again = seal_of("Cust12345", "ann", HEADER);
        assert_eq!(again.open(&sealed).expect("opens").expose(), key.expose());
        let error_chain = carrier("et", Some("fugit"), None, None);
        let fingerprint = own.fingerprint(Repeatable::Save(&error_chain, &BTreeMap::new()));
        assert!(again.recognises(Repeatable::Save(&error_chain, &BTreeMap::new()), &fingerprint));
        for other in [
            seal_of("Cust1234", "5ann", HEADER),
            seal_of("Cust1234", "ann", HEADER),
            seal_of("Cust12345", "bob", HEADER),
            seal_of("Cust12345", "ann", &HEADER.to_uppercase()),
        ] {
            assert!(other.digest() != own.digest());
            assert!(other.open(&sealed).is_err());
            assert!(
                !other.recognises(Repeatable::Save(&error_chain, &BTreeMap::new()), &fingerprint)
            );
        }
    }

    #[test]
    fn no_flipped_bit_opens_or_is_recognised() {
        let own = seal_of("Cust12345", "ann", HEADER);
        let mut sealed = own.seal(&RecordIds::default().new_key(0));
        for bit in 0..sealed.len() * 8 {
            sealed[bit / 8] ^= 1 << (bit % 8);
            assert!(own.open(&sealed).is_err(), "bit {bit}");
            sealed[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(own.open(&sealed).is_ok());
        let error_chain = carrier("et", Some("fugit"), None, None);
        let mut fingerprint = own.fingerprint(Repeatable::Save(&error_chain, &BTreeMap::new()));
        for bit in 0..fingerprint.len() * 8 {
            fingerprint[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !own.recognises(Repeatable::Save(&error_chain, &BTreeMap::new()), &fingerprint),
                "bit {bit}"
            );
            fingerprint[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// Every difference between two carriers changes the fingerprint.
    #[test]
    fn every_part_of_a_carrier_counts() {
        let own = seal_of("Cust12345", "ann", HEADER);
        let carriers = [
            carrier("et", Some("fugit"), None, None),
            carrier("te", Some("fugit"), None, None),
            carrier("et", None, Some("fugit"), None),
            carrier("et", Some("fugit"), Some(""), None),
            carrier("et", Some("fugit"), None, Some("")),
            carrier("et", Some("fugi"), Some("t"), None),
            carrier("et", Some("fugit "), None, None),
            carrier("etf", Some("ugit"), None, None),
        ];
        let mut seen: Vec<Vec<u8>> = carriers
            .iter()
            .map(|one| own.fingerprint(Repeatable::Save(one, &BTreeMap::new())))
            .collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), carriers.len());
    }

    #[test]
    fn every_part_of_an_exchange_counts() {
        let own = seal_of("Cust12345", "ann", HEADER);
        let exchange = CodeToExchange {
            provider: Provider::parse("et").expect("provider"),
            code: "code".into(),
            redirect_uri: "https://a.example".to_owned(),
            nonce: None,
            pkce_verifier: None,
            parameters: BTreeMap::new(),
            key: None,
        };
        let with = |name: &str, value: &str| CodeToExchange {
            parameters: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            ..exchange.clone()
        };
        let exchanges = [
            exchange.clone(),
            CodeToExchange {
                provider: Provider::parse("te").expect("provider"),
                ..exchange.clone()
            },
            CodeToExchange { code: "other".into(), ..exchange.clone() },
            CodeToExchange { redirect_uri: "https://b.example".to_owned(), ..exchange.clone() },
            CodeToExchange { nonce: Some("x".into()), ..exchange.clone() },
            CodeToExchange { pkce_verifier: Some("x".into()), ..exchange.clone() },
            with("region", "eu"),
            with("region", "in"),
            with("regione", "u"),
            CodeToExchange { key: Some(RecordIds::default().new_key(0)), ..exchange.clone() },
        ];
        let mut seen: Vec<Vec<u8>> =
            exchanges.iter().map(|one| own.fingerprint(Repeatable::Exchange(one))).collect();
        seen.push(own.fingerprint(Repeatable::Save(
            &carrier("et", Some("code"), None, None),
            &BTreeMap::new(),
        )));
        let keys = [1, 2].map(|now| RecordIds::default().new_key(now));
        seen.extend(keys.iter().map(|key| own.fingerprint(Repeatable::Rekey(key))));
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), exchanges.len() + 3);
    }
}
