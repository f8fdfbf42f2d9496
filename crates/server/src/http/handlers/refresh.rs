//! Refreshes saved tokens at the caller's request (CONTRACT O13).
//!
//! Invariant: a caller that names a stale token never gets that one back.

use actix_web::{HttpResponse, web::Data};
use model::SecretText;
use utoipa::ToSchema;

use super::{carrier::Carrier, members::EXAMPLE_KEY, retrieval::answer_by_key};
use crate::{
    grants::Wish,
    http::{extract::AgentCall, paths::REFRESH_EXTERNAL_TOKENS, problem::Problem},
    state::App,
};

/// `POST …/ExternalTokens/Refresh`: refreshes the tokens at their provider, and answers them, or null.
///
/// With `StaleAccessToken`, the tokens are refreshed only if that is the stored access token. So of many callers
/// whose token was rejected, one refreshes it and the others get the new one. A record is refreshed in this way at
/// most once in 30 seconds. Tokens whose provider is not configured, or that have no refresh token, are answered as
/// they are stored.
#[utoipa::path(
    post,
    path = REFRESH_EXTERNAL_TOKENS,
    operation_id = "RefreshExternalTokens",
    summary = "SR_REFRESH_EXTERNAL_TOKENS",
    tag = "External tokens",
    request_body(content = RefreshExternalTokens, example = json!({"Key": EXAMPLE_KEY})),
    responses((status = 200, description = "The tokens, or null", body = Option<Carrier>))
)]
pub(crate) async fn refresh(call: AgentCall, app: Data<App>) -> Result<HttpResponse, Problem> {
    let stale = call.body.root()?.string("StaleAccessToken")?.filter(|token| !token.is_empty());
    let stale = stale.map(SecretText::from);
    let refresh =
        async |wish: &Wish<'_>, saved| app.grants.refresh_now(wish, saved, stale.as_ref()).await;
    answer_by_key(&call, &app, refresh).await
}

/// The request of `Refresh`.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct RefreshExternalTokens {
    /// The key that `SaveExternalTokens` answered.
    #[schema(pattern = r"\S", format = "retrieval-key")]
    key: String,
    /// The access token that the provider's API rejected.
    stale_access_token: Option<String>,
    /// The minimum remaining life of the access token, in seconds: 0 to 86400.
    #[schema(minimum = 0, maximum = 86400)]
    minimum_seconds: Option<i32>,
}
