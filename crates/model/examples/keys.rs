//! Makes the key of a record, checks what a client wants to save, and shows the rights of two callers.
//!
//! Invariant: no secret is printed, except the key, as a save answers it.
//!
//! ```text
//! the client keeps    lk_06tEy7JCMiN9zuQWWzsuUItctynUYyncDlKI5ZTuPizoWXgXaviRS623pKtc
//! the log shows       RetrievalKey(record 06tEy7JCMiN, redacted)
//! a typo              is mistyped: its checksum is wrong
//! another secret      is not a key of this server: a key begins with `lk_`
//! without tokens      TokenManagementInfo.AccessToken or TokenManagementInfo.RefreshToken is required
//! with a long token   TokenManagementInfo.AccessToken is longer than 65536 bytes
//! a good one          saved: SecretText(redacted)
//! eva                 FULL, access token: Update
//! ola                 Select, access token: Read, UIHintReadOnly
//! ```
//!
//! The checksum finds a typo without a look into the database. The prefix lets a scanner find keys that leaked. The
//! owner of a record may change it. Another user of the tenant who holds the key may only read it.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use model::{
    Access, Field, Login, Principal, Provider, RecordId, Retrieval, RetrievalKey, TenantId,
    TokenManagementInfo,
};

const MAX_BYTES: usize = 64 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    // The time, and numbers that a real program takes from a random generator.
    let id = RecordId::at(1_790_000_000_000_000, 7);
    let key = RetrievalKey::new(id, &[42; 32]);
    println!("the client keeps    {}", key.expose());
    println!("the log shows       {key:?}");

    let mistyped = key.expose().replace('9', "6");
    for (name, text) in [("a typo", mistyped.as_str()), ("another secret", "sk_live_1")] {
        if let Err(error) = RetrievalKey::parse(text) {
            println!("{name:<19} {error}");
        }
    }

    let carrier = TokenManagementInfo::of(Provider::parse("et")?);
    let with_token =
        |token: String| TokenManagementInfo { access_token: Some(token.into()), ..carrier.clone() };
    for (name, carrier) in [
        ("without tokens", carrier.clone()),
        ("with a long token", with_token("x".repeat(MAX_BYTES + 1))),
        ("a good one", with_token("fugit".to_owned())),
    ] {
        match (carrier.check(MAX_BYTES), carrier.access_token) {
            (Ok(()), Some(token)) => println!("{name:<19} saved: {token:?}"),
            (Ok(()), None) => println!("{name:<19} saved"),
            (Err(error), _) => println!("{name:<19} {error}"),
        }
    }

    let owner = Login::parse("eva")?;
    for login in ["eva", "ola"] {
        let caller = Principal {
            tenant: TenantId::parse("Cust12345")?,
            login: Login::parse(login)?,
            is_administrator: false,
        };
        let access = Access::of(&caller, &owner, Retrieval::ByKey);
        let (record, token) = (access.table_mask(), access.field_mask(Field::AccessToken));
        println!("{login:<19} {record}, access token: {token}");
    }
    Ok(())
}
