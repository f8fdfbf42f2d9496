//! Another retrieval key for a record.
//!
//! Invariant: no refresh of the record is under way in this process meanwhile, nor, as far as the database knows, in
//! another. Such a refresh would seal its tokens for the old key, and they would be lost.

use std::{sync::Arc, time::Instant};

use model::{IdempotencyKey, Principal, RetrievalKey};
use store::Rekeyed;

use super::{Grants, error::GrantError, in_flight::Flight, looks::Looks};

impl Grants {
    /// Gives the record of a key another one, and ends that key; `None` if the key retrieves nothing. Once it has
    /// begun, it goes on when the caller goes away.
    ///
    /// # Errors
    /// The record keeps its key. After an outage of the database, it has either the old key or the new one.
    pub(crate) async fn rekey(
        self: &Arc<Self>,
        caller: &Principal,
        key: &RetrievalKey,
        once: Option<&IdempotencyKey>,
    ) -> Result<Option<RetrievalKey>, GrantError> {
        let until = Instant::now() + self.wait;
        let task = || {
            let (grants, caller) = (Arc::clone(self), caller.clone());
            let (key, once) = (key.clone(), once.cloned());
            async move { grants.rekey_alone(&caller, &key, once.as_ref(), until).await }
        };
        self.in_flight.run_alone(Flight::Record(key.record()), until, task).await?
    }

    async fn rekey_alone(
        &self,
        caller: &Principal,
        key: &RetrievalKey,
        once: Option<&IdempotencyKey>,
        until: Instant,
    ) -> Result<Option<RetrievalKey>, GrantError> {
        let mut looks = Looks::until(until);
        loop {
            let outcome = self.store.rekey(caller, key, once).await?;
            if let (Rekeyed::Absent | Rekeyed::Moved, Some(once)) = (&outcome, once)
                && let Some(other) = self.store.rekeyed_before(caller, key, once).await?
            {
                // The same call was made before, by this server or another.
                return Ok(Some(other));
            }
            match outcome {
                Rekeyed::Done(other) => return Ok(Some(other)),
                Rekeyed::Absent => return Ok(None),
                Rekeyed::Unsaved => return Err(GrantError::Unsaved),
                Rekeyed::Moved | Rekeyed::Leased => {}
            }
            if self.in_flight.is_stopping() {
                return Err(GrantError::Busy);
            }
            looks.wait().await?;
        }
    }
}
