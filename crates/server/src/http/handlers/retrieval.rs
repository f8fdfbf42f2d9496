//! Getting tokens by their key, for every operation that answers them (CONTRACT O2, O13).
//!
//! Invariant: tokens are refreshed only for a caller that may see them.

use std::sync::Arc;

use actix_web::HttpResponse;
use model::Access;
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
/// A day, in seconds: no access token has to live longer for one call.
const MAX_MINIMUM_SECONDS: i64 = 86_400;

/// Answers the tokens of `Key` as `refresh` has them, or null.
pub(super) async fn answer_by_key(
    call: &AgentCall,
    app: &App,
    refresh: impl AsyncFnOnce(&Wish<'_>, SavedTokens) -> Result<Option<Fresh>, GrantError>,
) -> Result<HttpResponse, Problem> {
    let dates = call.preferences.dates()?;
    let root = call.body.root()?;
    let (key, at_least) = (required_key(&root)?, minimum_seconds(&root)?);
    let principal = &call.caller.principal;
    let Some(key) = key else {
        return answer_tokens(call, app, None, &dates);
    };
    let Some(saved) = app.store.external_tokens(&principal.tenant, &key).await? else {
        return answer_tokens(call, app, None, &dates);
    };
    let provider = app.grants.provider_of(&principal.tenant, &saved);
    let access = Access::of(principal, &saved.owner, app.retrieval);
    let fresh = if access.may_read() {
        let wish = Wish { tenant: &principal.tenant, key: &key, provider, at_least };
        refresh(&wish, saved).await.map_err(|error| of_grant(error, provider, &call.preferences))?
    } else {
        Some(Fresh { saved, failure: None })
    };
    answer_tokens(call, app, fresh.map(|fresh| Found { fresh, access, provider }), &dates)
}

/// Tokens that the key retrieves.
struct Found<'a> {
    fresh: Fresh,
    access: Access,
    /// The provider that issued them, if it is configured.
    provider: Option<&'a Arc<ConfiguredProvider>>,
}

/// Answers tokens, which the caller uses with that if it may see them.
fn answer_tokens(
    call: &AgentCall,
    app: &App,
    found: Option<Found<'_>>,
    dates: &Dates<'_>,
) -> Result<HttpResponse, Problem> {
    request_log::note_found(found.is_some());
    let answered =
        found.as_ref().map(|Found { fresh: Fresh { saved, failure }, access, provider }| {
            if access.may_read() {
                app.store.note_use(saved);
            }
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

/// What a caller learns that gets no fresh tokens.
fn of_grant(
    error: GrantError,
    provider: Option<&Arc<ConfiguredProvider>>,
    preferences: &Preferences,
) -> Problem {
    let name = provider.map_or("", |provider| provider.name.as_str());
    Problem::of_grant(error, preferences.value(name))
}

/// How long the caller wants the access token to live, in microseconds.
fn minimum_seconds(root: &Object<'_>) -> Result<i64, Problem> {
    match root.integer(MINIMUM_SECONDS)?.unwrap_or_default() {
        seconds if (0..=MAX_MINIMUM_SECONDS).contains(&seconds) => Ok(seconds * 1_000_000),
        other => Err(Problem::out_of_range(MINIMUM_SECONDS, 0, MAX_MINIMUM_SECONDS as u64, other)),
    }
}
