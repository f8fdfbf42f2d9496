//! Saving external tokens and getting them back.
//!
//! Invariant: every save is answered only after its transaction was committed. Its key is stored nowhere.

use model::{
    CodeToExchange, GrantDetails, IdempotencyKey, Principal, RetrievalKey, TenantId,
    TokenManagementInfo,
};

use crate::{
    SavedTokens, Store, StoreError,
    backend::conn::Conn,
    seal::{IdempotencySeal, Kek, Repeatable},
    store::Inner,
    tables::{
        external_tokens::{self, TokenLookup, TokenRow, Tokens},
        grants::{GrantRow, NewGrant},
        idempotency_keys::{self, IdempotencyRow},
        records,
    },
};

/// Attempts to find a free id. Another server may have taken one, or this one did before its clock was set back.
const ID_ATTEMPTS: usize = 4;

/// Tokens to save.
#[derive(Clone, Copy, Debug)]
pub struct TokensToSave<'a> {
    /// The tokens and their issuer.
    pub carrier: &'a TokenManagementInfo,
    /// The provider's details of the grant, if the server got the tokens from the provider.
    pub details: &'a GrantDetails,
    /// Expiry of the access token, if known.
    pub access_expires: Option<TokenEnd>,
    /// The grant, if the server obtained it.
    pub grant: Option<NewGrant>,
}

/// Expiry of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenEnd {
    /// In microseconds from now.
    In(i64),
    /// In microseconds since 1970 UTC.
    At(i64),
}

impl Inner {
    /// Returns the expiry of an access token, in microseconds since 1970 UTC by the database's clock.
    pub(super) fn end_of(&self, end: TokenEnd) -> i64 {
        match end {
            TokenEnd::In(time) => self.database_time().saturating_add(time),
            TokenEnd::At(time) => time,
        }
    }

    /// Seals the row of a new record.
    fn seal(
        &self,
        owner: &Principal,
        tokens: TokensToSave<'_>,
        key: &RetrievalKey,
        kek: &Kek,
    ) -> TokenRow {
        let access_expires = tokens.access_expires.map(|end| self.end_of(end));
        let TokensToSave { carrier, details, .. } = tokens;
        let tokens = Tokens { carrier, details };
        external_tokens::seal(owner, tokens, access_expires, key, kek, self.clock.now())
            .with_end(&self.expiry_policy)
    }
}

impl Store {
    /// Seals and saves tokens in the name of `owner`. Returns once they are on disk.
    ///
    /// # Errors
    /// - `Overloaded`: the queue is full; nothing was saved.
    /// - `QuotaReached`: the owner has reached its quota of records; nothing was saved.
    /// - `Unavailable`: the database did not confirm the save. Anything saved cannot be opened, because its key was not
    ///   returned.
    pub async fn save_external_tokens(
        &self,
        owner: &Principal,
        tokens: TokensToSave<'_>,
    ) -> Result<RetrievalKey, StoreError> {
        let inner = &self.0;
        inner.counts.admit(owner, false, &inner.quotas, inner.clock.now())?;
        for _ in 0..ID_ATTEMPTS {
            match self.save(owner, tokens, None).await {
                Err(StoreError::Conflict(_)) => continue,
                saved => {
                    let key = saved?;
                    inner.counts.saved(owner, false, inner.clock.now());
                    return Ok(key);
                }
            }
        }
        Err(StoreError::Conflict("record id"))
    }

    /// Creates a key for a record that is yet to be saved, for callers that store the key first.
    pub fn new_key(&self) -> RetrievalKey {
        self.0.ids.new_key(self.0.clock.now())
    }

    /// Checks that the owner may save this number of records at once. Counts its records first, unless they were
    /// counted before.
    ///
    /// # Errors
    /// `QuotaReached`: the owner would exceed its quota.
    pub async fn may_save_many(&self, owner: &Principal, count: u64) -> Result<(), StoreError> {
        let inner = &self.0;
        if let Some(before) = inner.counts.uncounted(owner, inner.clock.now()) {
            let user = (owner.tenant.clone(), owner.login.clone());
            let (tenant, login) = user.clone();
            let count_all = move |conn: &mut Conn| records::count(conn, &tenant, &login);
            let found = inner.readers.run_slowly(count_all).await?;
            inner.counts.counted(&user, found, before);
        }
        inner.counts.admit_many(owner, count, &inner.quotas)
    }

    /// Saves tokens like `save_external_tokens`, under a key of `new_key`.
    ///
    /// # Errors
    /// - `Conflict`: a record has the key's id already: that of an earlier attempt or, very improbably, of another
    ///   caller.
    /// - Otherwise as `save_external_tokens`, except that after `Unavailable` the key opens what may have been saved.
    pub async fn save_external_tokens_under(
        &self,
        key: &RetrievalKey,
        owner: &Principal,
        tokens: TokensToSave<'_>,
    ) -> Result<(), StoreError> {
        let inner = &self.0;
        inner.counts.admit(owner, false, &inner.quotas, inner.clock.now())?;
        self.save_under(key, owner, tokens, None).await?;
        inner.counts.saved(owner, false, inner.clock.now());
        Ok(())
    }

    /// Saves tokens like `save_external_tokens`, but once for an idempotency key in 24 hours. A repeat returns the
    /// first key, at any server and even if the first answer was lost.
    ///
    /// # Errors
    /// - `OtherCall`: the idempotency key belongs to another save of the caller.
    /// - Otherwise as `save_external_tokens`.
    pub async fn save_external_tokens_once(
        &self,
        owner: &Principal,
        tokens: TokensToSave<'_>,
        idempotency_key: &IdempotencyKey,
    ) -> Result<RetrievalKey, StoreError> {
        self.save_once(
            owner,
            tokens,
            Repeatable::Save(tokens.carrier, &tokens.details.parameters),
            idempotency_key,
        )
        .await
    }

    /// Saves the tokens that a code was exchanged for, like `save_external_tokens`. With an idempotency key it works
    /// like `save_external_tokens_once`, but a repeat is recognized by its exchange, not by its tokens.
    ///
    /// # Errors
    /// As those two.
    pub async fn save_exchanged_tokens(
        &self,
        owner: &Principal,
        tokens: TokensToSave<'_>,
        exchange: &CodeToExchange,
        idempotency_key: Option<&IdempotencyKey>,
    ) -> Result<RetrievalKey, StoreError> {
        match idempotency_key {
            Some(once) => self.save_once(owner, tokens, Repeatable::Exchange(exchange), once).await,
            None => self.save_external_tokens(owner, tokens).await,
        }
    }

    /// Returns the key that this idempotency key gave this exchange earlier, if any.
    ///
    /// # Errors
    /// `OtherCall`: the idempotency key belongs to another call.
    pub async fn exchanged_before(
        &self,
        owner: &Principal,
        exchange: &CodeToExchange,
        idempotency_key: &IdempotencyKey,
    ) -> Result<Option<RetrievalKey>, StoreError> {
        self.answered_before(owner, Repeatable::Exchange(exchange), idempotency_key).await
    }

    /// Returns the key that this idempotency key gave this call earlier, if any.
    ///
    /// # Errors
    /// `OtherCall`: the idempotency key belongs to another call.
    pub(super) async fn answered_before(
        &self,
        caller: &Principal,
        call: Repeatable<'_>,
        idempotency_key: &IdempotencyKey,
    ) -> Result<Option<RetrievalKey>, StoreError> {
        let idempotency = IdempotencySeal::of(caller, idempotency_key);
        let found = self.reservation(&idempotency).await?;
        let found = found.filter(|row| row.lives(self.0.clock.now()));
        found.map(|row| row.open(&idempotency, call)).transpose()
    }

    /// Checks that the caller may use another idempotency key, before the tokens are there.
    ///
    /// # Errors
    /// `QuotaReached`: the caller has used up its idempotency keys.
    pub fn may_use_key(&self, caller: &Principal) -> Result<(), StoreError> {
        self.0.counts.admit_key(caller, &self.0.quotas, self.0.clock.now())
    }

    /// Checks that the owner may save another record, before the tokens are there.
    ///
    /// # Errors
    /// `QuotaReached`: the owner has reached its quota.
    pub fn may_save(&self, owner: &Principal, has_key: bool) -> Result<(), StoreError> {
        self.0.counts.admit(owner, has_key, &self.0.quotas, self.0.clock.now())
    }

    async fn save_once(
        &self,
        owner: &Principal,
        tokens: TokensToSave<'_>,
        call: Repeatable<'_>,
        idempotency_key: &IdempotencyKey,
    ) -> Result<RetrievalKey, StoreError> {
        let inner = &self.0;
        let idempotency = IdempotencySeal::of(owner, idempotency_key);
        if let Err(refusal) = inner.counts.admit(owner, true, &inner.quotas, inner.clock.now()) {
            // A repeat adds nothing.
            let found = self.reservation(&idempotency).await?;
            let idempotency_row =
                found.filter(|row| row.lives(inner.clock.now())).ok_or(refusal)?;
            return idempotency_row.open(&idempotency, call);
        }
        for _ in 0..ID_ATTEMPTS {
            match self.save(owner, tokens, Some((&idempotency, call))).await {
                Err(StoreError::Conflict(_)) => {}
                Err(StoreError::Reserved) => {
                    if let Some(idempotency_row) = self.reservation(&idempotency).await? {
                        return idempotency_row.open(&idempotency, call);
                    }
                }
                saved => {
                    let key = saved?;
                    inner.counts.saved(owner, true, inner.clock.now());
                    return Ok(key);
                }
            }
        }
        Err(StoreError::Conflict("record id"))
    }

    async fn reservation(
        &self,
        idempotency: &IdempotencySeal,
    ) -> Result<Option<IdempotencyRow>, StoreError> {
        let digest = idempotency.digest();
        self.0.readers.run(move |conn| idempotency_keys::find(conn, digest)).await
    }

    /// Saves tokens under a new key. Fails if the new record's id is taken.
    async fn save(
        &self,
        owner: &Principal,
        tokens: TokensToSave<'_>,
        once: Option<(&IdempotencySeal, Repeatable<'_>)>,
    ) -> Result<RetrievalKey, StoreError> {
        let key = self.new_key();
        self.save_under(&key, owner, tokens, once).await?;
        Ok(key)
    }

    /// Saves tokens under this key. Fails if the record's id is taken. Repeats the save if the active master key is
    /// retired meanwhile.
    async fn save_under(
        &self,
        key: &RetrievalKey,
        owner: &Principal,
        tokens: TokensToSave<'_>,
        once: Option<(&IdempotencySeal, Repeatable<'_>)>,
    ) -> Result<(), StoreError> {
        let inner = &self.0;
        let mut tries = 0;
        loop {
            let keyring = self.keyring_to_wrap(1).await?;
            let row = inner.seal(owner, tokens, key, keyring.active());
            let reservation =
                once.map(|(seal, call)| IdempotencyRow::new(seal, call, key, inner.clock.now()));
            let grant = tokens
                .grant
                .map(|grant| GrantRow::of_exchange(key.record(), grant, inner.database_time()));
            let saved = if reservation.is_none() && grant.is_none() {
                inner.writer.save(row).await
            } else {
                inner.writer.save_with(row, reservation, grant, inner.clock).await
            };
            match saved {
                Err(error) => self.leave_retired(error, &mut tries).await?,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Returns the tokens that `key` opens in this tenant, or `None`, for any reason, if it opens nothing.
    ///
    /// # Errors
    /// - `Damaged`: the record exists but does not open.
    /// - `Unavailable`: the record cannot be read.
    pub async fn external_tokens(
        &self,
        tenant: &TenantId,
        key: &RetrievalKey,
    ) -> Result<Option<SavedTokens>, StoreError> {
        let wanted = TokenLookup::by(key);
        let find = || self.0.readers.tokens(&wanted);
        let (row, keyring) = self.with_its_key(find().await?, find()).await?;
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
        let tokens = TokensToSave {
            carrier: &carrier,
            details: &details,
            access_expires: None,
            grant: None,
        };
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
