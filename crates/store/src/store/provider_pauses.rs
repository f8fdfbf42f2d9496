//! Pauses of one provider, and of all.
//!
//! Invariant: during a provider's pause, no server sends it a request other than a probe.

use std::sync::Arc;

use model::{EventKind, GrantCause};

use crate::{
    PausedProvider, Store, StoreError,
    backend::conn::Conn,
    tables::provider_states::{self, ProviderPause},
    write::lock_order::{LockOrder, Write},
};

impl Store {
    /// Pauses requests to a provider. An existing pause continues.
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

    /// Claims the right to probe whether a provider's pause can end. The next probe may follow after `pause_us`
    /// microseconds.
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

    /// Allows the next probe of a paused provider at once. Returns whether the provider is paused.
    pub async fn probe_provider(&self, client_digest: [u8; 32]) -> Result<bool, StoreError> {
        let change =
            move |conn: &mut Conn, now| provider_states::end_wait(conn, &client_digest, now);
        self.write_at(Write::of(LockOrder::ProviderPause(client_digest)), change).await
    }

    /// Ends the pause of a provider. Returns whether it was paused.
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

    /// Returns the pauses of providers' clients, in order, and whether requests to all providers are paused.
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

    /// Returns the reasons why requests to all providers are paused.
    pub async fn pause_reasons(&self) -> Result<Vec<String>, StoreError> {
        self.0.readers.run(provider_states::reasons).await
    }

    /// Pauses requests to all providers until `resume_grants`.
    pub async fn pause_grants(&self, reason: &'static str) -> Result<(), StoreError> {
        let clock = self.0.clock;
        let pause = move |conn: &mut Conn| provider_states::pause_all(conn, reason, clock.now());
        self.0.writer.run(Write::of(LockOrder::Nothing), pause).await
    }

    /// Resumes requests to providers. Returns the reasons of the pause.
    pub async fn resume_grants(&self) -> Result<Vec<String>, StoreError> {
        self.0.writer.run(Write::of(LockOrder::Nothing), provider_states::resume_all).await
    }
}
