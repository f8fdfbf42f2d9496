//! Tickets and access tokens for a caller that is authenticated (CONTRACT O8, O16).
//!
//! Invariant: what is issued belongs to a user that exists and is enabled at that moment. A caller that came
//! with an access token gets that one back, so that none outlives its hour by asking for another.

use auth::{AuthError, Authorization, Lifetime, Presented, Scheme, TokenRequest};
use jiff::Timestamp;
use model::{CredentialKind, SecretText, User};
use store::StoreError;

use super::{
    authenticate::{Authenticator, Caller, RequestCredentials},
    error::CallerError,
};

impl Authenticator {
    /// A ticket for the caller's user.
    ///
    /// # Errors
    /// `NotAUser` for a caller that is no user of this server.
    pub(crate) async fn issue_ticket(&self, caller: &Caller) -> Result<Presented, CallerError> {
        let user = self.user_of(caller).await?;
        let named = self.only_tenant.is_none().then(|| user.tenant.clone());
        let ticket = Presented::generate(CredentialKind::Ticket, named);
        let now = Timestamp::now().as_microsecond();
        self.store.add_credential(ticket.issue(&user, Lifetime::TICKET, now)).await?;
        Ok(ticket)
    }

    /// The access token of a caller: the one that it came with, or one that is bound to what it came with and to
    /// the application that asks. A caller that asks again within some minutes gets the same one. Without
    /// `may_issue` the answer is empty where a token would have to be issued.
    ///
    /// # Errors
    /// `NotAUser` for a caller that is no user of this server; `BearerIsOff` where no call would accept the
    /// token; `AuthError::Missing` if the credential that the caller came with was revoked meanwhile.
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
                // Another call issued the same token meanwhile.
                Ok(()) | Err(StoreError::Conflict(_)) => {}
                Err(StoreError::NotFound(_)) => return Err(AuthError::Missing.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(token.text())
    }

    /// The caller's user as it is now.
    async fn user_of(&self, caller: &Caller) -> Result<User, CallerError> {
        let user = self.store.user(&caller.principal.tenant, &caller.principal.login).await?;
        let user = user.filter(|user| !user.is_disabled).ok_or(CallerError::NotAUser)?;
        Ok(User { tenant: self.tenant(&user.tenant), ..user })
    }
}
