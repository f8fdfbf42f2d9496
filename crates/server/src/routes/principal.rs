//! Who the caller is, and a token for it (CONTRACT O8).
//!
//! Invariant: a caller that came with a bearer token gets that one back, so that none lives on by
//! asking for another. A HEAD makes none. Asking in a loop adds no row a call.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer,
    app::App,
    extract::{self, Question},
    paths::{CURRENT_PRINCIPAL, CURRENT_TOKEN},
    problem::Problem,
};

/// The caller.
#[derive(Serialize, ToSchema)]
#[schema(as = SoPrincipal)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CurrentPrincipal {
    /// The login; what the caller saves is owned by it.
    #[schema(example = "tje0")]
    associate: String,
    /// The number that the issuer of the token has for it.
    associate_id: Option<i64>,
    /// What the issuer of the token calls it.
    user_principal_name: Option<String>,
    #[serde(rename = "EMailAddress")]
    e_mail_address: Option<String>,
    is_administrator: bool,
    /// The tenant.
    #[schema(example = "default")]
    database_context_identifier: String,
    /// The scheme by which it was authenticated.
    #[schema(example = "Basic")]
    authentication_type: &'static str,
    /// The partner application that is calling.
    application: Option<String>,
}

/// `GET …/User/currentPrincipal`: who is calling.
#[utoipa::path(
    get,
    path = CURRENT_PRINCIPAL,
    operation_id = "CurrentPrincipal",
    summary = "SR_CURRENT_PRINCIPAL",
    tag = "User",
    responses((status = 200, description = "The caller", body = CurrentPrincipal))
)]
pub(crate) async fn current_principal(question: Question) -> Result<HttpResponse, Problem> {
    let Question { caller, preferences } = question;
    let claims = caller.claims.as_ref();
    let answered = CurrentPrincipal {
        associate: caller.principal.login.to_string(),
        associate_id: claims.and_then(|claims| claims.associate_id),
        user_principal_name: claims.and_then(|claims| claims.upn.clone()),
        e_mail_address: claims.and_then(|claims| claims.email.clone()),
        is_administrator: caller.principal.is_administrator,
        database_context_identifier: caller.principal.tenant.to_string(),
        authentication_type: caller.scheme.name(),
        application: caller.application.map(|application| application.name.to_string()),
    };
    answer::write(&preferences, "SoPrincipal", &answered)
}

/// `GET …/User/currentToken`: an access token for the scheme Bearer, good for an hour.
///
/// A caller that came with a bearer token gets that one back. To ask again soon gives the same one.
#[utoipa::path(
    get,
    path = CURRENT_TOKEN,
    operation_id = "CurrentToken",
    summary = "SR_CURRENT_TOKEN",
    tag = "User",
    responses((status = 200, description = "The token", body = String))
)]
pub(crate) async fn current_token(
    question: Question,
    request: HttpRequest,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    let Question { caller, preferences } = question;
    let token = extract::access_token(&app, &request, &caller).await?;
    answer::write(&preferences, "string", &token.expose())
}
