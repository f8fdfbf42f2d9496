//! Who is calling: collects what `auth` needs, and asks it (CONTRACT 25–31).
//!
//! Invariant: a caller is made only from a row that was read for this call, or a JWT that was verified
//! for it, so that a disabled user, a changed password or a revoked credential counts at once.

use actix_web::{
    HttpRequest,
    http::{
        Method,
        header::{AUTHORIZATION, COOKIE},
    },
    web::Data,
};
use auth::{
    ApplicationToken, AuthError, Authorization, Claims, Lifetime, Presented, Scheme, TokenRequest,
};
use jiff::Timestamp;
use model::{
    Application, CredentialKind, IssuedCredential, Login, Principal, SecretText, TenantId, User,
};
use store::StoreError;
use tracing::{Span, info, warn};

use crate::{
    http::{
        paths::Mount,
        problem::Problem,
        secret_headers::{SO_APP_TOKEN, X_XSRF_TOKEN, secret_headers},
    },
    state::App,
};

/// An authenticated caller.
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) scheme: Scheme,
    /// The partner application that says it is calling, in an Online installation.
    pub(crate) application: Option<Application>,
    /// What the token says of the person, if it is a JWT.
    pub(crate) claims: Option<Claims>,
    /// What the caller came with, if this server issued it.
    pub(crate) credential: Option<IssuedCredential>,
}

impl Caller {
    /// The caller that a request proves.
    ///
    /// # Errors
    /// 400 for two credentials; 401 for none, or one that lets nobody in; 403 for one of another tenant
    /// or an application that may not act for this one; 429 after too many tries.
    pub(crate) async fn of(app: &Data<App>, request: &HttpRequest) -> Result<Self, Problem> {
        let caller = Self::known(app, request).await?;
        caller.with_application(app, request, None).await
    }

    /// As `of`, before it is known which application is calling.
    pub(super) async fn known(app: &Data<App>, request: &HttpRequest) -> Result<Self, Problem> {
        let secret = secret_headers(request);
        let tenant = Mount::of(request).tenant;
        let caller = match secret.get(AUTHORIZATION) {
            Some(header) => {
                let authorization = Authorization::parse(header.as_bytes(), &app.policy)?;
                by_authorization(app, request, &tenant, authorization).await?
            }
            None => {
                let session = session(app, request).ok_or(AuthError::Missing)??;
                let xsrf_token = secret.get(X_XSRF_TOKEN);
                session.check_xsrf(xsrf_token.map(|value| value.as_bytes()))?;
                by_credential(app, &session, Scheme::Session).await?
            }
        };
        if caller.principal.tenant != tenant {
            Span::current().record("tenant.of_path", tenant.as_str());
            return Err(AuthError::OtherTenant.into());
        }
        Ok(caller)
    }

    /// The same caller with its application, which a body may name as well as the header does.
    ///
    /// # Errors
    /// 400 for a body that names another than the header; 401 if there must be one, or if it is none; 403 for one
    /// that may not act for this tenant.
    pub(super) async fn with_application(
        self,
        app: &App,
        request: &HttpRequest,
        in_body: Option<&str>,
    ) -> Result<Self, Problem> {
        let headers = secret_headers(request);
        let in_header = headers.get(SO_APP_TOKEN).map(|token| token.as_bytes().trim_ascii());
        let in_body = in_body.map(str::as_bytes);
        if let (Some(one), Some(other)) = (in_header, in_body)
            && !one.eq_ignore_ascii_case(other)
        {
            return Err(Problem::one_of("SO-AppToken", "AppToken", true));
        }
        let application = application(app, in_header.or(in_body), &self).await?;
        Ok(Self { application, ..self })
    }

    /// Its user as it is now.
    ///
    /// # Errors
    /// 403 for a caller that is no user of this server.
    async fn user(&self, app: &App) -> Result<User, Problem> {
        let user = app.store.user(&self.principal.tenant, &self.principal.login).await?;
        let user = user.filter(|user| !user.is_disabled).ok_or_else(Problem::no_user)?;
        Ok(User { tenant: app.tenant(&user.tenant), ..user })
    }

    /// Says in the log who is calling.
    fn told(self) -> Self {
        let span = Span::current();
        span.record("tenant.id", self.principal.tenant.as_str());
        span.record("user.login", self.principal.login.as_str());
        span.record("auth.scheme", self.scheme.name());
        self
    }
}

/// The session that a browser has a cookie of; `None` without one, or where sessions are off. Of several
/// cookies of the name the first that can be one counts.
pub(crate) fn session(app: &App, request: &HttpRequest) -> Option<Result<Presented, AuthError>> {
    if !app.policy.is_on(Scheme::Session) {
        return None;
    }
    // Each cookie by itself: one that cannot be read must not hide the others.
    let headers = secret_headers(request);
    let lines = headers.get_all(COOKIE).map(|line| line.as_bytes());
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    let name = app.session_cookie(request);
    let values = pairs.filter_map(|pair| {
        let pair = str::from_utf8(pair.trim_ascii()).ok()?;
        pair.strip_prefix(name)?.strip_prefix('=')
    });
    values.map(Presented::parse_session).reduce(|first, next| first.or(next))
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
            // Records whose password it is, also of one that is wrong.
            let user = app.logins.verify(&app.store, tenant, credentials, address).await?;
            Span::current().record("auth.scheme", scheme.name());
            Ok(of_user(app, &user, scheme, None))
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
    // So that it stays expired if the clock is set back.
    if found.as_ref().is_some_and(|found| presented.has_expired(&found.credential, now))
        && let Err(error) = app.store.remove_expired_credential(presented.id().clone()).await
    {
        warn!(%error, "an expired credential could not be removed");
    }
    let found = found.as_ref().map(|found| (&found.credential, &found.user));
    let (credential, user) = presented.check(found, now)?;
    if presented.tenant().is_some_and(|named| app.tenant(named) != user.tenant) {
        return Err(AuthError::OtherTenant.into());
    }
    if let Some(expires) = app.lifetime(presented.kind()).renewal(credential, now)
        && let Some(_renewing) = app.renewals.begin(presented.id())
        && let Err(error) = app.store.renew_credential(presented.id().clone(), expires).await
    {
        warn!(%error, "a credential in use could not be renewed");
    }
    Ok(of_user(app, user, scheme, Some(credential)).told())
}

/// The caller that a JWT stands for: its `sub` is the login. Where a path names the tenant, the token
/// must name it too, or one of any tenant would do.
async fn by_jwt(app: &App, tenant: &TenantId, token: &SecretText) -> Result<Caller, Problem> {
    let issuer = app.issuer.as_ref().ok_or(AuthError::NoIssuer)?;
    let claims = issuer.verify(token).await?;
    let login = Login::parse(&claims.subject).map_err(|error| {
        info!(%error, "the subject of a JWT cannot be a login");
        AuthError::InvalidToken
    })?;
    let named = match (&claims.tenant, &app.only_tenant) {
        (Some(named), only) => {
            let named = TenantId::parse(named).map_err(|_no_tenant| AuthError::OtherTenant)?;
            // Of an only tenant the name counts that it has for clients, and not the stored one.
            if only.as_ref().is_some_and(|only| !named.is_named_as(only)) {
                return Err(AuthError::OtherTenant.into());
            }
            app.tenant(&named)
        }
        (None, None) => return Err(AuthError::OtherTenant.into()),
        (None, Some(_)) => tenant.clone(),
    };
    // Who is disabled here stays out, whatever the issuer says.
    let user = app.store.user(&named, &login).await?;
    if user.as_ref().is_some_and(|user| user.is_disabled) {
        return Err(AuthError::InvalidToken.into());
    }
    let tenant = user.map_or(named, |user| app.tenant(&user.tenant));
    let principal = Principal { tenant, login, is_administrator: claims.is_administrator };
    let (scheme, claims) = (Scheme::Bearer, Some(claims));
    Ok(Caller { principal, scheme, application: None, claims, credential: None }.told())
}

fn of_user(
    app: &App,
    user: &User,
    scheme: Scheme,
    credential: Option<&IssuedCredential>,
) -> Caller {
    let principal = Principal {
        tenant: app.tenant(&user.tenant),
        login: user.login.clone(),
        is_administrator: user.is_administrator,
    };
    let credential = credential.cloned();
    Caller { principal, scheme, application: None, claims: None, credential }
}

/// The application of this token, or that an access token was made for. Onsite neither counts.
async fn application(
    app: &App,
    app_token: Option<&[u8]>,
    caller: &Caller,
) -> Result<Option<Application>, Problem> {
    if !app.policy.is_online() {
        return Ok(None);
    }
    let made_for = caller.credential.as_ref().and_then(|made| made.application.clone());
    let application = match (app_token, &made_for) {
        (Some(token), _) => {
            let token = ApplicationToken::parse(token)?;
            app.store.application(token.digest()).await?
        }
        (None, Some(name)) => app.store.application_named(name.clone()).await?,
        (None, None) if app.policy.needs_application(caller.scheme) => {
            return Err(AuthError::ApplicationRequired.into());
        }
        (None, None) => return Ok(None),
    };
    let application = application
        .filter(|application| !application.is_disabled)
        .filter(|application| made_for.is_none_or(|name| name == application.name))
        .ok_or(AuthError::InvalidApplication)?;
    if !application.is_allowed_for(&caller.principal.tenant) {
        return Err(AuthError::ApplicationNotAllowed.into());
    }
    Ok(Some(application))
}

/// A ticket for a caller, for its user as it is now.
///
/// # Errors
/// 403 for a caller that is no user of this server.
pub(crate) async fn issue_ticket(app: &App, caller: &Caller) -> Result<Presented, Problem> {
    let user = caller.user(app).await?;
    let named = app.only_tenant.is_none().then(|| user.tenant.clone());
    let ticket = Presented::generate(CredentialKind::Ticket, named);
    let now = Timestamp::now().as_microsecond();
    app.store.add_credential(ticket.issue(&user, Lifetime::TICKET, now)).await?;
    Ok(ticket)
}

/// The access token of a caller: the one that it came with, or one that is bound to what it came with and to the
/// application that asks. A caller that asks again gets the same one for some minutes. For a HEAD none is made.
///
/// # Errors
/// 403 for a caller that is no user of this server, and where nobody would accept the token; 401 if what it
/// came with was revoked meanwhile.
pub(crate) async fn access_token(
    app: &App,
    request: &HttpRequest,
    caller: &Caller,
) -> Result<SecretText, Problem> {
    let headers = secret_headers(request);
    let header = headers.get(AUTHORIZATION).map(|header| header.as_bytes());
    let came_with = header.map(|header| Authorization::parse(header, &app.policy)).transpose()?;
    let presented = match &came_with {
        Some(Authorization::Jwt(token)) => return Ok(token.clone()),
        Some(Authorization::Issued(token)) if token.kind() == CredentialKind::AccessToken => {
            return Ok(token.text());
        }
        Some(Authorization::Issued(ticket)) => Some(ticket.clone()),
        Some(Authorization::Password(_)) => None,
        None => session(app, request).transpose()?,
    };
    if !app.policy.is_on(Scheme::Bearer) {
        return Err(Problem::bearer_is_off());
    }
    if request.method() == Method::HEAD {
        return Ok("".into());
    }
    let user = caller.user(app).await?;
    let asked = TokenRequest {
        user: &user,
        parent: caller.credential.as_ref().map(|parent| &parent.id),
        application: caller.application.as_ref().map(|application| &application.name),
        now: Timestamp::now().as_microsecond(),
    };
    let token = match (&presented, &came_with) {
        (Some(presented), _) => presented.token(asked),
        (None, Some(Authorization::Password(password))) => {
            app.password_tokens.token(password, asked)
        }
        (None, _) => return Err(AuthError::Missing.into()),
    };
    let found = app.store.credential(token.id()).await?;
    let found = found.as_ref().map(|found| (&found.credential, &found.user));
    if token.check(found, asked.now).is_err() {
        match app.store.add_credential(asked.issue(&token)).await {
            // Another call made it meanwhile: it is the same one.
            Ok(()) | Err(StoreError::Conflict(_)) => {}
            Err(StoreError::NotFound(_)) => return Err(AuthError::Missing.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(token.text())
}
