//! Pauses of a provider: no request is sent to it for any record, for a while.
//!
//! Invariant: when a pause runs out, one request of all servers shows whether it is over.

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
    /// Takes the right to send a request although there is, or was, a pause.
    ///
    /// # Errors
    /// The pause goes on, or another request is to show whether it is over.
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

    /// Leaves the provider alone, for all records. One at which callers choose the place is never left alone, because
    /// otherwise a caller that names a place where the client is unknown would stop it for all.
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

    /// Ends a pause, because the provider had no fault to find with the client.
    pub(super) async fn resume_provider(&self, provider: &ConfiguredProvider) {
        match self.store.resume_provider(provider.as_paused()).await {
            Ok(true) => info!(provider = provider.place, "the provider accepts requests again"),
            Ok(false) => {}
            Err(StoreError::Unavailable(_)) => {}
            Err(error) => warn!(error = error_chain(&error), "a pause could not be ended"),
        }
    }
}
