//! The users table.
//!
//! Invariant: every query names the tenant, except the count and the list of all. Every change makes a new version of
//! the user, except rehashing a password and naming a tenant. All users of a tenant have the tenant name that was given
//! first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use diesel::prelude::*;
use model::{Login, PasswordHash, TenantId, User};

use crate::{
    StoreError,
    backend::{
        conn::{Conn, on_backend},
        postgres::Session,
    },
    tables::{schema::users, unreadable},
};

/// A user's columns except for the times.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(crate) struct UserRow {
    tenant: String,
    login: String,
    password_hash: String,
    is_administrator: bool,
    is_disabled: bool,
    version: i64,
    tenant_name: Option<String>,
}

impl UserRow {
    /// Returns its name in messages.
    fn name(&self) -> String {
        format!("{}/{}", self.tenant, self.login)
    }

    fn key(&self) -> Option<(TenantId, Login)> {
        Some((tenant(&self.tenant, self.tenant_name.as_deref())?, Login::parse(&self.login).ok()?))
    }

    /// Returns `None` for an unreadable row.
    pub(crate) fn into_user(self) -> Option<User> {
        let Some((tenant, login)) = self.key() else {
            unreadable::log_once("user", self.name());
            return None;
        };
        Some(User {
            tenant,
            login,
            password_hash: PasswordHash::from_phc(self.password_hash),
            is_administrator: self.is_administrator,
            is_disabled: self.is_disabled,
            version: self.version,
        })
    }
}

/// Returns the tenant of a row, with the name that was given first.
pub(crate) fn tenant(stored: &str, name: Option<&str>) -> Option<TenantId> {
    let name = name.filter(|name| name.eq_ignore_ascii_case(stored));
    TenantId::parse(name.unwrap_or(stored)).ok()
}

/// Returns the user with this login, disabled or not.
pub(crate) fn find(
    conn: &mut Conn,
    tenant: &TenantId,
    login: &Login,
) -> Result<Option<User>, StoreError> {
    let found = users::table.find((tenant.as_str(), login.as_str()));
    let row: Option<UserRow> =
        on_backend!(conn, |conn| found.select(UserRow::as_select()).first(conn)).optional()?;
    Ok(row.and_then(UserRow::into_user))
}

/// Finds many users at once.
pub(crate) fn find_all(
    conn: &mut Conn,
    keys: &[(TenantId, Login)],
) -> Result<HashMap<(TenantId, Login), User>, StoreError> {
    let mut logins: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (tenant, login) in keys {
        logins.entry(tenant.as_str()).or_default().insert(login.as_str());
    }
    let mut users = HashMap::new();
    for (tenant, logins) in logins {
        let found =
            users::table.filter(users::tenant.eq(tenant)).filter(users::login.eq_any(logins));
        let rows: Vec<UserRow> =
            on_backend!(conn, |conn| found.select(UserRow::as_select()).load(conn))?;
        let found = rows.into_iter().filter_map(UserRow::into_user);
        users.extend(found.map(|user| ((user.tenant.clone(), user.login.clone()), user)));
    }
    Ok(users)
}

/// Locks a user's row until the transaction ends.
pub(crate) fn lock(session: &mut Session, tenant: &str, login: &str) -> Result<(), StoreError> {
    let row = users::table.find((tenant, login)).select(users::version).for_no_key_update();
    row.load::<i64>(session)?;
    Ok(())
}

/// Returns the names of users whose rows are unreadable.
pub(crate) fn unreadable(conn: &mut Conn) -> QueryResult<Vec<String>> {
    let rows: Vec<UserRow> = users::table.select(UserRow::as_select()).load(conn)?;
    Ok(rows.iter().filter(|row| row.key().is_none()).map(UserRow::name).collect())
}

/// Counts the users of all tenants.
pub(crate) fn count(conn: &mut Conn) -> Result<i64, StoreError> {
    Ok(users::table.count().get_result(conn)?)
}

/// Returns the users of a tenant, or of all, by tenant and login.
pub(crate) fn list(conn: &mut Conn, tenant: Option<&TenantId>) -> Result<Vec<User>, StoreError> {
    let mut query =
        users::table.select(UserRow::as_select()).order((users::tenant, users::login)).into_boxed();
    if let Some(tenant) = tenant {
        query = query.filter(users::tenant.eq(tenant.as_str()));
    }
    let rows: Vec<UserRow> = query.load(conn)?;
    Ok(rows.into_iter().filter_map(UserRow::into_user).collect())
}

/// Returns when a user was added, and when it was last changed.
pub(crate) fn times(
    conn: &mut Conn,
    tenant: &TenantId,
    login: &Login,
) -> Result<Option<(i64, i64)>, StoreError> {
    let row = users::table.find((tenant.as_str(), login.as_str()));
    Ok(row.select((users::created, users::updated)).first(conn).optional()?)
}

/// Adds a user of the first version. `Conflict`: the tenant has a user of that login.
pub(crate) fn insert(conn: &mut Conn, now: i64, user: &User) -> Result<(), StoreError> {
    let of_tenant = users::table.filter(users::tenant.eq(user.tenant.as_str()));
    let named = of_tenant.filter(users::tenant_name.is_not_null()).order(users::created);
    let name: Option<Option<String>> = named.select(users::tenant_name).first(conn).optional()?;
    let name = name.flatten().unwrap_or_else(|| user.tenant.name().to_owned());
    let inserted = diesel::insert_into(users::table)
        .values((
            users::tenant.eq(user.tenant.as_str()),
            users::login.eq(user.login.as_str()),
            users::password_hash.eq(user.password_hash.expose()),
            users::is_administrator.eq(user.is_administrator),
            users::is_disabled.eq(user.is_disabled),
            users::created.eq(now),
            users::updated.eq(now),
            users::version.eq(user.version),
            users::tenant_name.eq(&name),
        ))
        .execute(conn);
    match inserted.map_err(StoreError::from) {
        Err(StoreError::Conflict(_)) => return Err(StoreError::Conflict("user")),
        other => other?,
    };
    // Sets the tenant's name for users who were added before names were stored.
    diesel::update(users::table.filter(users::tenant.eq(user.tenant.as_str())))
        .filter(users::tenant_name.is_null())
        .set((users::tenant_name.eq(&name), users::updated.eq(now)))
        .execute(conn)?;
    Ok(())
}

/// Changes a user's password. `NotFound`: no such user.
pub(crate) fn set_password(
    conn: &mut Conn,
    now: i64,
    tenant: &TenantId,
    login: &Login,
    hash: &PasswordHash,
) -> Result<(), StoreError> {
    let changed = diesel::update(users::table.find((tenant.as_str(), login.as_str())))
        .set((
            users::password_hash.eq(hash.expose()),
            users::version.eq(users::version + 1),
            users::updated.eq(now),
        ))
        .execute(conn)?;
    found(changed)
}

/// Disables or enables a user. `NotFound`: no such user.
pub(crate) fn set_disabled(
    conn: &mut Conn,
    now: i64,
    tenant: &TenantId,
    login: &Login,
    is_disabled: bool,
) -> Result<(), StoreError> {
    let changed = diesel::update(users::table.find((tenant.as_str(), login.as_str())))
        .set((
            users::is_disabled.eq(is_disabled),
            users::version.eq(users::version + 1),
            users::updated.eq(now),
        ))
        .execute(conn)?;
    found(changed)
}

/// Gives or takes a user the rights of an administrator. `NotFound`: no such user.
pub(crate) fn set_administrator(
    conn: &mut Conn,
    now: i64,
    tenant: &TenantId,
    login: &Login,
    is_administrator: bool,
) -> Result<(), StoreError> {
    let changed = diesel::update(users::table.find((tenant.as_str(), login.as_str())))
        .set((
            users::is_administrator.eq(is_administrator),
            users::version.eq(users::version + 1),
            users::updated.eq(now),
        ))
        .execute(conn)?;
    found(changed)
}

/// Returns whether a user is the only enabled administrator of its tenant. On PostgreSQL, locks the user and these
/// administrators until the transaction ends, so that two transactions do not remove the last two.
pub(crate) fn is_last_administrator(
    conn: &mut Conn,
    tenant: &TenantId,
    login: &Login,
) -> Result<bool, StoreError> {
    let is_one = users::is_administrator.eq(true).and(users::is_disabled.eq(false));
    let rows = users::table
        .filter(users::tenant.eq(tenant.as_str()))
        .filter(users::login.eq(login.as_str()).or(is_one))
        .order(users::login)
        .select((users::login, users::is_administrator, users::is_disabled));
    let rows: Vec<(String, bool, bool)> = match conn {
        Conn::Sqlite(conn) => rows.load(conn)?,
        Conn::Postgres(session) => rows.for_no_key_update().load(session)?,
    };
    Ok(matches!(&rows[..], [(only, true, false)] if only == login.as_str()))
}

/// Removes a user.
pub(crate) fn remove(conn: &mut Conn, tenant: &TenantId, login: &Login) -> Result<(), StoreError> {
    diesel::delete(users::table.find((tenant.as_str(), login.as_str()))).execute(conn)?;
    Ok(())
}

/// Stores another hash of the same password, unless the user was changed meanwhile.
pub(crate) fn rehash(conn: &mut Conn, user: &User, hash: &PasswordHash) -> Result<(), StoreError> {
    diesel::update(users::table.find((user.tenant.as_str(), user.login.as_str())))
        .filter(users::version.eq(user.version))
        .set(users::password_hash.eq(hash.expose()))
        .execute(conn)?;
    Ok(())
}

fn found(changed: usize) -> Result<(), StoreError> {
    if changed == 0 { Err(StoreError::NotFound("user")) } else { Ok(()) }
}
