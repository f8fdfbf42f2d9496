//! Who is calling: collects what `auth` needs, and asks it (CONTRACT 25–31).
//!
//! Invariant: a caller is made only from a row that was read for this call, or a JWT that was verified
//! for it, so that a disabled user, a changed password or a revoked credential counts at once.

use actix_web::{
    HttpRequest,
    http::header::{AUTHORIZATION, HeaderName},
    web::Data,
};
use auth::{ApplicationToken, AuthError, Authorization, Claims, Presented, Scheme};
use jiff::Timestamp;
use model::{Application, CredentialKind, Login, Principal, SecretText, TenantId, User};
use tracing::{Span, info, warn};

use crate::{app::App, paths::Mount, problem::Problem};

const SO_APP_TOKEN: HeaderName = HeaderName::from_static("so-apptoken");
const X_XSRF_TOKEN: HeaderName = HeaderName::from_static("x-xsrf-token");

/// An authenticated caller.
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) scheme: Scheme,
    /// The partner application that says it is calling, in an Online installation.
    pub(crate) application: Option<Application>,
    /// What the token says of the person, if it is a JWT.
    pub(crate) claims: Option<Claims>,
}

impl Caller {
    /// The caller that a request proves.
    ///
    /// # Errors
    /// 400 for two credentials; 401 for none, or one that lets nobody in; 403 for one of another tenant
    /// or an application that may not act for this one; 429 after too many tries.
    pub(crate) async fn of(app: &Data<App>, request: &HttpRequest) -> Result<Self, Problem> {
        let mut headers = request.headers().get_all(AUTHORIZATION);
        let (first, second) = (headers.next(), headers.next());
        if second.is_some() {
            return Err(AuthError::TwoCredentials.into());
        }
        let tenant = Mount::of(request).tenant;
        let mut caller = match first {
            Some(header) => {
                let authorization = Authorization::parse(header.as_bytes(), &app.policy)?;
                by_authorization(app, request, &tenant, authorization).await?
            }
            None => {
                let session = session(app, request).ok_or(AuthError::Missing)??;
                let xsrf_token = request.headers().get(X_XSRF_TOKEN);
                session.check_xsrf(xsrf_token.map(|value| value.as_bytes()))?;
                by_credential(app, &session, Scheme::Session).await?
            }
        };
        let Principal { tenant: found, login, .. } = &caller.principal;
        let span = Span::current();
        span.record("tenant.id", found.as_str());
        span.record("user.login", login.as_str());
        span.record("auth.scheme", caller.scheme.name());
        if *found != tenant {
            return Err(AuthError::OtherTenant.into());
        }
        caller.application = application(app, request, caller.scheme, &tenant).await?;
        Ok(caller)
    }
}

/// The session that a browser has a cookie of; `None` without one, or where sessions are off.
pub(crate) fn session(app: &App, request: &HttpRequest) -> Option<Result<Presented, AuthError>> {
    let cookie = request.cookie(app.session_cookie()).filter(|_| app.policy.is_on(Scheme::Session));
    cookie.map(|cookie| Presented::parse_session(cookie.value()))
}

async fn by_authorization(
    app: &Data<App>,
    request: &HttpRequest,
    tenant: &TenantId,
    authorization: Authorization,
) -> Result<Caller, Problem> {
    let scheme = authorization.scheme();
    match authorization {
        Authorization::Password(credentials) => {
            let address = app.client_address(request);
            let user = app.logins.verify(&app.store, tenant, credentials, address).await?;
            Ok(of_user(&user, scheme))
        }
        Authorization::Issued(presented) => by_credential(app, &presented, scheme).await,
        Authorization::Jwt(token) => by_jwt(app, tenant, &token).await,
    }
}

/// The caller that a ticket, session or access token stands for. One that is used is renewed.
pub(crate) async fn by_credential(
    app: &App,
    presented: &Presented,
    scheme: Scheme,
) -> Result<Caller, Problem> {
    let now = Timestamp::now().as_microsecond();
    let found = app.store.credential(presented.id()).await?;
    let issued = found.as_ref().map(|found| (&found.credential, &found.user));
    presented.check(issued, now)?;
    let Some(found) = found else { return Err(AuthError::Refused.into()) };
    let names_another = presented.tenant().is_some_and(|named| *named != found.user.tenant);
    if names_another {
        return Err(AuthError::OtherTenant.into());
    }
    if let Some(expires) = app.lifetime(presented.kind()).renewal(&found.credential, now)
        && let Some(_renewing) = app.renewals.begin(presented.id())
        && let Err(error) = app.store.renew_credential(presented.id().clone(), expires).await
    {
        warn!(%error, "a credential in use could not be renewed");
    }
    Ok(of_user(&found.user, scheme))
}

/// The caller that a JWT stands for: its `sub` is the login. Where a path names the tenant, the token
/// must name it too, or one of any tenant would do.
async fn by_jwt(app: &App, tenant: &TenantId, token: &SecretText) -> Result<Caller, Problem> {
    let bearer = app.bearer.as_ref().ok_or(AuthError::InvalidToken)?;
    let claims = bearer.verify(token).await?;
    let login = Login::parse(&claims.subject).map_err(|error| {
        info!(%error, "the subject of a JWT cannot be a login");
        AuthError::InvalidToken
    })?;
    let named = match &claims.tenant {
        Some(named) => TenantId::parse(named).map_err(|_no_tenant| AuthError::OtherTenant)?,
        None if app.has_tenants => return Err(AuthError::OtherTenant.into()),
        None => tenant.clone(),
    };
    // Who is disabled here stays out, whatever the issuer says.
    let user = app.store.user(&named, &login).await?;
    if user.is_some_and(|user| user.is_disabled) {
        return Err(AuthError::InvalidToken.into());
    }
    let principal = Principal { tenant: named, login, is_administrator: claims.is_administrator };
    Ok(Caller { principal, scheme: Scheme::Bearer, application: None, claims: Some(claims) })
}

fn of_user(user: &User, scheme: Scheme) -> Caller {
    let principal = Principal {
        tenant: user.tenant.clone(),
        login: user.login.clone(),
        is_administrator: user.is_administrator,
    };
    Caller { principal, scheme, application: None, claims: None }
}

/// The application that `SO-AppToken` names. Onsite the header does not count.
async fn application(
    app: &App,
    request: &HttpRequest,
    scheme: Scheme,
    tenant: &TenantId,
) -> Result<Option<Application>, Problem> {
    if !app.policy.is_online() {
        return Ok(None);
    }
    let Some(header) = request.headers().get(SO_APP_TOKEN) else {
        let is_needed = app.policy.needs_application(scheme);
        return if is_needed { Err(AuthError::ApplicationRequired.into()) } else { Ok(None) };
    };
    let token = ApplicationToken::parse(header.as_bytes())?;
    let application = app.store.application(token.digest()).await?;
    let application = application
        .filter(|application| !application.is_disabled)
        .ok_or(AuthError::InvalidApplication)?;
    if !application.is_allowed_for(tenant) {
        return Err(AuthError::ApplicationNotAllowed.into());
    }
    Ok(Some(application))
}

/// A credential of the caller's own, for its user as it is now.
///
/// # Errors
/// 403 for a caller that is no user of this server.
pub(crate) async fn issue(
    app: &App,
    principal: &Principal,
    kind: CredentialKind,
) -> Result<Presented, Problem> {
    let user = app.store.user(&principal.tenant, &principal.login).await?;
    let user = user.filter(|user| !user.is_disabled).ok_or_else(Problem::no_user)?;
    let names_tenant = app.has_tenants || kind == CredentialKind::AccessToken;
    let presented = Presented::generate(kind, names_tenant.then(|| principal.tenant.clone()));
    let now = Timestamp::now().as_microsecond();
    app.store.add_credential(presented.issue(&user, app.lifetime(kind), now)).await?;
    Ok(presented)
}
