//! Grants: claiming a refresh, and recording its outcome.
//!
//! Invariant: every new token is in the database or in a file before a caller gets it. At most one server at a time
//! holds the claim of a refresh token.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use model::{GrantDetails, RecordId, RetrievalKey, TenantId, TokenManagementInfo};
use tokio::{task, time};
use tracing::{error, warn};

use crate::{
    Store, StoreError,
    backend::conn::{self, Conn},
    error::error_chain,
    seal::{self, Kek},
    store::Inner,
    tables::{
        external_tokens::{SealedTokens, Tokens},
        grants::{
            self, Grant, GrantCount,
            claim::{self, Attempt, Claim, Claimed},
            lease::{self, LeaseHolder},
            outcome::{self, Committed, Failure, RefreshTimes, Replacement, Verdict},
            report,
        },
        provider_states::{self, ProviderPause},
    },
    write::lock_order::{LockOrder, Write},
};

/// How long expired leases of other servers are still respected after an outage of the database.
const TAKEOVER_DELAY: Duration = Duration::from_secs(7);
/// Timeout of a statement that renews leases.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Initial and maximum pause between attempts to commit new tokens that no file could take.
const COMMIT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Facts to know before claiming a refresh.
#[derive(Clone, Debug)]
pub struct GrantFacts {
    /// The database's time.
    pub now: i64,
    /// Whether requests to all providers are paused.
    pub are_all_paused: bool,
    /// Pause of this provider, if any.
    pub provider_pause: Option<ProviderPause>,
    /// State of the grant; the default if no refresh was tried.
    pub grant: Grant,
    /// Whether another server is refreshing the grant.
    pub is_leased: bool,
    /// The record's current generation; `None` if it has ended.
    pub generation: Option<i32>,
}

/// New tokens of a record.
#[derive(Clone, Copy, Debug)]
pub struct NewTokens<'a> {
    /// The tokens, with the record's claims.
    pub carrier: &'a TokenManagementInfo,
    /// Further details from the provider.
    pub details: &'a GrantDetails,
    /// Expiry times of the tokens.
    pub times: RefreshTimes,
}

impl Inner {
    pub(super) fn lease_holder(&self) -> LeaseHolder {
        let worked_for = self.outage.time_since();
        LeaseHolder {
            boot: self.presence.id().to_owned(),
            is_shared: self.database_file.is_none(),
            may_take_over: worked_for.is_some_and(|time| time >= TAKEOVER_DELAY),
        }
    }
}

impl Store {
    /// Commits a change that depends on the database's time.
    pub(super) async fn write_at<T: Send + 'static>(
        &self,
        write: Write,
        mut change: impl FnMut(&mut Conn, i64) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let clock = self.0.clock;
        let change = move |conn: &mut Conn| {
            let now = conn::time(conn, clock)?;
            change(conn, now)
        };
        self.0.writer.run(write, change).await
    }

    /// Returns the time by the database's clock, in microseconds since 1970 UTC.
    pub fn database_time(&self) -> i64 {
        self.0.database_time()
    }

    /// Returns the facts to know before this client claims a refresh of the record.
    pub async fn grant_facts(
        &self,
        record: RecordId,
        client_digest: [u8; 32],
    ) -> Result<GrantFacts, StoreError> {
        let (clock, holder) = (self.0.clock, self.0.lease_holder());
        let read = move |conn: &mut Conn| {
            let now = conn::time(conn, clock)?;
            let grant = grants::find(conn, record)?.map(Grant::from).unwrap_or_default();
            Ok(GrantFacts {
                now,
                are_all_paused: provider_states::are_all_paused(conn)?,
                provider_pause: provider_states::find(conn, &client_digest)?,
                is_leased: grant.is_leased(&holder, now),
                generation: grants::generation(conn, record)?,
                grant,
            })
        };
        self.0.readers.run(read).await
    }

    /// Claims a refresh. When it returns `Ours`, the attempt is on disk. The request may be sent if the call took less
    /// than two seconds.
    pub async fn claim_attempt(&self, claim: Claim) -> Result<Claimed, StoreError> {
        if self.0.unsaved.has(claim.record) {
            // The record's refresh token is spent; the tokens that replace it wait in a file.
            self.save_some_unsaved(self.0.unsaved.of_record(claim.record)).await?;
            let is_saved = !self.0.unsaved.has(claim.record);
            return Ok(if is_saved { Claimed::Moved } else { Claimed::Unsaved });
        }
        let holder = self.0.lease_holder();
        let order = LockOrder::Record(claim.record.as_i64());
        let change = move |conn: &mut Conn, now| claim::claim(conn, now, &holder, &claim);
        let claimed = self.write_at(Write::of(order), change).await?;
        Ok(match claimed {
            Claimed::Ours(mut attempt) if self.0.database_file.is_none() => {
                attempt._lease = Some(self.0.leases.hold(&attempt));
                Claimed::Ours(attempt)
            }
            other => other,
        })
    }

    /// Renews the lease of an attempt before its request is sent again. Returns false if another server has made an
    /// attempt meanwhile, which can happen if this process was suspended.
    pub async fn renew_attempt(&self, attempt: &Attempt) -> Result<bool, StoreError> {
        let attempt = attempt.clone();
        let order = LockOrder::Record(attempt.record.as_i64());
        let change = move |conn: &mut Conn, now| lease::renew(conn, now, &attempt);
        self.write_at(Write::of(order), change).await
    }

    /// Seals new tokens as the record's next generation and commits them. If the database cannot take them, they are in
    /// a file when it returns. If the disk cannot either, it retries until one of the two can.
    pub async fn commit_refresh(
        &self,
        tenant: &TenantId,
        key: &RetrievalKey,
        attempt: &Attempt,
        tokens: NewTokens<'_>,
    ) -> Committed {
        let mut pause = COMMIT_PAUSES.0;
        loop {
            let error = match self.seal_and_commit(tenant, key, attempt, tokens).await {
                Ok(committed) => return committed,
                Err(error) => error,
            };
            // A wrap during an outage is not counted; there are few of them.
            let keyring = self.0.keyring.current();
            let unsaved = tokens.seal(tenant, key, attempt, keyring.active());
            match self.write_unsaved(unsaved, attempt._lease.clone()).await {
                Ok(()) => {
                    let (record, error) = (attempt.record.text(), error_chain(&error));
                    warn!(record, error, "new tokens wait in a file for the database");
                    return Committed::Unsaved;
                }
                Err(file_error) => {
                    let record = attempt.record.text();
                    let (error, file) = (error_chain(&error), error_chain(&file_error));
                    error!(record, error, file, "new tokens can be kept in memory alone");
                }
            }
            time::sleep(pause).await;
            pause = (2 * pause).min(COMMIT_PAUSES.1);
        }
    }

    /// Seals and commits new tokens, and repeats both if the active key is retired meanwhile.
    async fn seal_and_commit(
        &self,
        tenant: &TenantId,
        key: &RetrievalKey,
        attempt: &Attempt,
        tokens: NewTokens<'_>,
    ) -> Result<Committed, StoreError> {
        let mut tries = 0;
        loop {
            let keyring = self.keyring_to_wrap(1).await?;
            let sealed = tokens.seal(tenant, key, attempt, keyring.active());
            match self.commit(sealed).await {
                Err(error) => self.leave_retired(error, &mut tries).await?,
                outcome => return outcome,
            }
        }
    }

    pub(super) async fn commit(&self, tokens: Replacement) -> Result<Committed, StoreError> {
        let order = LockOrder::Record(tokens.record.as_i64());
        let outbox = Arc::clone(&self.0.outbox);
        let change = move |conn: &mut Conn, now| {
            let committed = outcome::commit(conn, now, &tokens)?;
            report::report(conn, now, &outbox, tokens.record)?;
            Ok(committed)
        };
        self.write_at(Write::of(order).rows(1).erasing(), change).await
    }

    /// Records a failed attempt. Returns `None` if another attempt was made meanwhile.
    pub async fn fail_refresh(
        &self,
        attempt: &Attempt,
        failure: Failure,
    ) -> Result<Option<Verdict>, StoreError> {
        let attempt = attempt.clone();
        let order = LockOrder::Record(attempt.record.as_i64());
        let outbox = Arc::clone(&self.0.outbox);
        let change = move |conn: &mut Conn, now| {
            let verdict = outcome::fail(conn, now, &attempt, failure)?;
            report::report(conn, now, &outbox, attempt.record)?;
            Ok(verdict)
        };
        self.write_at(Write::of(order), change).await
    }

    /// Releases an attempt that spent nothing. The grant is what it was before.
    pub async fn release_attempt(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let attempt = attempt.clone();
        let order = LockOrder::Record(attempt.record.as_i64());
        let release = move |conn: &mut Conn, now| outcome::release(conn, now, &attempt);
        self.write_at(Write::of(order), release).await
    }

    /// Allows the next attempt of a record at once, by any server. Returns whether it had to wait.
    pub async fn end_grant_pause(&self, record: RecordId) -> Result<bool, StoreError> {
        let order = LockOrder::Record(record.as_i64());
        let change = move |conn: &mut Conn| grants::end_pause(conn, record);
        self.0.writer.run(Write::of(order), change).await
    }

    /// Counts the living records by state of their grant and by client.
    pub async fn count_grants(&self) -> Result<Vec<GrantCount>, StoreError> {
        self.0.readers.run_slowly(grants::count).await
    }

    /// Renews the leases of refreshes in progress, if other servers may use the database. Uses a connection of its own,
    /// so that it never queues after saves.
    pub async fn renew_leases(&self) -> Result<(), StoreError> {
        let attempts = self.0.leases.list();
        if attempts.is_empty() {
            return Ok(());
        }
        let inner = Arc::clone(&self.0);
        let renew = move || {
            let renew = |conn: &mut Conn| {
                conn::limited(conn, Some(RENEWAL_TIMEOUT), |conn| {
                    conn::write(conn, |conn| {
                        let now = conn::time(conn, inner.clock)?;
                        lease::renew_all(conn, now, &attempts)
                    })
                })
            };
            inner.renewals.lock().unwrap_or_else(PoisonError::into_inner).run(renew)
        };
        task::spawn_blocking(renew).await.map_err(|panic| StoreError::Query(Arc::new(panic)))?
    }
}

impl NewTokens<'_> {
    pub(super) fn seal(
        &self,
        tenant: &TenantId,
        key: &RetrievalKey,
        attempt: &Attempt,
        kek: &Kek,
    ) -> Replacement {
        let tokens = Tokens { carrier: self.carrier, details: self.details };
        Replacement {
            record: attempt.record,
            attempt: attempt.number,
            replaced: attempt.generation,
            key_digest: seal::key_digest(key),
            times: self.times,
            sealed: SealedTokens::new(tokens, tenant, attempt.generation + 1, key, kek),
        }
    }
}
