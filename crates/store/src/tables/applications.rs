//! The applications table.
//!
//! Invariant: every caller is identified only by the digest of an unguessable token.

use std::collections::HashMap;

use diesel::prelude::*;
use model::{Application, ApplicationName, SecretDigest, TenantId};

use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    tables::{schema::applications, unreadable},
};

/// Stands for all tenants.
const ALL_TENANTS: &str = "*";

#[derive(Queryable, Selectable)]
#[diesel(table_name = applications)]
struct ApplicationRow {
    name: String,
    tenants: String,
    is_disabled: bool,
}

impl ApplicationRow {
    /// Returns `None` for an unreadable row.
    fn into_application(self) -> Option<Application> {
        let application = self.read();
        if application.is_none() {
            unreadable::log_once("application", self.name);
        }
        application
    }

    fn read(&self) -> Option<Application> {
        let tenants = match self.tenants.as_str() {
            ALL_TENANTS => None,
            names => {
                let tenants = names.split(',').map(TenantId::parse);
                Some(tenants.collect::<Result<_, _>>().ok()?)
            }
        };
        let name = ApplicationName::parse(&self.name).ok()?;
        Some(Application { name, tenants, is_disabled: self.is_disabled })
    }
}

/// Adds an application. `Conflict`: one of that name exists.
pub(crate) fn insert(
    conn: &mut Conn,
    now: i64,
    application: &Application,
    token: &SecretDigest,
) -> Result<(), StoreError> {
    let tenants = match &application.tenants {
        None => ALL_TENANTS.to_owned(),
        Some(tenants) => tenants.iter().map(TenantId::as_str).collect::<Vec<_>>().join(","),
    };
    let inserted = diesel::insert_into(applications::table)
        .values((
            applications::name.eq(application.name.as_str()),
            applications::token_digest.eq(token.as_bytes()),
            applications::tenants.eq(tenants),
            applications::is_disabled.eq(application.is_disabled),
            applications::created.eq(now),
            applications::updated.eq(now),
        ))
        .execute(conn);
    match inserted.map_err(StoreError::from) {
        Err(StoreError::Conflict(_)) => Err(StoreError::Conflict("application")),
        other => other.map(|_rows| ()),
    }
}

/// Returns the application with this token, disabled or not.
pub(crate) fn find(
    conn: &mut Conn,
    token: &SecretDigest,
) -> Result<Option<Application>, StoreError> {
    let row = applications::table
        .filter(applications::token_digest.eq(token.as_bytes()))
        .select(ApplicationRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row.and_then(ApplicationRow::into_application))
}

/// Returns the application of this name, disabled or not.
pub(crate) fn find_named(
    conn: &mut Conn,
    name: &ApplicationName,
) -> Result<Option<Application>, StoreError> {
    let row = applications::table
        .find(name.as_str())
        .select(ApplicationRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row.and_then(ApplicationRow::into_application))
}

/// Finds many applications at once, by the digests of their tokens.
pub(crate) fn find_all(
    conn: &mut Conn,
    tokens: &[Vec<u8>],
) -> Result<HashMap<Vec<u8>, Application>, StoreError> {
    let digests: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    let found = applications::table.filter(applications::token_digest.eq_any(digests));
    let rows: Vec<(Vec<u8>, ApplicationRow)> = on_backend!(conn, |conn| found
        .select((applications::token_digest, ApplicationRow::as_select()))
        .load(conn))?;
    let found = rows.into_iter().filter_map(|(token, row)| Some((token, row.into_application()?)));
    Ok(found.collect())
}

/// Finds many applications at once, by name.
pub(crate) fn find_all_named(
    conn: &mut Conn,
    names: &[String],
) -> Result<HashMap<String, Application>, StoreError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = applications::table.filter(applications::name.eq_any(names));
    let rows: Vec<ApplicationRow> =
        on_backend!(conn, |conn| found.select(ApplicationRow::as_select()).load(conn))?;
    let found = rows.into_iter().filter_map(ApplicationRow::into_application);
    Ok(found.map(|application| (application.name.as_str().to_owned(), application)).collect())
}

/// Returns all applications, by name.
pub(crate) fn list(conn: &mut Conn) -> Result<Vec<Application>, StoreError> {
    let rows: Vec<ApplicationRow> = applications::table
        .select(ApplicationRow::as_select())
        .order(applications::name)
        .load(conn)?;
    Ok(rows.into_iter().filter_map(ApplicationRow::into_application).collect())
}

/// Returns the names of applications whose rows are unreadable.
pub(crate) fn unreadable(conn: &mut Conn) -> QueryResult<Vec<String>> {
    let rows = applications::table.select(ApplicationRow::as_select());
    let rows: Vec<ApplicationRow> = rows.load(conn)?;
    Ok(rows.into_iter().filter(|row| row.read().is_none()).map(|row| row.name).collect())
}

/// Replaces the token of an application. `NotFound`: none has that name.
pub(crate) fn set_token(
    conn: &mut Conn,
    now: i64,
    name: &ApplicationName,
    token: &SecretDigest,
) -> Result<(), StoreError> {
    let changed = diesel::update(applications::table.find(name.as_str()))
        .set((applications::token_digest.eq(token.as_bytes()), applications::updated.eq(now)))
        .execute(conn)?;
    if changed == 0 { Err(StoreError::NotFound("application")) } else { Ok(()) }
}

/// Disables or enables an application. `NotFound`: none has that name.
pub(crate) fn set_disabled(
    conn: &mut Conn,
    now: i64,
    name: &ApplicationName,
    is_disabled: bool,
) -> Result<(), StoreError> {
    let changed = diesel::update(applications::table.find(name.as_str()))
        .set((applications::is_disabled.eq(is_disabled), applications::updated.eq(now)))
        .execute(conn)?;
    if changed == 0 { Err(StoreError::NotFound("application")) } else { Ok(()) }
}
