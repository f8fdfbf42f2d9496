//! Pauses: of one provider, and of all.
//!
//! Invariant: no request is sent to a provider whose pause goes on, by any server.

use std::sync::Arc;

use model::{EventKind, GrantCause};

use crate::{
    PausedProvider, Store, StoreError,
    backend::conn::Conn,
    tables::provider_states::{self, ProviderPause},
    write::lock_order::{LockOrder, Write},
};

impl Store {
    /// Lets no request be sent to a provider for a while; a pause that there is goes on.
    pub async fn pause_provider(
        &self,
        provider: PausedProvider,
        cause: GrantCause,
        pause_us: i64,
    ) -> Result<(), StoreError> {
        let outbox = Arc::clone(&self.0.outbox);
        let order = LockOrder::ProviderPause(provider.client_digest);
        let change = move |conn: &mut Conn, since| {
            let pause = ProviderPause { cause, since, retry_at: since.saturating_add(pause_us) };
            if provider_states::pause(conn, &provider.client_digest, pause)? {
                let cause = Some(cause.to_string());
                let kind = EventKind::ProviderBlocked;
                outbox.write_of_provider(conn, since, &provider, kind, cause)?;
            }
            Ok(())
        };
        self.write_at(Write::of(order), change).await
    }

    /// Takes the right to send the one request that shows whether a provider's pause is over; the next one may be sent
    /// after `pause_us`.
    pub async fn take_probe(
        &self,
        client_digest: [u8; 32],
        pause_us: i64,
    ) -> Result<bool, StoreError> {
        let change = move |conn: &mut Conn, now| {
            provider_states::take_probe(conn, &client_digest, now, now.saturating_add(pause_us))
        };
        self.write_at(Write::of(LockOrder::ProviderPause(client_digest)), change).await
    }

    /// Lets the request that shows whether a provider's pause is over be sent now; whether there is a pause.
    pub async fn probe_provider(&self, client_digest: [u8; 32]) -> Result<bool, StoreError> {
        let change =
            move |conn: &mut Conn, now| provider_states::end_wait(conn, &client_digest, now);
        self.write_at(Write::of(LockOrder::ProviderPause(client_digest)), change).await
    }

    /// Ends the pause of a provider; whether there was one.
    pub async fn resume_provider(&self, provider: PausedProvider) -> Result<bool, StoreError> {
        let outbox = Arc::clone(&self.0.outbox);
        let order = LockOrder::ProviderPause(provider.client_digest);
        let change = move |conn: &mut Conn, now| {
            let was_paused = provider_states::resume(conn, &provider.client_digest)?;
            if was_paused {
                let kind = EventKind::ProviderRecovered;
                outbox.write_of_provider(conn, now, &provider, kind, None)?;
            }
            Ok(was_paused)
        };
        self.write_at(Write::of(order), change).await
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
}
