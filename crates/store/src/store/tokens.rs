//! Saving external tokens and getting them back.
//!
//! Invariant: a save is answered only after its transaction was committed, and with a key that is stored nowhere.

use model::{GrantDetails, IdempotencyKey, Principal, RetrievalKey, TenantId, TokenManagementInfo};

use crate::{
    SavedTokens, Store, StoreError,
    backend::conn::Conn,
    seal::{IdempotencySeal, Kek},
    store::Inner,
    tables::{
        external_tokens::{self, TokenLookup, TokenRow, Tokens},
        idempotency_keys::{self, IdempotencyRow},
    },
};

/// A fresh id may be taken already: by another server, or before the clock was set back.
const ID_ATTEMPTS: usize = 4;

/// What is saved.
#[derive(Clone, Copy, Debug)]
pub struct TokensToSave<'a> {
    /// The tokens, and who issued them.
    pub carrier: &'a TokenManagementInfo,
    /// What the provider said of the grant behind them, if the server got them from it.
    pub details: &'a GrantDetails,
    /// When the access token ends, if that is known.
    pub access_expires: Option<TokenEnd>,
}

/// When an access token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenEnd {
    /// This many microseconds from now.
    In(i64),
    /// At this time, in microseconds since 1970 UTC.
    At(i64),
}

impl Inner {
    /// The row of a new record.
    fn seal(
        &self,
        owner: &Principal,
        tokens: TokensToSave<'_>,
        key: &RetrievalKey,
        kek: &Kek,
    ) -> TokenRow {
        let access_expires = tokens.access_expires.map(|end| match end {
            TokenEnd::In(time) => self.database_time().saturating_add(time),
            TokenEnd::At(time) => time,
        });
        let TokensToSave { carrier, details, .. } = tokens;
        let tokens = Tokens { carrier, details };
        external_tokens::seal(owner, tokens, access_expires, key, kek, self.clock.now())
            .with_end(&self.expiry_policy)
    }
}

impl Store {
    /// Seals and saves tokens in the name of `owner`; returns once it is on disk.
    ///
    /// # Errors
    /// `Overloaded` when the queue is full, `QuotaReached` when the owner has as many records as it may:
    /// nothing was saved. `Unavailable` when the database did not confirm the save: without its key nobody can
    /// open what may have been saved.
    pub async fn save_external_tokens(
        &self,
        owner: &Principal,
        tokens: TokensToSave<'_>,
    ) -> Result<RetrievalKey, StoreError> {
        let inner = &self.0;
        inner.counts.admit(owner, false, &inner.quotas, inner.clock.now())?;
        for _ in 0..ID_ATTEMPTS {
            let key = inner.ids.new_key(inner.clock.now());
            let save =
                async |kek: &Kek| inner.writer.save(inner.seal(owner, tokens, &key, kek)).await;
            match self.under_active_key(save).await {
                Err(StoreError::Conflict(_)) => continue,
                saved => {
                    saved?;
                    inner.counts.saved(owner, false, inner.clock.now());
                    return Ok(key);
                }
            }
        }
        Err(StoreError::Conflict("record id"))
    }

    /// As `save_external_tokens`, but once for an idempotency key in 24 hours: when it is repeated, by
    /// whatever server and whatever became of the answer, the key is that of the first time.
    ///
    /// # Errors
    /// `OtherCarrier` when the idempotency key is that of another save of the caller; otherwise as
    /// `save_external_tokens`.
    pub async fn save_external_tokens_once(
        &self,
        owner: &Principal,
        tokens: TokensToSave<'_>,
        idempotency_key: &IdempotencyKey,
    ) -> Result<RetrievalKey, StoreError> {
        let (inner, carrier) = (&self.0, tokens.carrier);
        let idempotency = IdempotencySeal::of(owner, idempotency_key);
        let digest = idempotency.digest();
        if let Err(refusal) = inner.counts.admit(owner, true, &inner.quotas, inner.clock.now()) {
            // A repeat adds nothing.
            let found = inner.readers.run(move |conn| idempotency_keys::find(conn, digest)).await?;
            let idempotency_row =
                found.filter(|row| row.lives(inner.clock.now())).ok_or(refusal)?;
            return idempotency_row.open(&idempotency, carrier);
        }
        for _ in 0..ID_ATTEMPTS {
            let key = inner.ids.new_key(inner.clock.now());
            let save = async |kek: &Kek| {
                let row = inner.seal(owner, tokens, &key, kek);
                let idempotency_row =
                    IdempotencyRow::new(&idempotency, carrier, &key, inner.clock.now());
                inner.writer.save_once(idempotency_row, row, inner.clock).await
            };
            match self.under_active_key(save).await {
                Err(StoreError::Conflict(_)) => {}
                Err(StoreError::Reserved) => {
                    let find = move |conn: &mut Conn| idempotency_keys::find(conn, digest);
                    if let Some(idempotency_row) = inner.readers.run(find).await? {
                        return idempotency_row.open(&idempotency, carrier);
                    }
                }
                saved => {
                    saved?;
                    inner.counts.saved(owner, true, inner.clock.now());
                    return Ok(key);
                }
            }
        }
        Err(StoreError::Conflict("record id"))
    }

    /// What `key` retrieves in this tenant; `None` if it retrieves nothing, whatever the reason.
    ///
    /// # Errors
    /// `Damaged` when the record is there but does not open, `Unavailable` when it cannot be read.
    pub async fn external_tokens(
        &self,
        tenant: &TenantId,
        key: &RetrievalKey,
    ) -> Result<Option<SavedTokens>, StoreError> {
        let wanted = TokenLookup::by(key);
        let find = async || self.0.readers.tokens(&wanted).await;
        let (row, keyring) = self.with_its_key(find().await?, find).await?;
        match row {
            Some(row) if row.is_to_end(tenant, self.0.clock.now()) => {
                self.end(key.record()).await;
                Ok(None)
            }
            Some(row) => {
                let kek = keyring.find(row.kek_id());
                row.open(tenant, key, &wanted, kek, self.0.clock.now())
            }
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, ExpiryLimits, ExpiryPolicy, OpenOptions};
    use model::{Login, Provider};
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    /// In 2027.
    static NOW: AtomicI64 = AtomicI64::new(1_800_000_000_000_000);

    /// CONTRACT 40: by the clock that the store was given; and a clock that is set back revives nothing.
    #[tokio::test]
    async fn a_record_expires_by_the_clock_of_the_store() {
        let folder = tempfile::tempdir().expect("folder");
        let limits = ExpiryLimits { max_age_us: Some(1_000_000), max_idle_us: None };
        let store = Store::open(&OpenOptions {
            clock: Clock::of(|| NOW.load(Relaxed)),
            expiry_policy: ExpiryPolicy { default: limits, ..ExpiryPolicy::default() },
            ..OpenOptions::of_test(folder.path())
        })
        .expect("open");
        let login = Login::parse("tje0").expect("login");
        let owner = Principal { tenant: TenantId::single(), login, is_administrator: false };
        let carrier = TokenManagementInfo {
            access_token: Some("fugit".into()),
            ..TokenManagementInfo::of(Provider::parse("et").expect("provider"))
        };
        let details = GrantDetails::default();
        let tokens = TokensToSave { carrier: &carrier, details: &details, access_expires: None };
        let key = store.save_external_tokens(&owner, tokens).await.expect("saved");
        let lives = async || {
            store.external_tokens(&TenantId::single(), &key).await.expect("read").is_some()
        };
        NOW.fetch_add(999_999, Relaxed);
        assert!(lives().await);
        NOW.fetch_add(1, Relaxed);
        assert!(!lives().await, "a second after it was saved");
        NOW.fetch_sub(1, Relaxed);
        assert!(!lives().await, "it has ended");
    }
}
