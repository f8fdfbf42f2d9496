//! The token endpoint: OAuth 2.0 Token Exchange (RFC 8693), for services that support only OAuth (CONTRACT O18).
//!
//! Invariant: the answer contains an access token that has not expired as far as is known. It is retrieved in the
//! same way as by `GetExternalTokens`.

use actix_web::{
    HttpResponse,
    http::header::{HeaderValue, PRAGMA},
    web::Data,
};
use model::GrantDetails;
use negotiate::body::Fields;
use serde::Serialize;
use store::SavedTokens;
use utoipa::ToSchema;

use super::{
    carrier::known_end,
    members::own_key,
    retrieval::{NotFresh, find},
};
use crate::{
    grants::{Fresh, GrantError, Wish},
    http::{answer, extract::TokenCall, paths::TOKEN, problem::Problem, request_log},
    state::App,
};

/// RFC 8693 §2.1.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 8693 §3.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const RETRIEVAL_KEY: &str = "urn:latchkey:params:oauth:token-type:retrieval-key";

/// `POST /oauth2/token`: exchanges a retrieval key for an access token of its provider.
///
/// Served only with `grants.token_endpoint`. The access token is the one that `GetExternalTokens` answers: if
/// necessary, it is refreshed first. The caller authenticates as for any call. In the scheme Basic, login and
/// password are encoded as RFC 6749 §2.3.1 requires. They may be in the form instead.
#[utoipa::path(
    post,
    path = TOKEN,
    operation_id = "ExchangeToken",
    summary = "SR_EXCHANGE_TOKEN",
    tag = "OAuth",
    request_body(
        content = TokenExchange,
        content_type = "application/x-www-form-urlencoded",
    ),
    responses((status = 200, description = "The access token", body = IssuedToken))
)]
pub(crate) async fn exchange(call: TokenCall, app: Data<App>) -> Result<HttpResponse, Problem> {
    let (subject, wanted_scope) = (subject_token(&call.fields)?, call.fields.get("scope")?);
    let key = own_key(subject).map_err(|error| Problem::of_key(error, "subject_token"))?;
    if let Some(key) = &key {
        request_log::note_record(key.record());
    }
    let (grants, principal) = (&app.grants, &call.caller.principal);
    let fresh = async |wish: &Wish<'_>, saved| grants.fresh(wish, saved).await;
    let found = find(&app, principal, key.as_ref(), 0, fresh).await;
    let found = found.map_err(|NotFresh { error, provider }| {
        Problem::of_grant(error, provider.map(|known| known.name.clone()).unwrap_or_default())
    })?;
    // A key that the caller may not use is answered like one that retrieves nothing.
    let found = found.filter(|found| found.access.may_read());
    let found = found.ok_or_else(|| Problem::invalid_grant("SR_SUBJECT_TOKEN"))?;
    let Fresh { saved, failure } = &found.fresh;
    let scope = granted_scope(&saved.details);
    if wanted_scope.is_some_and(|wanted| !is_granted(wanted, scope.as_deref())) {
        return Err(Problem::invalid_scope());
    }
    let issued = IssuedToken::of(saved, scope, app.store.database_time());
    let issued = issued.ok_or_else(|| match failure {
        Some(error) => {
            Problem::of_grant(GrantError::clone(error), saved.carrier.provider.as_str().to_owned())
        }
        None => Problem::invalid_grant("SR_NO_LIVING_TOKEN"),
    })?;
    let mut answer = answer::json(&issued);
    // RFC 6749 §5.1; `Cache-Control` is added to every answer.
    answer.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(answer)
}

/// Checks the parameters, and returns the text that should be a retrieval key.
fn subject_token(fields: &Fields) -> Result<&str, Problem> {
    match required(fields, "grant_type")? {
        TOKEN_EXCHANGE => {}
        _other => return Err(Problem::unsupported_grant_type(TOKEN_EXCHANGE)),
    }
    let subject = required(fields, "subject_token")?;
    if ![RETRIEVAL_KEY, ACCESS_TOKEN].contains(&required(fields, "subject_token_type")?) {
        return Err(Problem::must_be("subject_token_type", RETRIEVAL_KEY));
    }
    if fields.get("requested_token_type")?.is_some_and(|wanted| wanted != ACCESS_TOKEN) {
        return Err(Problem::must_be("requested_token_type", ACCESS_TOKEN));
    }
    for name in ["actor_token", "actor_token_type"] {
        if fields.has(name) {
            return Err(Problem::not_supported(name));
        }
    }
    for name in ["resource", "audience"] {
        if fields.has(name) {
            return Err(Problem::invalid_target(name));
        }
    }
    Ok(subject)
}

fn required<'a>(fields: &'a Fields, name: &'static str) -> Result<&'a str, Problem> {
    fields.get(name)?.ok_or_else(|| Problem::required(name))
}

/// Returns the granted scopes, separated by spaces as in RFC 6749 §3.3. Some providers separate them by commas.
fn granted_scope(details: &GrantDetails) -> Option<String> {
    let names: Vec<&str> = names(details.scope.as_ref()?.expose()).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// Returns whether all of these scopes are known to be granted.
fn is_granted(wanted: &str, granted: Option<&str>) -> bool {
    let granted: Vec<&str> = granted.into_iter().flat_map(names).collect();
    wanted.split_ascii_whitespace().all(|name| granted.contains(&name))
}

fn names(scope: &str) -> impl Iterator<Item = &str> {
    scope.split([' ', ',']).filter(|name| !name.is_empty())
}

/// The answer of the token endpoint (RFC 8693 §2.2.1).
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuedToken<'a> {
    /// Gives access to the provider's API until it expires.
    #[schema(example = "fugit")]
    access_token: &'a str,
    #[schema(example = "urn:ietf:params:oauth:token-type:access_token")]
    issued_token_type: &'static str,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// The seconds until the access token ends, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_in: Option<i64>,
    /// The scopes that the provider granted, if it named them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<String>,
}

impl<'a> IssuedToken<'a> {
    /// Returns `None` without an access token, and for one that ends within a second.
    fn of(saved: &'a SavedTokens, scope: Option<String>, now: i64) -> Option<Self> {
        let token = saved.carrier.access_token.as_ref().filter(|token| !token.expose().is_empty());
        let left = known_end(saved).map(|end| end.as_microsecond().saturating_sub(now));
        // Some clients read `"expires_in": 0` as a token without end.
        if left.is_some_and(|left| left < 1_000_000) {
            return None;
        }
        Some(Self {
            access_token: token?.expose(),
            issued_token_type: ACCESS_TOKEN,
            token_type: "Bearer",
            expires_in: left.map(|left| left / 1_000_000),
            scope,
        })
    }
}

/// The request of the token endpoint (RFC 8693 §2.1).
#[derive(ToSchema)]
#[expect(dead_code, reason = "for OpenAPI; forms are read as fields")]
pub(crate) struct TokenExchange {
    #[schema(pattern = "^urn:ietf:params:oauth:grant-type:token-exchange$")]
    grant_type: String,
    /// The key that `SaveExternalTokens` answered.
    #[schema(format = "retrieval-key")]
    subject_token: String,
    /// The type of the subject token. `urn:ietf:params:oauth:token-type:access_token` is accepted with the same
    /// meaning.
    #[schema(
        pattern = "^urn:(latchkey:params:oauth:token-type:retrieval-key|ietf:params:oauth:token-type:access_token)$"
    )]
    subject_token_type: String,
    #[schema(nullable = false, pattern = "^urn:ietf:params:oauth:token-type:access_token$")]
    requested_token_type: Option<String>,
    /// The scopes that the access token must have, separated by spaces.
    #[schema(nullable = false)]
    scope: Option<String>,
    /// The login, if the request has no other credential. Needs `client_secret`.
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// The password.
    #[schema(nullable = false, format = Password)]
    client_secret: Option<String>,
}
