//! Users.
//!
//! Invariant: every change of a user makes a new version of it, which ends all proofs made under the old one.

use model::{Login, PasswordHash, TenantId, User};

use crate::{
    Store, StoreError,
    backend::conn::Conn,
    tables::users,
    write::lock_order::{LockOrder, Write},
};

impl Store {
    /// Returns the user with this login, disabled or not.
    pub async fn user(&self, tenant: &TenantId, login: &Login) -> Result<Option<User>, StoreError> {
        self.0.readers.user(tenant, login).await
    }

    /// Returns when a user was added, and when it was last changed, in microseconds since 1970 UTC.
    pub async fn user_times(
        &self,
        tenant: TenantId,
        login: Login,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        self.0.readers.run(move |conn| users::times(conn, &tenant, &login)).await
    }

    /// Returns whether the database has no users yet.
    pub async fn has_no_users(&self) -> Result<bool, StoreError> {
        self.0.readers.run(|conn| users::count(conn).map(|count| count == 0)).await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict`: the tenant has a user of that login.
    pub async fn add_user(&self, user: User) -> Result<(), StoreError> {
        let clock = self.0.clock;
        let add = move |conn: &mut Conn| users::insert(conn, clock.now(), &user);
        self.0.writer.run(Write::of(LockOrder::Nothing), add).await
    }

    /// Returns the users of a tenant, or of all.
    pub async fn users(&self, tenant: Option<TenantId>) -> Result<Vec<User>, StoreError> {
        self.0.readers.run(move |conn| users::list(conn, tenant.as_ref())).await
    }

    /// Changes a user's password and makes a new version of the user.
    ///
    /// # Errors
    /// `NotFound`: no such user.
    pub async fn set_password(
        &self,
        tenant: TenantId,
        login: Login,
        hash: PasswordHash,
    ) -> Result<(), StoreError> {
        let order = LockOrder::user(&tenant, &login);
        let clock = self.0.clock;
        let change =
            move |conn: &mut Conn| users::set_password(conn, clock.now(), &tenant, &login, &hash);
        self.0.writer.run(Write::of(order), change).await
    }

    /// Disables or enables a user. Either makes a new version of the user.
    ///
    /// # Errors
    /// `NotFound`: no such user.
    pub async fn set_user_disabled(
        &self,
        tenant: TenantId,
        login: Login,
        is_disabled: bool,
    ) -> Result<(), StoreError> {
        let order = LockOrder::user(&tenant, &login);
        let clock = self.0.clock;
        let change = move |conn: &mut Conn| {
            users::set_disabled(conn, clock.now(), &tenant, &login, is_disabled)
        };
        self.0.writer.run(Write::of(order), change).await
    }

    /// Replaces the hash of the password of `user`, unless the user was changed meanwhile.
    pub async fn rehash(&self, user: User, hash: PasswordHash) -> Result<(), StoreError> {
        let order = LockOrder::user(&user.tenant, &user.login);
        self.0.writer.run(Write::of(order), move |conn| users::rehash(conn, &user, &hash)).await
    }
}
