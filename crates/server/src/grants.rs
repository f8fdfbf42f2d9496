//! Grants: the right to get new tokens from a provider.
//!
//! Invariant: this module knows no web framework and no HTTP answer. Every request goes to an address that is
//! configured, or that a configured issuer names; no input of a caller changes that.

mod authorization;
mod claims;
mod decision;
mod description;
mod error;
mod exchange;
mod in_flight;
mod intervals;
mod introspection;
mod looks;
mod provider_pauses;
pub(crate) mod providers;
mod refresh;
mod rekey;
mod replacing;
mod revocation;
mod tallies;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock as _, DefaultClock},
};
use model::{Login, Provider, RetrievalKey, SecretText, TenantId};
use store::{SavedTokens, Store};
use tokio::runtime::Handle;
use tracing::warn;

pub(crate) use self::{
    authorization::{AuthorizationError, ConnectError, Consent},
    description::{GrantDescription, describe_all},
    error::GrantError,
    exchange::{ExchangeError, SentBack},
    introspection::IntrospectionError,
    replacing::{BroughtTokens, ReplaceError},
    revocation::{Condition, RevocationWish, Revoked, Upstream},
};
use self::{
    decision::{Decision, decide, time_left},
    in_flight::{Flight, InFlight},
    intervals::{REFRESH_INTERVAL, seconds},
    providers::{ConfiguredProvider, Providers},
    refresh::Refresh,
    tallies::Tallies,
};
use crate::{
    audit::Audit,
    config::{Config, grants::OnFailure},
    metrics::Metrics,
};

/// The number of refreshes and exchanges that may wait, for each request that may be under way.
const WAITING_FOR_EACH: usize = 64;
/// Above this number of owners, those whose rate limit has recovered are removed.
const MOST_OWNERS: usize = 4096;
/// The time that a stopping server waits for a request under way, in addition to the request's own time limit.
const LAST_COMMIT: Duration = Duration::from_secs(2);

/// Refreshes tokens, exchanges codes, and revokes grants.
pub(crate) struct Grants {
    store: Store,
    pub(crate) providers: Arc<Providers>,
    pub(crate) audit: Audit,
    is_enabled: bool,
    deadline: Duration,
    wait: Duration,
    on_failure: OnFailure,
    in_flight: InFlight,
    tallies: Tallies,
    metrics: Arc<Metrics>,
    /// The rate limit of callers' requests about an owner's records, by tenant and owner.
    owner_requests: DefaultKeyedRateLimiter<(TenantId, Login)>,
}

/// Tokens to answer with.
pub(crate) struct Fresh {
    pub(crate) saved: SavedTokens,
    /// The reason why the tokens are not as fresh as they should be.
    pub(crate) failure: Option<GrantError>,
}

/// The reason for a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// The stored tokens are returned at once, and are refreshed in the background.
    Beside,
    /// The stored access token does not live as long as the caller needs.
    Needed,
    /// A caller asks for a refresh.
    AskedFor,
}

impl Urgency {
    /// Returns the minimum time since the last attempt, in microseconds.
    fn pause_us(self) -> i64 {
        if self == Self::AskedFor { REFRESH_INTERVAL } else { 0 }
    }
}

/// A caller's request for the tokens of a record.
pub(crate) struct Wish<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) key: &'a RetrievalKey,
    /// The provider of the record, if it is configured.
    pub(crate) provider: Option<&'a Arc<ConfiguredProvider>>,
    /// The time that the access token must still live, in microseconds.
    pub(crate) at_least: i64,
}

impl Grants {
    /// Refreshes run on the runtime that calls this.
    pub(crate) fn new(
        config: &Config,
        store: Store,
        providers: Arc<Providers>,
        audit: Audit,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let settings = &config.grants;
        let per_minute = NonZeroU32::new(settings.refreshes_per_owner).unwrap_or(NonZeroU32::MIN);
        Arc::new(Self {
            store,
            providers,
            audit,
            is_enabled: settings.enabled,
            deadline: Duration::from_secs(settings.deadline_seconds.into()),
            wait: Duration::from_secs(settings.wait_seconds.into()),
            on_failure: settings.on_failure,
            in_flight: InFlight::new(
                Handle::current(),
                WAITING_FOR_EACH * settings.concurrent as usize,
            ),
            tallies: Tallies::default(),
            metrics,
            owner_requests: DefaultKeyedRateLimiter::keyed(Quota::per_minute(per_minute)),
        })
    }

    /// Checks the values of the parameters in a provider's URLs, if there are any.
    ///
    /// # Errors
    /// `UnknownProvider`: the provider is not configured for the tenant, and so has no parameters.
    pub(crate) fn check_parameters(
        &self,
        tenant: &TenantId,
        provider: &Provider,
        values: &BTreeMap<String, String>,
    ) -> Result<(), ConnectError> {
        if values.is_empty() {
            return Ok(());
        }
        let found = self.providers.find(tenant, provider.as_str());
        let found = found.ok_or(ConnectError::UnknownProvider)?;
        found.parameters.check(values)?;
        Ok(())
    }

    /// Returns the provider of a record, if it is configured for the tenant.
    pub(crate) fn provider_of(
        &self,
        tenant: &TenantId,
        saved: &SavedTokens,
    ) -> Option<&Arc<ConfiguredProvider>> {
        self.providers.find(tenant, saved.carrier.provider.as_str())
    }

    /// Returns these tokens, after a refresh if one is due; `None` if the record ended in the meantime.
    ///
    /// # Errors
    /// No refresh succeeded, and the stored tokens do not live as long as the caller wants.
    pub(crate) async fn fresh(
        self: &Arc<Self>,
        wish: &Wish<'_>,
        saved: SavedTokens,
    ) -> Result<Option<Fresh>, GrantError> {
        let Some(provider) = self.refresher_of(wish, &saved) else {
            return Ok(Some(Fresh { saved, failure: None }));
        };
        let (now, ends) = (self.store.database_time(), provider.ends_access_token);
        match decide(&saved, &provider.margins, ends, wish.at_least, now) {
            Decision::Answer => Ok(Some(Fresh { saved, failure: None })),
            Decision::AnswerAndRefresh => {
                // The error is dropped: the next caller that has to wait gets it.
                let _ = self.begin(wish, provider, &saved, Urgency::Beside);
                Ok(Some(Fresh { saved, failure: None }))
            }
            Decision::Refresh => {
                self.wait_for_refresh(wish, provider, saved, Urgency::Needed).await
            }
        }
    }

    /// Refreshes these tokens now, if `stale` is the stored access token or is `None`. The last refresh must be
    /// `REFRESH_INTERVAL` ago.
    ///
    /// # Errors
    /// Those of `fresh`, and `TooMany`. A token that the caller calls stale is never returned.
    pub(crate) async fn refresh_now(
        self: &Arc<Self>,
        wish: &Wish<'_>,
        saved: SavedTokens,
        stale: Option<&SecretText>,
    ) -> Result<Option<Fresh>, GrantError> {
        let Some(provider) = self.refresher_of(wish, &saved) else {
            return Ok(Some(Fresh { saved, failure: None }));
        };
        if stale.is_some_and(|stale| !saved.has_access_token(stale)) {
            return self.fresh(wish, saved).await;
        }
        let now = self.store.database_time();
        let (earliest, left) =
            (provider.margins.earliest, time_left(&saved, &provider.margins, now));
        if let Some(early) =
            earliest.zip(left).map(|(earliest, left)| left.saturating_sub(earliest))
            && early > 0
        {
            return match stale {
                Some(_) => Err(GrantError::TooMany { retry_after: seconds(early) }),
                None => Ok(Some(Fresh { saved, failure: None })),
            };
        }
        if !self.in_flight.has(Flight::Record(saved.times.record)) {
            self.check_rate(wish.tenant, &saved.owner)?;
        }
        let generation = saved.generation;
        match self.wait_for_refresh(wish, provider, saved, Urgency::AskedFor).await? {
            Some(Fresh { saved, failure }) if stale.is_some() && saved.generation == generation => {
                let retry_after = seconds(REFRESH_INTERVAL);
                Err(failure.unwrap_or(GrantError::TooMany { retry_after }))
            }
            // The tokens were refreshed a moment ago.
            Some(Fresh { saved, failure: Some(GrantError::TooMany { .. }) }) => {
                Ok(Some(Fresh { saved, failure: None }))
            }
            fresh => Ok(fresh),
        }
    }

    /// Waits for a refresh of the record, and reads the record again.
    async fn wait_for_refresh(
        self: &Arc<Self>,
        wish: &Wish<'_>,
        provider: &Arc<ConfiguredProvider>,
        saved: SavedTokens,
        urgency: Urgency,
    ) -> Result<Option<Fresh>, GrantError> {
        let until = Instant::now() + self.wait;
        let end = match self.begin(wish, provider, &saved, urgency) {
            Ok(ending) => in_flight::wait(ending, until).await,
            Err(error) => Err(error),
        };
        let read = self.store.external_tokens(wish.tenant, wish.key).await;
        let failure = match (end, read) {
            // Another server is still refreshing the record.
            (Ok(()), Ok(Some(now))) if now.generation == saved.generation => GrantError::Busy,
            (Ok(()), read) => {
                return Ok(read?.map(|saved| Fresh { saved, failure: None }));
            }
            (Err(_), Ok(None)) => return Ok(None),
            (Err(_), Ok(Some(now))) if now.generation != saved.generation => {
                return Ok(Some(Fresh { saved: now, failure: None }));
            }
            (Err(failure), _as_before_or_unreadable) => failure,
        };
        let left = time_left(&saved, &provider.margins, self.store.database_time());
        let is_good = left.is_none_or(|left| left > 0 && left >= wish.at_least);
        if is_good || matches!(self.on_failure, OnFailure::Stale) {
            return Ok(Some(Fresh { saved, failure: Some(failure) }));
        }
        Err(failure)
    }

    /// Starts a refresh of the record, or joins the one under way.
    fn begin(
        self: &Arc<Self>,
        wish: &Wish<'_>,
        provider: &Arc<ConfiguredProvider>,
        saved: &SavedTokens,
        urgency: Urgency,
    ) -> Result<in_flight::Ending, GrantError> {
        let refresh = || {
            let refresh = Refresh {
                grants: Arc::clone(self),
                provider: Arc::clone(provider),
                tenant: wish.tenant.clone(),
                key: wish.key.clone(),
                saved: saved.clone(),
                urgency,
                until: Instant::now() + self.wait,
            };
            refresh.run()
        };
        self.in_flight.join_or_start(Flight::Record(saved.times.record), refresh)
    }

    /// Returns the provider that refreshes a record, if the record has a refresh token.
    fn refresher_of<'a>(
        &self,
        wish: &Wish<'a>,
        saved: &SavedTokens,
    ) -> Option<&'a Arc<ConfiguredProvider>> {
        let token = saved.carrier.refresh_token.as_ref();
        token.filter(|token| self.is_enabled && !token.expose().is_empty())?;
        wish.provider.filter(|provider| provider.has_urls_for(&saved.details))
    }

    /// Counts a caller's request against the rate limit of the owner.
    fn check_rate(&self, tenant: &TenantId, owner: &Login) -> Result<(), GrantError> {
        if self.owner_requests.len() > MOST_OWNERS {
            self.owner_requests.retain_recent();
        }
        let checked = self.owner_requests.check_key(&(tenant.clone(), owner.clone()));
        checked.map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            GrantError::TooMany { retry_after: wait.as_secs() + 1 }
        })
    }

    /// Rejects new requests to providers, and waits for those under way.
    pub(crate) async fn finish(&self) {
        let left = self.in_flight.finish(self.deadline + LAST_COMMIT).await;
        if left > 0 {
            warn!(requests = left, "stopping although requests to providers are under way");
        }
    }
}
