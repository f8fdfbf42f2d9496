//! A record's carrier, sealed so that opening it needs both its data key (DEK) and its retrieval key.
//!
//! Invariant: a carrier opens only with both keys, in the context that it was sealed for.

use std::collections::BTreeMap;

use aws_lc_rs::{
    aead::{AES_256_GCM, LessSafeKey, UnboundKey},
    digest, hkdf,
};
use model::{GrantDetails, Provider, RetrievalKey, SecretText, TokenManagementInfo, wiping_stack};
use zeroize::Zeroizing;

use super::{
    format::{Format, KEY_LEN, Purpose, Unopenable, decrypt, encrypt_in},
    kek::{Dek, SealContext},
};

/// Seals a carrier's tokens and claims, and the details of its grant. Opening them needs both the DEK and the retrieval
/// key. The provider is not in the blob but bound by its AAD.
pub(crate) fn seal(
    carrier: &TokenManagementInfo,
    details: &GrantDetails,
    dek: &Dek,
    key: &RetrievalKey,
    context: SealContext<'_>,
) -> Vec<u8> {
    let TokenManagementInfo {
        provider: _bound_by_the_context,
        access_token,
        refresh_token,
        claims,
    } = carrier;
    let GrantDetails { scope, subject, parameters } = details;
    // The oldest sufficient format, so that an earlier version of this server still opens the blob.
    let format = match details {
        details if details.is_empty() => Format::V1,
        details if details.parameters.is_empty() => Format::V2,
        _ => Format::V3,
    };
    context.with_parts("", |parts| {
        wiping_stack(|| {
            let plain = match format {
                Format::V1 => fields([access_token, refresh_token, claims]),
                Format::V2 => fields([access_token, refresh_token, claims, scope, subject]),
                Format::V3 => {
                    let parameters = write_parameters(parameters);
                    fields([access_token, refresh_token, claims, scope, subject, &parameters])
                }
            };
            encrypt_in(format, &record_key(dek, key), Purpose::Carrier, parts, &plain)
        })
    })
}

/// Opens a sealed carrier.
pub(crate) fn open(
    sealed: &[u8],
    dek: &Dek,
    key: &RetrievalKey,
    context: SealContext<'_>,
) -> Result<(TokenManagementInfo, GrantDetails), Unopenable> {
    let opened = context.with_parts("", |parts| {
        wiping_stack(|| decrypt(&record_key(dek, key), Purpose::Carrier, parts, sealed))
    })?;
    read(opened.format, &opened.plain, context.provider).ok_or(Unopenable)
}

/// Returns the digest of a retrieval key that the database stores. It identifies the key but opens nothing.
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

fn record_key(dek: &Dek, key: &RetrievalKey) -> LessSafeKey {
    // Both parts have a fixed length, so their concatenation is unambiguous.
    let mut secret = Zeroizing::new(Vec::with_capacity(KEY_LEN + key.expose().len()));
    secret.extend_from_slice(dek.bytes());
    secret.extend_from_slice(key.expose().as_bytes());
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(&secret);
    let okm =
        prk.expand(&[b"latchkey carrier v1"], &AES_256_GCM).expect("32 bytes are not too many");
    LessSafeKey::new(UnboundKey::from(okm))
}

/// Encodes the fields of all formats. Each secret is a presence byte, its length (4 bytes) and its text.
pub(super) fn fields<const N: usize>(fields: [&Option<SecretText>; N]) -> Zeroizing<Vec<u8>> {
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

/// Decodes the fields of this format.
fn read(
    format: Format,
    mut bytes: &[u8],
    provider: &Provider,
) -> Option<(TokenManagementInfo, GrantDetails)> {
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
        access_token: field()?,
        refresh_token: field()?,
        claims: field()?,
        ..TokenManagementInfo::of(provider.clone())
    };
    let details = match format {
        Format::V1 => GrantDetails::default(),
        Format::V2 => {
            GrantDetails { scope: field()?, subject: field()?, ..GrantDetails::default() }
        }
        Format::V3 => GrantDetails {
            scope: field()?,
            subject: field()?,
            parameters: read_parameters(field()??.expose())?,
        },
    };
    bytes.is_empty().then_some((carrier, details))
}

/// Encodes parameters as one field, a line of name and value for each. Neither contains a line break or an equals sign,
/// because they are parts of URLs.
fn write_parameters(parameters: &BTreeMap<String, String>) -> Option<SecretText> {
    let lines: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Some(SecretText::from(lines.join("\n")))
}

/// Decodes the parameters.
fn read_parameters(text: &str) -> Option<BTreeMap<String, String>> {
    let parameter =
        |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().map(parameter).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{kek::Kek, random::random};
    use super::*;
    use crate::record_ids::RecordIds;
    use model::{RecordId, TenantId};

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
            let key = RecordIds::default().new_key(0);
            let tenant = TenantId::single();
            let provider = Provider::parse("et").expect("provider");
            let context = SealContext {
                tenant: &tenant,
                record: key.record(),
                provider: &provider,
                generation: 1,
            };
            let dek = Dek::generate();
            let carrier = TokenManagementInfo {
                access_token: Some("fugit".into()),
                refresh_token: Some("".into()),
                ..TokenManagementInfo::of(provider.clone())
            };
            let wrapped = kek.wrap(&dek, context);
            let sealed = seal(&carrier, &GrantDetails::default(), &dek, &key, context);
            Self { kek, key, wrapped, sealed, tenant, provider }
        }

        fn context(&self) -> SealContext<'_> {
            SealContext {
                tenant: &self.tenant,
                record: self.key.record(),
                provider: &self.provider,
                generation: 1,
            }
        }

        fn open(&self) -> Result<TokenManagementInfo, Unopenable> {
            self.open_in(self.context())
        }

        fn open_in(&self, context: SealContext<'_>) -> Result<TokenManagementInfo, Unopenable> {
            let dek = self.kek.unwrap(&self.wrapped, context)?;
            Ok(open(&self.sealed, &dek, &self.key, context)?.0)
        }
    }

    #[test]
    fn what_was_sealed_opens_byte_for_byte() {
        let carrier = Sealed::new().open().expect("opens");
        assert_eq!(carrier.access_token.as_ref().map(SecretText::expose), Some("fugit"));
        assert_eq!(carrier.refresh_token.as_ref().map(SecretText::expose), Some(""));
        assert!(carrier.claims.is_none());
    }

    /// Details make a blob of a later format, and only then.
    #[test]
    fn details_come_back_and_are_in_the_later_formats_alone() {
        let own = Sealed::new();
        let dek = own.kek.unwrap(&own.wrapped, own.context()).expect("unwraps");
        let carrier = own.open().expect("opens");
        let details = |scope: Option<&str>, subject: Option<&str>, parameters: &[(&str, &str)]| {
            let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            GrantDetails {
                scope: scope.map(SecretText::from),
                subject: subject.map(SecretText::from),
                parameters: parameters.iter().map(pair).collect(),
            }
        };
        for (details, header) in [
            (GrantDetails::default(), [1, 1]),
            (details(Some("a b"), None, &[]), [2, 1]),
            (details(Some(""), Some("42"), &[]), [2, 1]),
            (details(None, None, &[("region", "eu")]), [3, 1]),
            (details(Some("a"), Some("42"), &[("region", "eu"), ("shop", "a-b")]), [3, 1]),
        ] {
            let sealed = seal(&carrier, &details, &dek, &own.key, own.context());
            assert_eq!(sealed[..2], header);
            let (opened, found) = open(&sealed, &dek, &own.key, own.context()).expect("opens");
            let text = |secret: &Option<SecretText>| secret.as_ref().map(|s| s.expose().to_owned());
            assert_eq!(text(&opened.access_token).as_deref(), Some("fugit"));
            assert_eq!(text(&found.scope), text(&details.scope));
            assert_eq!(text(&found.subject), text(&details.subject));
            assert_eq!(found.parameters, details.parameters);
            for other in (1..=3).filter(|other| *other != header[0]) {
                let other_header = [[other, 1].as_slice(), &sealed[2..]].concat();
                assert!(open(&other_header, &dek, &own.key, own.context()).is_err());
            }
        }
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
    fn a_seal_holds_only_in_its_context() {
        let sealed = Sealed::new();
        let right = sealed.context();
        let other_record = RecordId::from_i64(right.record.as_i64() + 1).expect("id");
        let other_provider = Provider::parse("te").expect("provider");
        assert!(sealed.open_in(SealContext { record: other_record, ..right }).is_err());
        assert!(sealed.open_in(SealContext { provider: &other_provider, ..right }).is_err());
        assert!(sealed.open_in(SealContext { generation: 2, ..right }).is_err());
        // The DEK's wrap is bound to the context too; this checks that the carrier alone rejects it.
        let dek = sealed.kek.unwrap(&sealed.wrapped, right).expect("unwraps");
        let elsewhere = SealContext { record: other_record, ..right };
        assert!(open(&sealed.sealed, &dek, &sealed.key, elsewhere).is_err());
    }

    /// The database, a backup and the master key together open nothing without the caller's key.
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
        assert!(sealed.kek.unwrap(&sealed.kek.sentinel(), sealed.context()).is_err());
    }

    #[test]
    fn equal_carriers_look_different_and_hold_no_plaintext() {
        let (one, two) = (Sealed::new(), Sealed::new());
        assert!(one.sealed != two.sealed);
        assert!(!one.sealed.windows(5).any(|window| window == b"fugit"));
    }
}
