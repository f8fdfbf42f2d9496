//! Tickets, sessions and access tokens.
//!
//! Invariant: a user has at most `Quotas::credentials` living ones of a kind.

use std::slice;

use model::{CredentialId, CredentialKind, IssuedCredential, Login, TenantId};

use crate::{
    FoundCredential, Store, StoreError,
    backend::conn::Conn,
    tables::credentials,
    write::lock_order::{LockOrder, Write},
};

impl Store {
    /// Adds a newly issued credential. At most `Quotas::credentials` of its user and kind live; beyond that, the ones
    /// used longest ago end.
    ///
    /// # Errors
    /// - `NotFound`: the credential that it was made from was revoked.
    /// - `Conflict`: the credential exists already.
    pub async fn add_credential(&self, credential: IssuedCredential) -> Result<(), StoreError> {
        let (most, clock) = (self.0.quotas.credentials, self.0.clock);
        let add = move |conn: &mut Conn| credentials::add(conn, clock.now(), &credential, most);
        self.0.writer.run(Write::alone(), add).await
    }

    /// Adds a session and ends the former one in one transaction. The former one may have ended already.
    pub async fn replace_session(
        &self,
        session: IssuedCredential,
        former: CredentialId,
    ) -> Result<(), StoreError> {
        let (most, clock) = (self.0.quotas.credentials, self.0.clock);
        let replace = move |conn: &mut Conn| {
            // Only a few living tokens are derived from a session, so the loop ends soon.
            loop {
                match credentials::revoke(conn, CredentialKind::Session, &former, None) {
                    Ok(false) => {}
                    Ok(true) | Err(StoreError::NotFound(_)) => break,
                    Err(error) => return Err(error),
                }
            }
            credentials::add(conn, clock.now(), &session, most)
        };
        self.0.writer.run(Write::alone(), replace).await
    }

    /// Returns the credential of this id, living or not, with its user.
    pub async fn credential(
        &self,
        id: &CredentialId,
    ) -> Result<Option<FoundCredential>, StoreError> {
        self.0.readers.credential(id).await
    }

    /// Removes an expired credential, so that it stays expired if the clock is set back.
    pub async fn remove_expired_credential(&self, id: CredentialId) -> Result<(), StoreError> {
        let id = id.as_str().to_owned();
        let order = LockOrder::Credential(id.clone());
        let clock = self.0.clock;
        let remove = move |conn: &mut Conn| {
            credentials::remove_expired(conn, clock.now(), slice::from_ref(&id))
        };
        self.0.writer.run(Write::of(order), remove).await
    }

    /// Extends a living credential to `expires`, in microseconds since 1970 UTC.
    pub async fn renew_credential(&self, id: CredentialId, expires: i64) -> Result<(), StoreError> {
        let order = LockOrder::Credential(id.as_str().to_owned());
        let clock = self.0.clock;
        let renew = move |conn: &mut Conn| credentials::renew(conn, clock.now(), &id, expires);
        self.0.writer.run(Write::of(order), renew).await
    }

    /// Returns the living credentials of a kind, newest first: of a user, of a tenant, or of all.
    pub async fn credentials(
        &self,
        kind: CredentialKind,
        tenant: Option<TenantId>,
        login: Option<Login>,
        limit: i64,
    ) -> Result<Vec<IssuedCredential>, StoreError> {
        let clock = self.0.clock;
        self.0
            .readers
            .run(move |conn| {
                credentials::list(conn, clock.now(), kind, tenant.as_ref(), login.as_ref(), limit)
            })
            .await
    }

    /// Returns some credentials of a user after the one of this id, valid or not, without their digests. None are left
    /// after an empty page.
    pub async fn credentials_of_user(
        &self,
        tenant: TenantId,
        login: Login,
        after: Option<CredentialId>,
    ) -> Result<Vec<IssuedCredential>, StoreError> {
        let find = move |conn: &mut Conn| {
            let after = after.as_ref().map_or("", CredentialId::as_str);
            credentials::of_user(conn, &tenant, &login, after)
        };
        self.0.readers.run(find).await
    }

    /// Ends a credential and everything derived from it. With `owner`, only if it belongs to that user.
    ///
    /// # Errors
    /// `NotFound`: there is none of that kind, or another user owns it.
    pub async fn revoke_credential(
        &self,
        kind: CredentialKind,
        id: CredentialId,
        owner: Option<(TenantId, Login)>,
    ) -> Result<(), StoreError> {
        let revoke = move |conn: &mut Conn| {
            let owner = owner.as_ref().map(|(tenant, login)| (tenant, login));
            credentials::revoke(conn, kind, &id, owner)
        };
        while !self.0.writer.run(Write::alone(), revoke.clone()).await? {}
        Ok(())
    }
}
