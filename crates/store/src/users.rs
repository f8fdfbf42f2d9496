//! The users table.
//!
//! Invariant: every query names the tenant.

use diesel::prelude::*;
use model::{Login, PasswordHash, TenantId, User};

use crate::{StoreError, conn::Conn, ids, schema::users};

/// The user with this login, disabled or not.
pub(crate) fn find(
    conn: &mut Conn,
    tenant: &TenantId,
    login: &Login,
) -> Result<Option<User>, StoreError> {
    let row: Option<(String, bool, bool)> = users::table
        .find((tenant.as_str(), login.as_str()))
        .select((users::password_hash, users::is_administrator, users::is_disabled))
        .first(conn)
        .optional()?;
    Ok(row.map(|(password_hash, is_administrator, is_disabled)| User {
        tenant: tenant.clone(),
        login: login.clone(),
        password_hash: PasswordHash::from_phc(password_hash),
        is_administrator,
        is_disabled,
    }))
}

/// How many users all tenants have.
pub(crate) fn count(conn: &mut Conn) -> Result<i64, StoreError> {
    Ok(users::table.count().get_result(conn)?)
}

/// Adds a user; `Conflict` if the tenant has one of that login.
pub(crate) fn insert(conn: &mut Conn, user: &User) -> Result<(), StoreError> {
    let now = ids::now();
    let inserted = diesel::insert_into(users::table)
        .values((
            users::tenant.eq(user.tenant.as_str()),
            users::login.eq(user.login.as_str()),
            users::password_hash.eq(user.password_hash.expose()),
            users::is_administrator.eq(user.is_administrator),
            users::is_disabled.eq(user.is_disabled),
            users::created.eq(now),
            users::updated.eq(now),
        ))
        .execute(conn);
    match inserted.map_err(StoreError::from) {
        Err(StoreError::Conflict(_)) => Err(StoreError::Conflict("user")),
        other => other.map(|_rows| ()),
    }
}
