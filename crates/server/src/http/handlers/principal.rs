//! The caller's own description, and an access token for it (CONTRACT O8, O16).
//!
//! Invariant: a caller with a bearer token gets that one back, so that it cannot extend its life by requesting
//! another. A HEAD issues none. Repeated requests do not add a row each.

use actix_web::{HttpRequest, HttpResponse, http::Method, web::Data};
use model::SecretText;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    callers::authenticate::Caller,
    http::{
        answer,
        extract::{AgentCall, AgentCallWithAppToken, Authenticated, credentials},
        paths::{CURRENT_PRINCIPAL, CURRENT_TOKEN, GET_ACCESS_TOKEN},
        problem::Problem,
        secret_headers::secret_headers,
    },
    state::App,
};

/// The caller: the 27 members of SuperOffice's `SoPrincipalCarrier`, followed by this server's own. Values that this
/// server does not know are 0, empty or false.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SoPrincipalCarrier {
    user_type: UserType,
    /// The login, which owns the records that the caller saves.
    #[schema(example = "tje0")]
    associate: String,
    /// The caller's number at the issuer of the token.
    associate_id: i32,
    /// Whether the caller is a person, and not a resource.
    is_person: bool,
    person_id: i32,
    country_id: i32,
    home_country_id: i32,
    contact_id: i32,
    group_id: i32,
    business_id: i32,
    category_id: i32,
    contact_owner: i32,
    role_id: i32,
    /// `Administrator` or `User`.
    #[schema(example = "User")]
    role_name: &'static str,
    role_description: &'static str,
    role_type: RoleType,
    #[schema(value_type = Vec<Object>)]
    licenses: Nothing,
    /// The login, because no other name is known.
    #[schema(example = "tje0")]
    full_name: String,
    #[serde(rename = "EMailAddress")]
    e_mail_address: String,
    #[schema(value_type = Vec<String>)]
    function_rights: Nothing,
    ej_user_id: i32,
    ej_access_level: i32,
    ej_user_status: EjUserStatus,
    #[schema(value_type = Vec<Object>)]
    provided_credentials: Nothing,
    #[schema(value_type = Vec<i32>)]
    secondary_groups: Nothing,
    /// The tenant.
    #[schema(example = "default")]
    database_context_identifier: String,
    /// The login.
    #[schema(example = "tje0")]
    user_name: String,
    /// The caller's name at the issuer of the token.
    user_principal_name: Option<String>,
    is_administrator: bool,
    /// The scheme by which the caller was authenticated.
    #[schema(example = "Basic")]
    authentication_type: &'static str,
    /// The partner application that is calling.
    application: Option<String>,
}

/// A list that is always empty on this server.
type Nothing = [(); 0];

/// SuperOffice's types of users.
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "for OpenAPI; every caller is an internal associate")]
enum UserType {
    Unknown,
    InternalAssociate,
    ResourceAssociate,
    ExternalAssociate,
    AnonymousAssociate,
    SystemAssociate,
}

/// SuperOffice's types of roles.
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "for OpenAPI; every caller is an employee")]
enum RoleType {
    Employee,
    ExternalUser,
    Anonymous,
    System,
}

/// SuperOffice's states of a user of its service desk.
#[derive(Serialize, ToSchema)]
#[expect(
    dead_code,
    clippy::enum_variant_names,
    reason = "SuperOffice's names, for OpenAPI; no caller is a user of a service desk"
)]
enum EjUserStatus {
    StatusNone,
    StatusNormal,
    StatusNotAvailable,
    StatusDeleted,
    StatusReadOnly,
    StatusSpm,
    StatusSystem,
}

impl SoPrincipalCarrier {
    fn of(caller: Caller) -> Self {
        let Caller { principal, scheme, application, claims, .. } = caller;
        let claims = claims.as_ref();
        let login = principal.login.to_string();
        let associate_id = claims.and_then(|claims| claims.associate_id);
        Self {
            user_type: UserType::InternalAssociate,
            associate: login.clone(),
            associate_id: associate_id.and_then(|id| id.try_into().ok()).unwrap_or_default(),
            is_person: true,
            person_id: 0,
            country_id: 0,
            home_country_id: 0,
            contact_id: 0,
            group_id: 0,
            business_id: 0,
            category_id: 0,
            contact_owner: 0,
            role_id: 0,
            role_name: if principal.is_administrator { "Administrator" } else { "User" },
            role_description: "",
            role_type: RoleType::Employee,
            licenses: [],
            full_name: login.clone(),
            e_mail_address: claims.and_then(|claims| claims.email.clone()).unwrap_or_default(),
            function_rights: [],
            ej_user_id: 0,
            ej_access_level: 0,
            ej_user_status: EjUserStatus::StatusNone,
            provided_credentials: [],
            secondary_groups: [],
            database_context_identifier: principal.tenant.to_string(),
            user_name: login,
            user_principal_name: claims.and_then(|claims| claims.upn.clone()),
            is_administrator: principal.is_administrator,
            authentication_type: scheme.name(),
            application: application.map(|application| application.name.to_string()),
        }
    }
}

/// `GET …/User/currentPrincipal`: describes the caller.
#[utoipa::path(
    get,
    path = CURRENT_PRINCIPAL,
    operation_id = "CurrentPrincipal",
    summary = "SR_CURRENT_PRINCIPAL",
    description = "Describes the authenticated caller, and its scheme.",
    tag = "User",
    responses((status = 200, description = "The caller", body = SoPrincipalCarrier))
)]
pub(crate) async fn current_principal(
    authenticated: Authenticated,
) -> Result<HttpResponse, Problem> {
    let Authenticated { caller, preferences } = authenticated;
    answer::write(&preferences, "SoPrincipalCarrier", &SoPrincipalCarrier::of(caller))
}

/// `GET …/User/currentToken`: answers an access token for the scheme Bearer, valid for an hour.
///
/// A caller with a bearer token gets that one back. Repeated calls within some minutes get the same token.
#[utoipa::path(
    get,
    path = CURRENT_TOKEN,
    operation_id = "CurrentToken",
    summary = "SR_CURRENT_TOKEN",
    tag = "User",
    responses((status = 200, description = "The token", body = String))
)]
pub(crate) async fn current_token(
    authenticated: Authenticated,
    request: HttpRequest,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    let Authenticated { caller, preferences } = authenticated;
    let token = issue_token(&app, &request, &caller).await?;
    answer::write(&preferences, "string", &token.expose())
}

/// `POST …/GetAccessToken`: answers an access token for the scheme Bearer, like `currentToken`.
///
/// `AppToken` names the partner application like the header `SO-AppToken`, and may be omitted. `IncludeCsSession` is
/// read and has no effect, because there is no other session to sign in to.
#[utoipa::path(
    post,
    path = GET_ACCESS_TOKEN,
    operation_id = "GetAccessToken",
    summary = "SR_CURRENT_TOKEN",
    tag = "User agent",
    request_body(content = GetAccessToken, example = json!({"IncludeCsSession": false})),
    responses((status = 200, description = "The token", body = String))
)]
pub(crate) async fn access_token(
    call: AgentCallWithAppToken,
    request: HttpRequest,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    let AgentCallWithAppToken(AgentCall { caller, preferences, body }) = call;
    body.root()?.boolean("IncludeCsSession")?;
    let token = issue_token(&app, &request, &caller).await?;
    answer::write(&preferences, "string", &token.expose())
}

/// Returns the caller's access token. For a HEAD none is issued.
async fn issue_token(
    app: &App,
    request: &HttpRequest,
    caller: &Caller,
) -> Result<SecretText, Problem> {
    let headers = secret_headers(request);
    let credentials = credentials(app, request, &headers);
    let may_issue = request.method() != Method::HEAD;
    Ok(app.authenticator.access_token(caller, &credentials, may_issue).await?)
}

/// The request of `GetAccessToken`. Every property may be omitted.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct GetAccessToken {
    /// The token of the partner application.
    app_token: Option<String>,
    /// Has no effect.
    include_cs_session: Option<bool>,
}
