//! Issues tickets and access tokens to authenticated callers (CONTRACT O8, O16).
//!
//! Invariant: a credential is issued only to a user that exists and is enabled at that moment. A caller with an
//! access token gets that one back, so that it cannot extend its hour by requesting another.

use auth::{AuthError, Authorization, Lifetime, Presented, Scheme, TokenRequest};
use jiff::Timestamp;
use model::{CredentialKind, SecretText, User};
use store::StoreError;

use super::{
    authenticate::{Authenticator, Caller, RequestCredentials},
    error::CallerError,
};

impl Authenticator {
    /// Issues a ticket for the caller's user.
    ///
    /// # Errors
    /// `NotAUser`: the caller is not a user of this server.
    pub(crate) async fn issue_ticket(&self, caller: &Caller) -> Result<Presented, CallerError> {
        let user = self.user_of(caller).await?;
        let named = self.only_tenant.is_none().then(|| user.tenant.clone());
        let ticket = Presented::generate(CredentialKind::Ticket, named);
        let now = Timestamp::now().as_microsecond();
        self.store.add_credential(ticket.issue(&user, Lifetime::TICKET, now)).await?;
        Ok(ticket)
    }

    /// Returns the access token of a caller: its own, or one that is bound to its credential and to the application.
    /// Repeated calls within some minutes return the same token. Without `may_issue` the result is empty if a token
    /// would have to be issued.
    ///
    /// # Errors
    /// - `NotAUser`: the caller is not a user of this server.
    /// - `BearerIsOff`: no call would accept the token.
    /// - `AuthError::Missing`: the caller's credential has since been revoked.
    pub(crate) async fn access_token(
        &self,
        caller: &Caller,
        credentials: &RequestCredentials<'_>,
        may_issue: bool,
    ) -> Result<SecretText, CallerError> {
        let (header, encoding) = (credentials.authorization, credentials.basic_encoding);
        let came_with = header.map(|header| Authorization::parse(header, encoding, &self.policy));
        let came_with = came_with.transpose()?;
        let presented = match &came_with {
            Some(Authorization::Jwt(token)) => return Ok(token.clone()),
            Some(Authorization::Issued(token)) if token.kind() == CredentialKind::AccessToken => {
                return Ok(token.text());
            }
            Some(Authorization::Issued(ticket)) => Some(ticket.clone()),
            Some(Authorization::Password(_)) => None,
            None => self.session(&credentials.session_cookies).transpose()?,
        };
        if !self.policy.is_on(Scheme::Bearer) {
            return Err(CallerError::BearerIsOff);
        }
        if !may_issue {
            return Ok("".into());
        }
        let user = self.user_of(caller).await?;
        let asked = TokenRequest {
            user: &user,
            parent: caller.credential.as_ref().map(|parent| &parent.id),
            application: caller.application.as_ref().map(|application| &application.name),
            now: Timestamp::now().as_microsecond(),
        };
        let token = match (&presented, &came_with) {
            (Some(presented), _) => presented.token(asked),
            (None, Some(Authorization::Password(password))) => {
                self.password_tokens.token(password, asked)
            }
            (None, _) => return Err(AuthError::Missing.into()),
        };
        let found = self.store.credential(token.id()).await?;
        let found = found.as_ref().map(|found| (&found.credential, &found.user));
        if token.check(found, asked.now).is_err() {
            match self.store.add_credential(asked.issue(&token)).await {
                // Another call has issued the same token in the meantime.
                Ok(()) | Err(StoreError::Conflict(_)) => {}
                Err(StoreError::NotFound(_)) => return Err(AuthError::Missing.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(token.text())
    }

    /// Reads the caller's user as it is now.
    async fn user_of(&self, caller: &Caller) -> Result<User, CallerError> {
        let user = self.store.user(&caller.principal.tenant, &caller.principal.login).await?;
        let user = user.filter(|user| !user.is_disabled).ok_or(CallerError::NotAUser)?;
        Ok(User { tenant: self.tenant(&user.tenant), ..user })
    }
}
