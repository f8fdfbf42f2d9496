//! Retrieves tokens by their key, for every operation that answers them (CONTRACT O2, O13, O18).
//!
//! Invariant: tokens are refreshed only for a caller that may see them.

use std::sync::Arc;

use actix_web::HttpResponse;
use model::{Access, Principal, RetrievalKey};
use negotiate::body::Object;
use store::SavedTokens;

use super::{
    carrier::{CARRIER, Carrier, Shown},
    members::required_key,
};
use crate::{
    grants::{Fresh, GrantError, Wish, providers::ConfiguredProvider},
    http::{
        answer,
        extract::AgentCall,
        preferences::{Dates, Preferences},
        problem::Problem,
        request_log,
    },
    state::App,
};

const MINIMUM_SECONDS: &str = "MinimumSeconds";
/// A day, in seconds. No single call needs an access token that lives longer.
const MAX_MINIMUM_SECONDS: i64 = 86_400;

/// Answers the tokens of `Key` as `refresh` returns them, or null.
pub(super) async fn answer_by_key(
    call: &AgentCall,
    app: &App,
    refresh: impl AsyncFnOnce(&Wish<'_>, SavedTokens) -> Result<Option<Fresh>, GrantError>,
) -> Result<HttpResponse, Problem> {
    let dates = call.preferences.dates()?;
    let root = call.body.root()?;
    let (key, at_least) = (required_key(&root)?, minimum_seconds(&root)?);
    let found = find(app, &call.caller.principal, key.as_ref(), at_least, refresh).await;
    let found = found
        .map_err(|NotFresh { error, provider }| of_grant(error, provider, &call.preferences))?;
    answer_tokens(call, app, found, &dates)
}

/// The tokens that a key retrieves.
pub(super) struct Found<'a> {
    pub(super) fresh: Fresh,
    pub(super) access: Access,
    /// The provider that issued them, if it is configured.
    pub(super) provider: Option<&'a Arc<ConfiguredProvider>>,
}

/// The reason why a key's tokens are not answered.
pub(super) struct NotFresh<'a> {
    pub(super) error: GrantError,
    pub(super) provider: Option<&'a Arc<ConfiguredProvider>>,
}

/// Returns the tokens that a key retrieves. If the caller may see them, `refresh` is applied, and the call counts as
/// a use of the record.
pub(super) async fn find<'a>(
    app: &'a App,
    principal: &Principal,
    key: Option<&RetrievalKey>,
    at_least: i64,
    refresh: impl AsyncFnOnce(&Wish<'_>, SavedTokens) -> Result<Option<Fresh>, GrantError>,
) -> Result<Option<Found<'a>>, NotFresh<'a>> {
    let saved = match key {
        Some(key) => app.store.external_tokens(&principal.tenant, key).await,
        None => Ok(None),
    };
    let saved = saved.map_err(|error| NotFresh { error: error.into(), provider: None })?;
    let Some((key, saved)) = key.zip(saved) else {
        request_log::note_found(false);
        return Ok(None);
    };
    request_log::note_provider(saved.carrier.provider.as_str());
    let provider = app.grants.provider_of(&principal.tenant, &saved);
    let access = Access::of(principal, &saved.owner, app.retrieval);
    if !access.may_read() {
        request_log::note_withheld();
    }
    let fresh = if access.may_read() {
        let wish = Wish { tenant: &principal.tenant, key, provider, at_least };
        refresh(&wish, saved).await.map_err(|error| NotFresh { error, provider })?
    } else {
        Some(Fresh { saved, failure: None })
    };
    request_log::note_found(fresh.is_some());
    if let Some(fresh) = &fresh
        && access.may_read()
    {
        app.store.note_use(&fresh.saved);
    }
    Ok(fresh.map(|fresh| Found { fresh, access, provider }))
}

/// Answers tokens, or null.
fn answer_tokens(
    call: &AgentCall,
    app: &App,
    found: Option<Found<'_>>,
    dates: &Dates<'_>,
) -> Result<HttpResponse, Problem> {
    let answered =
        found.as_ref().map(|Found { fresh: Fresh { saved, failure }, access, provider }| {
            let failure = failure.as_ref().map(|failure| {
                of_grant(failure.clone(), *provider, &call.preferences).into_message()
            });
            let shown = Shown {
                saved,
                access: *access,
                token_bytes: app.limits.token_bytes,
                keeps_refresh_token: provider.is_some_and(|provider| !provider.give_refresh_token),
                failure,
            };
            Carrier::new(&shown, dates)
        });
    answer::write(&call.preferences, CARRIER, &answered)
}

/// Converts the reason why a caller gets no fresh tokens.
fn of_grant(
    error: GrantError,
    provider: Option<&Arc<ConfiguredProvider>>,
    preferences: &Preferences,
) -> Problem {
    let name = provider.map_or("", |provider| provider.name.as_str());
    Problem::of_grant(error, preferences.value(name))
}

/// Reads the minimum remaining life of the access token, in microseconds.
fn minimum_seconds(root: &Object<'_>) -> Result<i64, Problem> {
    match root.integer(MINIMUM_SECONDS)?.unwrap_or_default() {
        seconds if (0..=MAX_MINIMUM_SECONDS).contains(&seconds) => Ok(seconds * 1_000_000),
        other => Err(Problem::out_of_range(MINIMUM_SECONDS, 0, MAX_MINIMUM_SECONDS as u64, other)),
    }
}
