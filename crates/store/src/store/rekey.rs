//! Replacement of a record's retrieval key, for example after the old one leaked.
//!
//! Invariant: once the new key is returned, the old key opens nothing. At any time the tokens are sealed under exactly
//! one of the two.

use model::{IdempotencyKey, Principal, RetrievalKey};

use crate::{
    SavedTokens, Store, StoreError,
    backend::conn::Conn,
    seal::{self, IdempotencySeal, Repeatable},
    tables::{
        external_tokens::{SealedTokens, Tokens},
        grants::rekey::{self, KeyChange, Resealed},
        idempotency_keys::IdempotencyRow,
    },
    write::lock_order::{LockOrder, Write},
};

/// Outcome of a request for another key.
#[derive(Clone, Debug)]
pub enum Rekeyed {
    /// The record has this key now.
    Done(RetrievalKey),
    /// The key retrieves nothing.
    Absent,
    /// The record changed meanwhile; the caller may retry at once.
    Moved,
    /// Another server may be refreshing the record.
    Leased,
    /// New tokens of the record wait in a file, sealed for the current key, and cannot be committed yet.
    Unsaved,
}

impl Store {
    /// Gives a record another key, and seals its tokens under a new data key. The caller ensures that this process is
    /// not refreshing the record. With an idempotency key, repeats within 24 hours return the same key.
    ///
    /// # Errors
    /// - `OtherCall`: the idempotency key belongs to another call.
    /// - `QuotaReached`: the caller has used up its idempotency keys.
    /// - Otherwise as `external_tokens`. After `Unavailable` the record has either the old or the new key.
    pub async fn rekey(
        &self,
        caller: &Principal,
        key: &RetrievalKey,
        idempotency_key: Option<&IdempotencyKey>,
    ) -> Result<Rekeyed, StoreError> {
        let inner = &self.0;
        if inner.unsaved.has(key.record()) {
            self.save_some_unsaved(inner.unsaved.of_record(key.record())).await?;
            if inner.unsaved.has(key.record()) {
                return Ok(Rekeyed::Unsaved);
            }
        }
        let Some(saved) = self.external_tokens(&caller.tenant, key).await? else {
            return Ok(Rekeyed::Absent);
        };
        let idempotency = idempotency_key.map(|once| IdempotencySeal::of(caller, once));
        if idempotency.is_some() {
            inner.counts.admit_key(caller, &inner.quotas, inner.clock.now())?;
        }
        let mut tries = 0;
        loop {
            match self.rekey_once(caller, key, &saved, idempotency.as_ref()).await {
                // The same call is in progress or was answered; `rekeyed_before` finds its key.
                Err(StoreError::Reserved) => return Ok(Rekeyed::Moved),
                Err(error) => self.leave_retired(error, &mut tries).await?,
                outcome => return outcome,
            }
        }
    }

    async fn rekey_once(
        &self,
        caller: &Principal,
        key: &RetrievalKey,
        saved: &SavedTokens,
        idempotency: Option<&IdempotencySeal>,
    ) -> Result<Rekeyed, StoreError> {
        let inner = &self.0;
        let (record, other) = (key.record(), inner.ids.other_key(key.record()));
        let keyring = self.keyring_to_wrap(1).await?;
        let tokens = Tokens { carrier: &saved.carrier, details: &saved.details };
        let (tenant, generation) = (&caller.tenant, saved.generation + 1);
        let resealed = Resealed {
            record,
            replaced: saved.generation,
            digests: [key, &other].map(seal::key_digest),
            sealed: SealedTokens::new(tokens, tenant, generation, &other, keyring.active()),
        };
        let reservation = idempotency.map(|seal| {
            IdempotencyRow::new(seal, Repeatable::Rekey(key), &other, inner.clock.now())
        });
        let (holder, clock) = (inner.lease_holder(), inner.clock);
        // The idempotency key's row and the record are both locked.
        let write = match reservation {
            Some(_) => Write::alone(),
            None => Write::of(LockOrder::Record(record.as_i64())),
        };
        let change = move |conn: &mut Conn, now| {
            if let Some(reservation) = &reservation {
                reservation.insert(conn, clock.now())?;
            }
            let changed = rekey::change(conn, now, &holder, &resealed)?;
            if let (Some(reservation), KeyChange::Moved | KeyChange::Leased) =
                (&reservation, changed)
            {
                reservation.take_back(conn)?;
            }
            Ok(changed)
        };
        Ok(match self.write_at(write.rows(1).erasing(), change).await? {
            KeyChange::Done => {
                if idempotency.is_some() {
                    inner.counts.key_used(caller, inner.clock.now());
                }
                Rekeyed::Done(other)
            }
            KeyChange::Moved => Rekeyed::Moved,
            KeyChange::Leased => Rekeyed::Leased,
        })
    }

    /// Returns the key that this idempotency key gave the record earlier, if any.
    ///
    /// # Errors
    /// `OtherCall`: the idempotency key belongs to another call.
    pub async fn rekeyed_before(
        &self,
        caller: &Principal,
        key: &RetrievalKey,
        idempotency_key: &IdempotencyKey,
    ) -> Result<Option<RetrievalKey>, StoreError> {
        self.answered_before(caller, Repeatable::Rekey(key), idempotency_key).await
    }
}
