//! Replacement of the tokens under an existing retrieval key.
//!
//! Invariant: tokens are replaced only by a caller that saw the generation that they replace.

use std::sync::Arc;

use model::{CodeToExchange, IdempotencyKey, Principal, RetrievalKey};

use crate::{
    SavedTokens, Store, StoreError,
    backend::conn::Conn,
    seal::{self, IdempotencySeal, Repeatable},
    store::tokens::TokensToSave,
    tables::{
        external_tokens::{SealedTokens, Tokens},
        grants::{
            replace::{self, Replaced, Substitute},
            report,
        },
        idempotency_keys::IdempotencyRow,
    },
    write::lock_order::{LockOrder, Write},
};

impl Store {
    /// Seals tokens as the next generation of the record that `key` opened as `before`, and commits them. The record
    /// keeps its key, its owner and its expiry. `once` names the exchange that produced the tokens, if an idempotency
    /// key can repeat it.
    ///
    /// # Errors
    /// - `Reserved`: the idempotency key is taken; nothing was changed.
    /// - `Unavailable`: the database did not confirm the change.
    pub async fn replace_tokens(
        &self,
        caller: &Principal,
        key: &RetrievalKey,
        before: &SavedTokens,
        tokens: TokensToSave<'_>,
        once: Option<(&IdempotencyKey, &CodeToExchange)>,
    ) -> Result<Replaced, StoreError> {
        let inner = &self.0;
        let mut tries = 0;
        loop {
            let keyring = self.keyring_to_wrap(1).await?;
            let sealed = Tokens { carrier: tokens.carrier, details: tokens.details };
            let generation = before.generation + 1;
            let sealed =
                SealedTokens::new(sealed, &caller.tenant, generation, key, keyring.active());
            let reservation = once.map(|(once, exchange)| {
                let (seal, call) =
                    (IdempotencySeal::of(caller, once), Repeatable::Exchange(exchange));
                IdempotencyRow::new(&seal, call, key, inner.clock.now())
            });
            let write = match reservation {
                Some(_) => Write::alone(),
                None => Write::of(LockOrder::Record(key.record().as_i64())),
            };
            let new = Substitute {
                record: key.record(),
                replaced: before.generation,
                key_digest: seal::key_digest(key),
                access_expires: tokens.access_expires.map(|end| inner.end_of(end)),
                grant: tokens.grant,
                sealed,
            };
            let (clock, outbox) = (inner.clock, Arc::clone(&inner.outbox));
            let change = move |conn: &mut Conn, now| {
                if let Some(reservation) = &reservation {
                    reservation.insert(conn, clock.now())?;
                }
                let replaced = replace::replace(conn, now, &new)?;
                report::report(conn, now, &outbox, new.record)?;
                if let (Some(reservation), Replaced::Moved | Replaced::Ended) =
                    (&reservation, replaced)
                {
                    reservation.take_back(conn)?;
                }
                Ok(replaced)
            };
            match self.write_at(write.rows(1).erasing(), change).await {
                Err(error) => self.leave_retired(error, &mut tries).await?,
                Ok(Replaced::Done) if once.is_some() => {
                    inner.counts.key_used(caller, inner.clock.now());
                    return Ok(Replaced::Done);
                }
                replaced => return replaced,
            }
        }
    }
}
