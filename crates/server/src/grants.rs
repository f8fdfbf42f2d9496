//! Grants: the right to get new tokens of a provider.
//!
//! Invariant: it knows no web framework and no HTTP answer. Nothing that a caller says leads a request to a place that
//! is not configured, or that a configured issuer does not name.

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
use crate::config::{Config, grants::OnFailure};

/// How many refreshes and exchanges may wait for each request that may be under way.
const WAITING_FOR_EACH: usize = 64;
/// Past this number of owners, those that asked for no refresh lately are forgotten.
const MOST_OWNERS: usize = 4096;
/// How much longer than a request a server that stops waits for what is under way.
const LAST_COMMIT: Duration = Duration::from_secs(2);

/// What refreshes tokens.
pub(crate) struct Grants {
    store: Store,
    pub(crate) providers: Arc<Providers>,
    is_enabled: bool,
    deadline: Duration,
    wait: Duration,
    on_failure: OnFailure,
    in_flight: InFlight,
    tallies: Tallies,
    /// How many requests about an owner's records callers have made, by tenant and owner.
    owner_requests: DefaultKeyedRateLimiter<(TenantId, Login)>,
}

/// Tokens to be answered.
pub(crate) struct Fresh {
    pub(crate) saved: SavedTokens,
    /// Why they are not as fresh as they should be.
    pub(crate) failure: Option<GrantError>,
}

/// Why a refresh begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// The stored tokens are answered, and serve for a while.
    Beside,
    /// The stored access token is not good enough for the caller.
    Needed,
    /// A caller asks for it.
    AskedFor,
}

impl Urgency {
    /// The least time after the last attempt, in microseconds.
    fn pause_us(self) -> i64 {
        if self == Self::AskedFor { REFRESH_INTERVAL } else { 0 }
    }
}

/// A wish for a record's tokens.
pub(crate) struct Wish<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) key: &'a RetrievalKey,
    /// The provider of the record, if it is configured.
    pub(crate) provider: Option<&'a Arc<ConfiguredProvider>>,
    /// How long the access token must live, in microseconds.
    pub(crate) at_least: i64,
}

impl Grants {
    /// Its refreshes run on the runtime that this is called on.
    pub(crate) fn new(config: &Config, store: Store, providers: Arc<Providers>) -> Arc<Self> {
        let settings = &config.grants;
        let per_minute = NonZeroU32::new(settings.refreshes_per_owner).unwrap_or(NonZeroU32::MIN);
        Arc::new(Self {
            store,
            providers,
            is_enabled: settings.enabled,
            deadline: Duration::from_secs(settings.deadline_seconds.into()),
            wait: Duration::from_secs(settings.wait_seconds.into()),
            on_failure: settings.on_failure,
            in_flight: InFlight::new(
                Handle::current(),
                WAITING_FOR_EACH * settings.concurrent as usize,
            ),
            tallies: Tallies::default(),
            owner_requests: DefaultKeyedRateLimiter::keyed(Quota::per_minute(per_minute)),
        })
    }

    /// Checks what stands for the parameters in a provider's URLs, if anything does.
    ///
    /// # Errors
    /// `UnknownProvider` if it is not configured for the tenant, and so has none.
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

    /// The provider of a record, if it is configured for the tenant.
    pub(crate) fn provider_of(
        &self,
        tenant: &TenantId,
        saved: &SavedTokens,
    ) -> Option<&Arc<ConfiguredProvider>> {
        self.providers.find(tenant, saved.carrier.provider.as_str())
    }

    /// These tokens, refreshed before if they must be; `None` if the record ended meanwhile.
    ///
    /// # Errors
    /// No fresh tokens can be had, and the stored ones do not live as long as the caller wants.
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
                // An error is dropped: the next caller that must wait gets it.
                let _ = self.begin(wish, provider, &saved, Urgency::Beside);
                Ok(Some(Fresh { saved, failure: None }))
            }
            Decision::Refresh => {
                self.wait_for_refresh(wish, provider, saved, Urgency::Needed).await
            }
        }
    }

    /// These tokens, refreshed now: if `stale` is the stored access token, or if there is no `stale`. The last refresh
    /// must have been some time ago.
    ///
    /// # Errors
    /// As `fresh`, and `TooMany`. A token that the caller calls stale is not answered.
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
            // They are as fresh as they were a moment ago.
            Some(Fresh { saved, failure: Some(GrantError::TooMany { .. }) }) => {
                Ok(Some(Fresh { saved, failure: None }))
            }
            fresh => Ok(fresh),
        }
    }

    /// Waits for a refresh of the record, and reads it again.
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
            // Another server is still at it.
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

    /// Begins a refresh of the record, or joins the one that is under way.
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

    /// The provider at which a record is refreshed, if it has a refresh token.
    fn refresher_of<'a>(
        &self,
        wish: &Wish<'a>,
        saved: &SavedTokens,
    ) -> Option<&'a Arc<ConfiguredProvider>> {
        let token = saved.carrier.refresh_token.as_ref();
        token.filter(|token| self.is_enabled && !token.expose().is_empty())?;
        wish.provider.filter(|provider| provider.has_urls_for(&saved.details))
    }

    /// Counts a request that a caller has made, against the rate limit of the owner.
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

    /// Lets nothing begin any more that asks a provider, and waits for what is under way.
    pub(crate) async fn finish(&self) {
        let left = self.in_flight.finish(self.deadline + LAST_COMMIT).await;
        if left > 0 {
            warn!(requests = left, "stopping although requests to providers are under way");
        }
    }
}
