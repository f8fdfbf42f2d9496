//! Users.
//!
//! Invariant: every change of a user makes a new version of it, which ends all proofs made under the old one.

use model::{Login, PasswordHash, TenantId, User};

use crate::{
    Store, StoreError,
    backend::conn::Conn,
    tables::{credentials, several, users},
    write::lock_order::{LockOrder, Write},
};

/// Rows that the removal of a user changes at once, at most: the user and a batch of credentials.
const REMOVED_ROWS: usize = 257;

/// The outcome of a change that may be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// The change is made.
    Done,
    /// The user is the last enabled administrator of its tenant; nothing was changed.
    LastAdministrator,
    /// The user owns living records, and is still there.
    OwnsRecords,
}

/// The conditions of a removal that the caller waives.
#[derive(Clone, Copy, Debug)]
pub struct UserRemoval {
    /// Whether the last enabled administrator may go.
    pub is_forced: bool,
    /// Whether a user with living records is disabled, so that the caller can revoke them and try again.
    pub disables_owner: bool,
}

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

    /// Gives or takes a user the rights of an administrator. Makes a new version of the user. With `is_forced`, takes
    /// them also from the last enabled administrator of the tenant.
    ///
    /// # Errors
    /// `NotFound`: no such user.
    pub async fn set_administrator(
        &self,
        tenant: TenantId,
        login: Login,
        is_administrator: bool,
        is_forced: bool,
    ) -> Result<UserChange, StoreError> {
        let clock = self.0.clock;
        let change = move |conn: &mut Conn| {
            let may_be_refused = !is_administrator && !is_forced;
            if may_be_refused && users::is_last_administrator(conn, &tenant, &login)? {
                return Ok(UserChange::LastAdministrator);
            }
            users::set_administrator(conn, clock.now(), &tenant, &login, is_administrator)?;
            Ok(UserChange::Done)
        };
        self.0.writer.run(Write::alone(), change).await
    }

    /// Removes a user with all its credentials. It is disabled as soon as the first of them goes.
    ///
    /// # Errors
    /// `NotFound`: no such user.
    pub async fn remove_user(
        &self,
        tenant: TenantId,
        login: Login,
        removal: UserRemoval,
    ) -> Result<UserChange, StoreError> {
        let clock = self.0.clock;
        let remove = move |conn: &mut Conn| {
            let now = clock.now();
            let is_last = users::is_last_administrator(conn, &tenant, &login)?;
            if is_last && !removal.is_forced {
                return Ok(Some(UserChange::LastAdministrator));
            }
            if users::find(conn, &tenant, &login)?.is_none() {
                return Err(StoreError::NotFound("user"));
            }
            let owns_records = several::has_living(conn, now, &tenant, &login)?;
            if !owns_records || removal.disables_owner {
                // No credential is made for a disabled user. A later user of the login begins without any.
                users::set_disabled(conn, now, &tenant, &login, true)?;
            }
            if owns_records {
                return Ok(Some(UserChange::OwnsRecords));
            }
            if !credentials::remove_some(conn, &tenant, &login)? {
                return Ok(None);
            }
            users::remove(conn, &tenant, &login)?;
            Ok(Some(UserChange::Done))
        };
        loop {
            let write = Write::alone().rows(REMOVED_ROWS).erasing();
            if let Some(outcome) = self.0.writer.run(write, remove.clone()).await? {
                return Ok(outcome);
            }
        }
    }

    /// Replaces the hash of the password of `user`, unless the user was changed meanwhile.
    pub async fn rehash(&self, user: User, hash: PasswordHash) -> Result<(), StoreError> {
        let order = LockOrder::user(&user.tenant, &user.login);
        self.0.writer.run(Write::of(order), move |conn| users::rehash(conn, &user, &hash)).await
    }
}
