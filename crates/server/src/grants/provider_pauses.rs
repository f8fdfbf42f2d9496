//! Pauses of a provider: while one lasts, no request is sent to the provider for any record.
//!
//! Invariant: after a pause, a single request of all servers tests whether the provider accepts requests again.

use std::sync::Arc;

use model::GrantCause;
use store::{ProviderPause, StoreError};
use tracing::{info, warn};

use super::{
    Grants,
    error::GrantError,
    intervals::{PROVIDER_PAUSE, seconds},
    providers::ConfiguredProvider,
    refresh::of_provider_pause,
};
use crate::error_text::error_chain;

impl Grants {
    /// Takes the right to send a request during or after a pause.
    ///
    /// # Errors
    /// The pause goes on, or another request is testing the provider.
    pub(super) async fn pass_pause(
        &self,
        provider: &ConfiguredProvider,
        pause: Option<ProviderPause>,
    ) -> Result<(), GrantError> {
        let Some(ProviderPause { cause, retry_at, .. }) = pause else { return Ok(()) };
        let left = retry_at.saturating_sub(self.store.database_time());
        if left > 0 {
            return Err(of_provider_pause(cause, left));
        }
        if self.store.take_probe(provider.client_digest, PROVIDER_PAUSE).await? {
            Ok(())
        } else {
            Err(of_provider_pause(cause, PROVIDER_PAUSE))
        }
    }

    /// Pauses requests to the provider for all records. A provider whose address callers choose is never paused,
    /// because otherwise a caller that names a place where the client is unknown would stop it for all.
    pub(super) async fn pause_provider(
        &self,
        provider: &Arc<ConfiguredProvider>,
        cause: GrantCause,
        pause_us: i64,
    ) {
        if provider.parameters.open().next().is_some() {
            return;
        }
        let paused = self.store.pause_provider(provider.as_paused(), cause, pause_us).await;
        let provider = &provider.place;
        match paused {
            Ok(()) => warn!(provider, %cause, seconds = seconds(pause_us), "requests are paused"),
            Err(error) => warn!(provider, error = error_chain(&error), "requests go on"),
        }
    }

    /// Ends a pause after the provider accepted the client.
    pub(super) async fn resume_provider(&self, provider: &ConfiguredProvider) {
        match self.store.resume_provider(provider.as_paused()).await {
            Ok(true) => info!(provider = provider.place, "the provider accepts requests again"),
            Ok(false) => {}
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => warn!(error = error_chain(&error), "a pause could not be ended"),
        }
    }
}
