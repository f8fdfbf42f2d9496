//! Authentication: collects the data that `auth` needs, and calls it (CONTRACT 25–31).
//!
//! Invariant: a caller is made only from a row that was read for this call, or from a JWT that was verified for it.
//! So disabling a user, changing a password and revoking a credential take effect at once.

use std::{net::IpAddr, sync::Arc};

use auth::{
    ApplicationToken, AuthError, Authorization, BasicCredentials, BasicEncoding, Claims, Lifetime,
    PasswordTokens, Policy, Presented, Scheme,
};
use jiff::Timestamp;
use model::{
    Application, CredentialKind, IssuedCredential, Login, Principal, SecretText, TenantId, User,
};
use store::Store;
use tracing::{Span, info, warn};

use super::{error::CallerError, issuer::Issuer, logins::Logins, renewals::Renewals};
use crate::{
    audit,
    metrics::{Metrics, sign_ins::SignIn},
};

/// Authenticates callers.
pub(crate) struct Authenticator {
    pub(crate) store: Store,
    /// The enabled schemes.
    pub(crate) policy: Policy,
    /// The tenant of an installation that has only one. `None` if paths name tenants.
    pub(crate) only_tenant: Option<TenantId>,
    pub(crate) session_lifetime: Lifetime,
    pub(crate) logins: Logins,
    pub(crate) renewals: Renewals,
    /// Makes the access tokens of callers with a password.
    pub(crate) password_tokens: PasswordTokens,
    /// The issuer whose JWTs are accepted, if one is configured.
    pub(crate) issuer: Option<Arc<Issuer>>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The parts of a request's head that authenticate its caller.
#[derive(Default)]
pub(crate) struct RequestCredentials<'a> {
    /// The value of `Authorization`.
    pub(crate) authorization: Option<&'a [u8]>,
    /// The encoding of the scheme Basic that clients of the path use.
    pub(crate) basic_encoding: BasicEncoding,
    /// The values of all cookies with the session's name, in their order. Read only without `authorization`.
    pub(crate) session_cookies: Vec<&'a str>,
    /// The value of `X-XSRF-TOKEN`.
    pub(crate) xsrf_token: Option<&'a [u8]>,
    /// The value of `SO-AppToken`.
    pub(crate) application_token: Option<&'a [u8]>,
    /// The client's address, if it is known. Read only with `authorization`.
    pub(crate) address: Option<IpAddr>,
}

/// An authenticated caller.
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    pub(crate) scheme: Scheme,
    /// The calling partner application, in an Online installation.
    pub(crate) application: Option<Application>,
    /// The claims of the JWT, if the caller has one.
    pub(crate) claims: Option<Claims>,
    /// The credential of the caller, if this server issued it.
    pub(crate) credential: Option<IssuedCredential>,
}

impl Authenticator {
    /// Authenticates the caller of a request to a path of `tenant`, without its application.
    ///
    /// # Errors
    /// - `AuthError`: the credential is missing, invalid, or of another tenant.
    /// - `Throttled`, `TooManyPasswordsWait`: the password may not be tried now.
    /// - `IssuerKeysUnavailable`: the key of the JWT cannot be fetched.
    pub(crate) async fn authenticate(
        &self,
        tenant: &TenantId,
        credentials: &RequestCredentials<'_>,
    ) -> Result<Caller, CallerError> {
        let mut scheme = None;
        let outcome = self.identify(tenant, credentials, &mut scheme).await;
        // `by_login` counts passwords.
        if scheme != Some(Scheme::Basic) {
            self.count(scheme, &outcome);
        }
        outcome
    }

    /// Authenticates the caller, and sets the scheme as soon as it is known.
    async fn identify(
        &self,
        tenant: &TenantId,
        credentials: &RequestCredentials<'_>,
        scheme: &mut Option<Scheme>,
    ) -> Result<Caller, CallerError> {
        let caller = match credentials.authorization {
            Some(header) => {
                let encoding = credentials.basic_encoding;
                let authorization = Authorization::parse(header, encoding, &self.policy)?;
                *scheme = Some(authorization.scheme());
                self.by_authorization(tenant, authorization, credentials.address).await?
            }
            None => {
                let session = self.session(&credentials.session_cookies);
                let session = session.ok_or(AuthError::Missing)?;
                *scheme = Some(Scheme::Session);
                let session = session?;
                session.check_xsrf(credentials.xsrf_token)?;
                self.by_credential(&session, Scheme::Session).await?
            }
        };
        if caller.principal.tenant != *tenant {
            Span::current().record("tenant.of_path", tenant.as_str());
            return Err(AuthError::OtherTenant.into());
        }
        Ok(caller)
    }

    fn count<T>(&self, scheme: Option<Scheme>, outcome: &Result<T, CallerError>) {
        let outcome = outcome.as_ref().err().map_or(SignIn::Accepted, CallerError::sign_in);
        self.metrics.sign_ins.note(scheme, outcome);
    }

    /// Adds the application to a caller. Both the header and the body may name it.
    ///
    /// # Errors
    /// - `TwoApplications`: the header and the body name different applications.
    /// - `AuthError`: an application is required, unknown, or not allowed for the caller's tenant.
    pub(crate) async fn with_application(
        &self,
        caller: Caller,
        credentials: &RequestCredentials<'_>,
        in_body: Option<&str>,
    ) -> Result<Caller, CallerError> {
        let in_header = credentials.application_token.map(<[u8]>::trim_ascii);
        let in_body = in_body.map(str::as_bytes);
        if let (Some(one), Some(other)) = (in_header, in_body)
            && !one.eq_ignore_ascii_case(other)
        {
            return Err(CallerError::TwoApplications);
        }
        let application = self.application(in_header.or(in_body), &caller).await?;
        if let Some(application) = &application {
            Span::current().record("application.name", application.name.as_str());
        }
        audit::note(|details| {
            let application = application.as_ref();
            details.application = application.map(|application| application.name.to_string());
        });
        Ok(Caller { application, ..caller })
    }

    /// Returns the session of the first cookie that is a valid session id, or the error of the last one. Returns
    /// `None` without a cookie, or if sessions are off.
    pub(crate) fn session(&self, cookies: &[&str]) -> Option<Result<Presented, AuthError>> {
        if !self.policy.is_on(Scheme::Session) {
            return None;
        }
        let parsed = cookies.iter().map(|cookie| Presented::parse_session(cookie));
        parsed.reduce(|first, next| first.or(next))
    }

    async fn by_authorization(
        &self,
        tenant: &TenantId,
        authorization: Authorization,
        address: Option<IpAddr>,
    ) -> Result<Caller, CallerError> {
        let scheme = authorization.scheme();
        match authorization {
            Authorization::Password(credentials) => {
                self.by_password(tenant, credentials, address).await
            }
            Authorization::Issued(presented) => self.by_credential(&presented, scheme).await,
            Authorization::Jwt(token) => self.by_jwt(tenant, &token).await,
        }
    }

    /// Authenticates a caller by login and password, from any part of a request.
    ///
    /// # Errors
    /// - `AuthError`: the scheme Basic, which passwords need, is off.
    /// - Those of `Logins::verify`.
    pub(crate) async fn by_password(
        &self,
        tenant: &TenantId,
        credentials: BasicCredentials,
        address: Option<IpAddr>,
    ) -> Result<Caller, CallerError> {
        if !self.policy.is_on(Scheme::Basic) {
            return Err(AuthError::UnsupportedScheme.into());
        }
        // Logs the user also if the password is wrong.
        let user = self.by_login(tenant, credentials, address).await?;
        Span::current().record("auth.scheme", Scheme::Basic.name());
        let caller = self.caller(&user, Scheme::Basic, None);
        caller.note();
        Ok(caller)
    }

    /// Returns the user of this login and password.
    ///
    /// # Errors
    /// Those of `Logins::verify`.
    pub(crate) async fn by_login(
        &self,
        tenant: &TenantId,
        credentials: BasicCredentials,
        address: Option<IpAddr>,
    ) -> Result<User, CallerError> {
        let outcome = self.logins.verify(&self.store, tenant, credentials, address).await;
        self.count(Some(Scheme::Basic), &outcome);
        outcome
    }

    /// Authenticates a caller by a ticket, session or access token, and renews the credential when that is due.
    ///
    /// # Errors
    /// `AuthError`: the credential is unknown, expired or of another tenant.
    pub(crate) async fn by_credential(
        &self,
        presented: &Presented,
        scheme: Scheme,
    ) -> Result<Caller, CallerError> {
        let now = Timestamp::now().as_microsecond();
        let found = self.store.credential(presented.id()).await?;
        // An expired credential is removed, so that it stays expired if the clock is set back.
        if found.as_ref().is_some_and(|found| presented.has_expired(&found.credential, now))
            && let Err(error) = self.store.remove_expired_credential(presented.id().clone()).await
        {
            warn!(%error, "an expired credential could not be removed");
        }
        let found = found.as_ref().map(|found| (&found.credential, &found.user));
        let (credential, user) = presented.check(found, now)?;
        if presented.tenant().is_some_and(|named| self.tenant(named) != user.tenant) {
            return Err(AuthError::OtherTenant.into());
        }
        if let Some(expires) = self.lifetime(presented.kind()).renewal(credential, now)
            && let Some(_renewing) = self.renewals.begin(presented.id())
            && let Err(error) = self.store.renew_credential(presented.id().clone(), expires).await
        {
            warn!(%error, "a credential in use could not be renewed");
        }
        Ok(self.caller(user, scheme, Some(credential)).logged())
    }

    /// Authenticates a caller by a JWT, whose `sub` is the login. If paths name the tenant, the token must name it as
    /// well, because otherwise one token would be valid for every tenant.
    async fn by_jwt(&self, tenant: &TenantId, token: &SecretText) -> Result<Caller, CallerError> {
        let issuer = self.issuer.as_ref().ok_or(AuthError::NoIssuer)?;
        let claims = issuer.verify(token).await?;
        let login = Login::parse(&claims.subject).map_err(|error| {
            info!(%error, "the subject of a JWT cannot be a login");
            AuthError::InvalidToken
        })?;
        let named = match (&claims.tenant, &self.only_tenant) {
            (Some(named), only) => {
                let named = TenantId::parse(named).map_err(|_no_tenant| AuthError::OtherTenant)?;
                // A token names the only tenant as clients do, not as the database does.
                if only.as_ref().is_some_and(|only| !named.is_named_as(only)) {
                    return Err(AuthError::OtherTenant.into());
                }
                self.tenant(&named)
            }
            (None, None) => return Err(AuthError::OtherTenant.into()),
            (None, Some(_)) => tenant.clone(),
        };
        // A user that is disabled here is rejected, even if the issuer vouches for it.
        let user = self.store.user(&named, &login).await?;
        if user.as_ref().is_some_and(|user| user.is_disabled) {
            return Err(AuthError::InvalidToken.into());
        }
        let tenant = user.map_or(named, |user| self.tenant(&user.tenant));
        let principal = Principal { tenant, login, is_administrator: claims.is_administrator };
        let (scheme, claims) = (Scheme::Bearer, Some(claims));
        Ok(Caller { principal, scheme, application: None, claims, credential: None }.logged())
    }

    fn caller(&self, user: &User, scheme: Scheme, credential: Option<&IssuedCredential>) -> Caller {
        let principal = Principal {
            tenant: self.tenant(&user.tenant),
            login: user.login.clone(),
            is_administrator: user.is_administrator,
        };
        let credential = credential.cloned();
        Caller { principal, scheme, application: None, claims: None, credential }
    }

    /// Returns the application of this token, or the one that an access token was made for. An Onsite installation
    /// ignores both.
    async fn application(
        &self,
        token: Option<&[u8]>,
        caller: &Caller,
    ) -> Result<Option<Application>, CallerError> {
        if !self.policy.is_online() {
            return Ok(None);
        }
        let made_for = caller.credential.as_ref().and_then(|made| made.application.clone());
        let application = match (token, &made_for) {
            (Some(token), _) => {
                let token = ApplicationToken::parse(token)?;
                self.store.application(token.digest()).await?
            }
            (None, Some(name)) => self.store.application_named(name.clone()).await?,
            (None, None) if self.policy.needs_application(caller.scheme) => {
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

    /// Returns the tenant that a credential or a row of the database names. An only tenant is returned under its
    /// public name.
    pub(crate) fn tenant(&self, named: &TenantId) -> TenantId {
        match &self.only_tenant {
            Some(only) if named == only || named.is_named_as(only) => only.clone(),
            _ => named.clone(),
        }
    }

    /// Returns the lifetime of credentials of a kind.
    fn lifetime(&self, kind: CredentialKind) -> Lifetime {
        match kind {
            CredentialKind::Ticket => Lifetime::TICKET,
            CredentialKind::AccessToken => Lifetime::ACCESS_TOKEN,
            CredentialKind::Session => self.session_lifetime,
        }
    }
}

impl Caller {
    /// Records the caller in the request's span.
    fn logged(self) -> Self {
        let span = Span::current();
        span.record("tenant.id", self.principal.tenant.as_str());
        span.record("user.login", self.principal.login.as_str());
        span.record("auth.scheme", self.scheme.name());
        self.note();
        self
    }

    /// Notes the caller for the audit log.
    fn note(&self) {
        audit::note(|details| {
            details.tenant = Some(self.principal.tenant.to_string());
            details.login = Some(self.principal.login.to_string());
            details.scheme = Some(self.scheme.name());
        });
    }
}
