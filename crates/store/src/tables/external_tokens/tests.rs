//! Rows that were changed outside of the server, bit by bit and column by column.

use super::*;
use crate::keys::keyring::Keyring;
use crate::{
    Clock,
    record_ids::RecordIds,
    seal::{Kek, random},
};
use model::SecretText;

const TENANTS: [&str; 2] = ["cust12345", "cust12346"];

/// A sealed record, and the tenant and key that open it.
#[derive(Clone)]
struct Record {
    row: TokenRow,
    key: RetrievalKey,
    token: String,
}

struct Vault {
    keyring: Keyring,
    records: Vec<Record>,
}

impl Vault {
    /// Records that differ in one thing each.
    /// They are two of the same kind, one of another tenant, and one of another provider. The others are the first
    /// with a later generation, and with a re-wrapped data key.
    fn new() -> Self {
        let keks = ["kek-a", "kek-b"].map(|id| Kek::new(id.to_owned(), &random()));
        let keyring = Keyring::of_keys(keks.into());
        let ids = RecordIds::default();
        let record = |tenant: &str, provider: &str, token: &str| {
            let key = ids.new_key(Clock::SYSTEM.now());
            let login = Login::parse("ann").expect("login");
            let owner = Principal { tenant: tenant_of(tenant), login, is_administrator: false };
            let (carrier, details) = (carrier(provider, token), GrantDetails::default());
            let tokens = Tokens { carrier: &carrier, details: &details };
            let row = seal(&owner, tokens, None, &key, keyring.active(), Clock::SYSTEM.now());
            Record { row, key, token: token.to_owned() }
        };
        let mut records = vec![
            record(TENANTS[0], "et", "first"),
            record(TENANTS[0], "et", "second"),
            record(TENANTS[1], "et", "elsewhere"),
            record(TENANTS[0], "te", "of another"),
        ];
        let first = records[0].clone();
        let (tenant, provider) = (tenant_of(TENANTS[0]), Provider::parse("et").expect("provider"));
        let record = first.key.record();
        let place = SealContext { tenant: &tenant, record, provider: &provider, generation: 1 };
        let kek = |id| keyring.find(id).expect("it is there");

        let dek = kek("kek-a").unwrap(&first.row.wrapped_dek, place).expect("unwraps");
        let kek_id = "kek-b".to_owned();
        let row =
            TokenRow { kek_id, wrapped_dek: kek("kek-b").wrap(&dek, place), ..first.row.clone() };
        records.push(Record { row, ..first.clone() });

        let later = SealContext { generation: 2, ..place };
        let dek = Dek::generate();
        let row = TokenRow {
            generation: 2,
            wrapped_dek: kek("kek-a").wrap(&dek, later),
            sealed: seal::seal(
                &carrier("et", "later"),
                &GrantDetails::default(),
                &dek,
                &first.key,
                later,
            ),
            ..first.row
        };
        records.push(Record { row, key: first.key, token: "later".to_owned() });
        Self { keyring, records }
    }

    /// Returns the token of a row that opens.
    fn open(&self, row: TokenRow, tenant: &str, key: &RetrievalKey) -> Option<String> {
        let kek = self.keyring.find(&row.kek_id);
        let opened =
            row.open(&tenant_of(tenant), key, &TokenLookup::by(key), kek, Clock::SYSTEM.now());
        opened.ok()??.carrier.access_token.as_ref().map(|token| token.expose().to_owned())
    }

    /// Asserts that no key and no tenant opens a row.
    fn assert_shut(&self, row: &TokenRow, what: &str) {
        for Record { key, .. } in &self.records {
            for tenant in TENANTS.into_iter().chain([row.tenant.as_str()]) {
                assert_eq!(self.open(row.clone(), tenant, key), None, "{what}");
            }
        }
    }
}

fn tenant_of(name: &str) -> TenantId {
    // A name that is not a tenant's must not open the row either.
    TenantId::parse(name).unwrap_or_else(|_invalid| TenantId::single())
}

fn carrier(provider: &str, token: &str) -> TokenManagementInfo {
    TokenManagementInfo {
        access_token: Some(SecretText::from(token)),
        ..TokenManagementInfo::of(Provider::parse(provider).expect("provider"))
    }
}

/// The columns that the seal covers.
fn sealed_columns(row: &TokenRow) -> [Vec<u8>; 8] {
    let TokenRow {
        id, tenant, provider, generation, key_digest, kek_id, wrapped_dek, sealed, ..
    } = row.clone();
    [
        id.to_be_bytes().to_vec(),
        tenant.into_bytes(),
        provider.into_bytes(),
        generation.to_be_bytes().to_vec(),
        key_digest,
        kek_id.into_bytes(),
        wrapped_dek,
        sealed,
    ]
}

/// Returns `None` if the columns cannot make a row, because a text is not UTF-8.
fn with_columns(row: &TokenRow, columns: [Vec<u8>; 8]) -> Option<TokenRow> {
    let [id, tenant, provider, generation, key_digest, kek_id, wrapped_dek, sealed] = columns;
    Some(TokenRow {
        id: i64::from_be_bytes(id.try_into().ok()?),
        tenant: String::from_utf8(tenant).ok()?,
        provider: String::from_utf8(provider).ok()?,
        generation: i32::from_be_bytes(generation.try_into().ok()?),
        key_digest,
        kek_id: String::from_utf8(kek_id).ok()?,
        wrapped_dek,
        sealed,
        ..row.clone()
    })
}

#[test]
fn each_record_opens_with_its_key_in_its_tenant_alone() {
    let vault = Vault::new();
    for Record { row, key, token } in &vault.records {
        for record in &vault.records {
            for tenant in TENANTS {
                let is_right = record.key.expose() == key.expose() && tenant == row.tenant;
                let opened = vault.open(row.clone(), tenant, &record.key);
                assert_eq!(opened.as_ref(), is_right.then_some(token));
            }
        }
    }
}

#[test]
fn a_row_with_any_one_bit_flipped_does_not_open() {
    let vault = Vault::new();
    for Record { row, .. } in &vault.records {
        let columns = sealed_columns(row);
        let mut tried = 0;
        for column in 0..columns.len() {
            for bit in 0..columns[column].len() * 8 {
                let mut flipped = columns.clone();
                flipped[column][bit / 8] ^= 1 << (bit % 8);
                if let Some(changed) = with_columns(row, flipped) {
                    vault.assert_shut(&changed, &format!("column {column}, bit {bit}"));
                    tried += 1;
                }
            }
        }
        assert!(tried > 1000, "{tried}");
    }
}

/// A mixture of two rows, column by column, opens only if it equals one of the records as a whole.
#[test]
fn a_mixture_of_two_rows_does_not_open() {
    let vault = Vault::new();
    let is_record = |row: &TokenRow| {
        vault.records.iter().any(|known| sealed_columns(&known.row) == sealed_columns(row))
    };
    let mut mixtures = 0;
    for one in &vault.records {
        for other in &vault.records {
            let (own, foreign) = (sealed_columns(&one.row), sealed_columns(&other.row));
            for taken in 0_u32..1 << own.len() {
                let mut mixed = own.clone();
                for column in (0..own.len()).filter(|column| taken & (1 << column) != 0) {
                    mixed[column].clone_from(&foreign[column]);
                }
                let row = with_columns(&one.row, mixed).expect("texts stay texts");
                if !is_record(&row) {
                    vault.assert_shut(&row, &format!("columns {taken:b}"));
                    mixtures += 1;
                }
            }
        }
    }
    assert!(mixtures > 5000, "{mixtures}");
}

/// A record that was revoked or expired does not open, although the seal does not cover that.
#[test]
fn a_row_that_ended_does_not_open() {
    let vault = Vault::new();
    let row = &vault.records[0].row;
    vault.assert_shut(&TokenRow { ended: Some(1), ..row.clone() }, "ended");
    vault.assert_shut(&TokenRow { expires: Some(Clock::SYSTEM.now()), ..row.clone() }, "expired");
}
