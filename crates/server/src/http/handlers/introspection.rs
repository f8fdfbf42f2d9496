//! A provider's answer about a saved access token (CONTRACT O17).
//!
//! Invariant: only a caller that may read the tokens gets an answer. It contains only whether the access token works,
//! for which scopes, and until when.

use actix_web::{HttpResponse, web::Data};
use model::{Access, Login};
use provider::Introspection;
use serde::Serialize;
use utoipa::ToSchema;

use super::members::{EXAMPLE_KEY, required_key};
use crate::{
    grants::Wish,
    http::{
        answer, extract::AgentCall, paths::INTROSPECT_EXTERNAL_TOKENS, problem::Problem,
        request_log,
    },
    state::App,
};

/// `POST …/ExternalTokens/Introspect`: asks the provider whether the access token works (RFC 7662), or answers null.
///
/// For every caller that gets the tokens. The provider checks the stored access token: nothing is refreshed, and the
/// answer changes nothing. The provider must be configured, and have an introspection endpoint. A key that retrieves
/// nothing is answered with null.
#[utoipa::path(
    post,
    path = INTROSPECT_EXTERNAL_TOKENS,
    operation_id = "IntrospectExternalTokens",
    summary = "SR_INTROSPECT_EXTERNAL_TOKENS",
    tag = "External tokens",
    request_body(content = IntrospectExternalTokens, example = json!({"Key": EXAMPLE_KEY})),
    responses((
        status = 200, description = "The provider's answer, or null", body = Option<TokenIntrospection>
    ))
)]
pub(crate) async fn introspect(call: AgentCall, app: Data<App>) -> Result<HttpResponse, Problem> {
    let dates = call.preferences.dates()?;
    let root = call.body.root()?;
    let principal = &call.caller.principal;
    let mut introspected = None;
    if let Some(key) = required_key(&root)? {
        let saved = app.store.external_tokens(&principal.tenant, &key).await?;
        let may_read = |owner: &Login| Access::of(principal, owner, app.retrieval).may_read();
        if let Some(saved) = saved.filter(|saved| may_read(&saved.owner)) {
            request_log::note_provider(saved.carrier.provider.as_str());
            let provider = app.grants.provider_of(&principal.tenant, &saved);
            let name = call.preferences.value(saved.carrier.provider.as_str());
            let wish = Wish { tenant: &principal.tenant, key: &key, provider, at_least: 0 };
            let said = app.grants.introspect(&wish, saved).await;
            introspected = Some(said.map_err(|error| Problem::of_introspection(error, name))?);
        }
    }
    request_log::note_found(introspected.is_some());
    let answered = introspected.map(|Introspection { is_active, scope, expires }| {
        let date = |seconds: i64| dates.date(seconds.saturating_mul(1_000_000));
        TokenIntrospection { active: is_active, scope, expires: expires.map(date) }
    });
    answer::write(&call.preferences, "TokenIntrospection", &answered)
}

/// The request of `Introspect`.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct IntrospectExternalTokens {
    /// The key that `SaveExternalTokens` answered.
    #[schema(pattern = r"\S", format = "retrieval-key")]
    key: String,
}

/// A provider's answer about an access token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct TokenIntrospection {
    /// Whether it works.
    active: bool,
    /// Its scopes, as the provider writes them. Null if it does not work, or if the provider does not name them.
    #[schema(example = "openid offline_access")]
    scope: Option<String>,
    /// Time at which it ends. Null in the same cases.
    #[schema(example = "2026-11-03T15:05:00")]
    expires: Option<String>,
}
