//! Grants: claiming a refresh, and keeping what became of it.
//!
//! Invariant: new tokens that arrived are in the database or in a file before anybody gets them, and no refresh token
//! is claimed by two servers at a time.

use std::{sync::Arc, time::Duration};

use model::{GrantDetails, RecordId, RetrievalKey, TenantId, TokenManagementInfo};
use tokio::{task, time};
use tracing::{error, info, warn};

use crate::{
    Store, StoreError,
    backend::conn::{self, Conn},
    error::error_chain,
    seal::{self, Kek},
    store::{Inner, following::SEAL_ATTEMPTS},
    tables::{
        exchanges,
        external_tokens::{SealedTokens, Tokens},
        grants::{
            self, Attempt, Claim, Claimed, Committed, Failure, Grant, Lease, LeaseHolder,
            RefreshTimes, Replacement, Verdict,
        },
        provider_states::{self, ProviderPause},
    },
    write::lock_order::{LockOrder, Write},
};

/// For how long after an outage of the database leases of other servers hold although they ran out.
const PATIENCE: Duration = Duration::from_secs(7);
/// How long a statement that renews leases may take.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause between two tries to commit new tokens that no file could take: at first, and at most.
const COMMIT_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What has to be known before a refresh is claimed.
#[derive(Clone, Debug)]
pub struct GrantFacts {
    /// The database's time.
    pub now: i64,
    /// Whether no request is sent to any provider.
    pub are_all_paused: bool,
    /// Why none is sent to this one.
    pub provider_pause: Option<ProviderPause>,
    /// What is known of the grant; the default if no refresh was tried.
    pub grant: Grant,
    /// Whether another server is refreshing it.
    pub is_leased: bool,
    /// The generation that the record has now; `None` if it has ended.
    pub generation: Option<i32>,
}

/// New tokens of a record.
#[derive(Clone, Copy, Debug)]
pub struct NewTokens<'a> {
    /// The tokens, and the claims that the record had.
    pub carrier: &'a TokenManagementInfo,
    /// What the provider said besides.
    pub details: &'a GrantDetails,
    /// When they end.
    pub times: RefreshTimes,
}

impl Inner {
    fn lease_holder(&self) -> LeaseHolder {
        let worked_for = self.outage.time_since();
        LeaseHolder {
            boot: self.presence.id().to_owned(),
            is_shared: self.database_file.is_none(),
            may_take_over: worked_for.is_some_and(|time| time >= PATIENCE),
        }
    }
}

impl Store {
    /// The time by the database's clock, in microseconds since 1970 UTC.
    pub fn database_time(&self) -> i64 {
        self.0.database_time()
    }

    /// What has to be known before a refresh of the record by this client is claimed.
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

    /// Claims a refresh. Once it returns `Ours`, the attempt is on disk, and the request may be sent if the call took
    /// less than two seconds.
    pub async fn claim_refresh(&self, claim: Claim) -> Result<Claimed, StoreError> {
        if self.0.unsaved.has(claim.record) {
            // Its refresh token is spent, and what it was spent for is here.
            self.save_some_unsaved(self.0.unsaved.of_record(claim.record)).await?;
            let is_saved = !self.0.unsaved.has(claim.record);
            return Ok(if is_saved { Claimed::Moved } else { Claimed::Unsaved });
        }
        let (clock, holder) = (self.0.clock, self.0.lease_holder());
        let order = LockOrder::Record(claim.record.as_i64());
        let change = move |conn: &mut Conn| {
            let now = conn::time(conn, clock)?;
            grants::claim(conn, now, &holder, &claim)
        };
        let claimed = self.0.writer.run(Write::of(order), change).await?;
        Ok(match claimed {
            Claimed::Ours(mut attempt) if self.0.database_file.is_none() => {
                attempt._lease = Some(self.0.leases.hold(&attempt));
                Claimed::Ours(attempt)
            }
            other => other,
        })
    }

    /// Renews the lease of an attempt, whose request is to be sent once more; whether no other server has made one
    /// meanwhile, as it may if this process slept.
    pub async fn holds_attempt(&self, attempt: &Attempt) -> Result<bool, StoreError> {
        let (clock, attempt) = (self.0.clock, attempt.clone());
        let order = LockOrder::Record(attempt.record.as_i64());
        let change = move |conn: &mut Conn| {
            let now = conn::time(conn, clock)?;
            grants::hold(conn, now, &attempt)
        };
        self.0.writer.run(Write::of(order), change).await
    }

    /// Seals new tokens as the next generation of the record and commits them. If the database cannot take them, they
    /// are in a file once it returns. If the disk cannot either, it tries again until one of both does.
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
            // A wrap during an outage is not counted; these are few.
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

    /// Again if the active key is retired meanwhile.
    async fn seal_and_commit(
        &self,
        tenant: &TenantId,
        key: &RetrievalKey,
        attempt: &Attempt,
        tokens: NewTokens<'_>,
    ) -> Result<Committed, StoreError> {
        let mut tries = 1;
        loop {
            let keyring = self.keyring_to_wrap(1).await?;
            let sealed = tokens.seal(tenant, key, attempt, keyring.active());
            match self.commit(sealed).await {
                Err(StoreError::KeyRetired(id)) if tries < SEAL_ATTEMPTS => {
                    self.leave_key(&id).await?;
                }
                outcome => return outcome,
            }
            tries += 1;
        }
    }

    async fn commit(&self, tokens: Replacement) -> Result<Committed, StoreError> {
        let clock = self.0.clock;
        let order = LockOrder::Record(tokens.record.as_i64());
        let change = move |conn: &mut Conn| {
            let now = conn::time(conn, clock)?;
            grants::commit(conn, now, &tokens)
        };
        self.0.writer.run(Write::of(order).rows(1).erasing(), change).await
    }

    async fn write_unsaved(
        &self,
        tokens: Replacement,
        lease: Option<Arc<Lease>>,
    ) -> Result<(), crate::OpenError> {
        let inner = Arc::clone(&self.0);
        let written = task::spawn_blocking(move || inner.unsaved.write(&tokens, lease)).await;
        written.expect("writing a file does not panic")
    }

    /// Shows that new tokens can be kept in files while the database is away. Blocks.
    ///
    /// # Errors
    /// They cannot.
    pub fn probe_unsaved(&self) -> Result<(), crate::OpenError> {
        self.0.unsaved.probe()
    }

    /// Commits what waits in files. A server does so at its start and every second.
    pub async fn save_unsaved(&self) -> Result<(), StoreError> {
        self.save_some_unsaved(self.0.unsaved.list()).await
    }

    async fn save_some_unsaved(&self, files: Vec<(i64, i64)>) -> Result<(), StoreError> {
        for file in files {
            let inner = Arc::clone(&self.0);
            let read = move || inner.unsaved.is_there(file).then(|| inner.unsaved.read(file));
            let read = task::spawn_blocking(read).await.expect("reading a file does not panic");
            let record = crate::record_ids::name_of(file.0);
            let tokens = match read {
                Some(Ok(tokens)) => tokens,
                None => continue,
                Some(Err(error)) => {
                    if self.0.unsaved.report(file) {
                        error!(record, error = error_chain(&error), "unsaved tokens are of no use");
                    }
                    continue;
                }
            };
            match self.commit(tokens).await {
                Ok(Committed::Absent) => {
                    error!(record, "unsaved tokens are of a record that is not in this database");
                    self.0.unsaved.forget(file);
                }
                Ok(committed) => self.remove_unsaved(file, committed).await,
                Err(StoreError::KeyRetired(kek)) => {
                    if self.0.unsaved.report(file) {
                        error!(
                            record,
                            kek.id = kek,
                            "the master key of unsaved tokens was retired"
                        );
                    }
                }
                Err(
                    error @ (StoreError::Overloaded
                    | StoreError::Unavailable(_)
                    | StoreError::Closed),
                ) => {
                    return Err(error);
                }
                Err(error) => {
                    if self.0.unsaved.report(file) {
                        error!(record, error = error_chain(&error), "unsaved tokens are refused");
                    }
                }
            }
        }
        Ok(())
    }

    async fn remove_unsaved(&self, file: (i64, i64), committed: Committed) {
        let record = crate::record_ids::name_of(file.0);
        match committed {
            Committed::Done { .. } => info!(record, "unsaved tokens were committed"),
            _ => info!(record, outcome = ?committed, "unsaved tokens were dropped"),
        }
        let inner = Arc::clone(&self.0);
        let removed = task::spawn_blocking(move || inner.unsaved.remove(file)).await;
        if let Err(error) = removed.expect("removing a file does not panic") {
            error!(record, error = error_chain(&error), "their file is still there");
        }
    }

    /// Notes that an attempt failed. `None` if another one was made meanwhile.
    pub async fn fail_refresh(
        &self,
        attempt: &Attempt,
        failure: Failure,
    ) -> Result<Option<Verdict>, StoreError> {
        let (clock, attempt) = (self.0.clock, attempt.clone());
        let order = LockOrder::Record(attempt.record.as_i64());
        let change = move |conn: &mut Conn| {
            let now = conn::time(conn, clock)?;
            grants::fail(conn, now, &attempt, failure)
        };
        self.0.writer.run(Write::of(order), change).await
    }

    /// Renews the leases of the refreshes that are under way, where other servers use the database; on a connection of
    /// its own, so that it waits behind no save.
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
                        grants::renew(conn, now, &attempts)
                    })
                })
            };
            inner.renewals.lock().unwrap_or_else(std::sync::PoisonError::into_inner).run(renew)
        };
        task::spawn_blocking(renew).await.map_err(|panic| StoreError::Query(Arc::new(panic)))?
    }

    /// Lets no request be sent to a provider for a while; a pause that there is goes on.
    pub async fn pause_provider(
        &self,
        client_digest: [u8; 32],
        cause: model::GrantCause,
        pause_us: i64,
    ) -> Result<(), StoreError> {
        let clock = self.0.clock;
        let change = move |conn: &mut Conn| {
            let since = conn::time(conn, clock)?;
            let pause = ProviderPause { cause, since, retry_at: since.saturating_add(pause_us) };
            provider_states::pause(conn, &client_digest, pause)
        };
        self.0.writer.run(Write::of(LockOrder::ProviderPause(client_digest)), change).await
    }

    /// Takes the right to send the one request that shows whether a provider's pause is over; the next one may be sent
    /// after `pause_us`.
    pub async fn take_probe(
        &self,
        client_digest: [u8; 32],
        pause_us: i64,
    ) -> Result<bool, StoreError> {
        let clock = self.0.clock;
        let change = move |conn: &mut Conn| {
            let now = conn::time(conn, clock)?;
            provider_states::take_probe(conn, &client_digest, now, now.saturating_add(pause_us))
        };
        self.0.writer.run(Write::of(LockOrder::ProviderPause(client_digest)), change).await
    }

    /// Ends the pause of a provider; whether there was one.
    pub async fn resume_provider(&self, client_digest: [u8; 32]) -> Result<bool, StoreError> {
        let change = move |conn: &mut Conn| provider_states::resume(conn, &client_digest);
        self.0.writer.run(Write::of(LockOrder::ProviderPause(client_digest)), change).await
    }

    /// The pauses of clients of providers, in their order; and whether no request is sent to any.
    pub async fn provider_pauses(
        &self,
        client_digests: Vec<[u8; 32]>,
    ) -> Result<(Vec<Option<ProviderPause>>, bool), StoreError> {
        let read = move |conn: &mut Conn| {
            let pauses = client_digests.iter().map(|digest| provider_states::find(conn, digest));
            let pauses = pauses.collect::<Result<_, _>>()?;
            Ok((pauses, provider_states::are_all_paused(conn)?))
        };
        self.0.readers.run(read).await
    }

    /// The reasons for which no request is sent to any provider.
    pub async fn pause_reasons(&self) -> Result<Vec<String>, StoreError> {
        self.0.readers.run(provider_states::reasons).await
    }

    /// Lets no request be sent to any provider, until `resume_grants`.
    pub async fn pause_grants(&self, reason: &'static str) -> Result<(), StoreError> {
        let clock = self.0.clock;
        let pause = move |conn: &mut Conn| provider_states::pause_all(conn, reason, clock.now());
        self.0.writer.run(Write::of(LockOrder::Nothing), pause).await
    }

    /// Lets requests be sent to providers again; the reasons for which they were not.
    pub async fn resume_grants(&self) -> Result<Vec<String>, StoreError> {
        self.0.writer.run(Write::of(LockOrder::Nothing), provider_states::resume_all).await
    }

    /// Notes that an authorization code is about to be sent, by its digest; whether it never was before.
    pub async fn begin_exchange(&self, digest: [u8; 32]) -> Result<bool, StoreError> {
        let clock = self.0.clock;
        let begin = move |conn: &mut Conn| exchanges::begin(conn, &digest, clock.now());
        self.0.writer.run(Write::of(LockOrder::Exchange(digest)), begin).await
    }

    /// Notes that an authorization code was not sent after all, by its digest.
    pub async fn undo_exchange(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        let undo = move |conn: &mut Conn| exchanges::remove(conn, &[digest.to_vec()]);
        self.0.writer.run(Write::of(LockOrder::Exchange(digest)), undo).await
    }

    /// Forgets the codes that were sent long ago.
    pub async fn remove_old_exchanges(&self) -> Result<(), StoreError> {
        let by = self.0.clock.now().saturating_sub(exchanges::KEPT_US);
        let remove = async |found: Vec<Vec<u8>>| {
            let count = found.len();
            let remove = move |conn: &mut Conn| exchanges::remove(conn, &found);
            self.0.writer.run(Write::alone().rows(count), remove).await
        };
        self.in_batches(move |conn| exchanges::older(conn, by), remove).await
    }
}

impl NewTokens<'_> {
    fn seal(
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
