//! The credentials table: tickets, sessions, access tokens.
//!
//! Invariant: no write changes more than `BATCH` rows and one. A user has a limited number of living credentials of a
//! kind. The rows of several credentials are locked in the order of their ids, after the row of their user.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use diesel::{dsl, prelude::*};
use model::{
    ApplicationName, CredentialId, CredentialKind, IssuedCredential, Login, SecretDigest, TenantId,
    User,
};

use crate::{
    StoreError,
    backend::{
        conn::{Conn, on_backend},
        postgres::Session,
    },
    tables::{
        records::BATCH,
        schema::{credentials, users},
        unreadable,
        users::{self as users_table, UserRow},
    },
};

/// Rows to read at once when looking for unreadable ones.
const PAGE: i64 = 1000;

/// A credential with its user, disabled or not.
#[derive(Clone, Debug)]
pub struct FoundCredential {
    /// The credential.
    pub credential: IssuedCredential,
    /// Its user, as of now.
    pub user: User,
}

/// A credential's row.
#[derive(PartialEq, Insertable, Queryable, Selectable)]
#[diesel(table_name = credentials)]
pub(crate) struct CredentialRow {
    pub(crate) id: String,
    kind: String,
    digest: Vec<u8>,
    tenant: String,
    login: String,
    user_version: i64,
    created: i64,
    expires: i64,
    parent: Option<String>,
    application: Option<String>,
}

impl CredentialRow {
    /// Returns `None` for an unreadable row.
    fn into_credential(self) -> Option<IssuedCredential> {
        let Some(credential) = self.read() else {
            unreadable::log_once("credential", self.id);
            return None;
        };
        Some(IssuedCredential { digest: SecretDigest::new(self.digest), ..credential })
    }

    /// Parses all columns except the digest.
    fn read(&self) -> Option<IssuedCredential> {
        let parent = self.parent.as_deref().map(CredentialId::parse);
        let application = self.application.as_deref().map(ApplicationName::parse);
        Some(IssuedCredential {
            kind: CredentialKind::of_name(&self.kind)?,
            id: CredentialId::parse(&self.id).ok()?,
            digest: SecretDigest::new(Vec::new()),
            tenant: TenantId::parse(&self.tenant).ok()?,
            login: Login::parse(&self.login).ok()?,
            user_version: self.user_version,
            created: self.created,
            expires: self.expires,
            parent: parent.transpose().ok()?,
            application: application.transpose().ok()?,
        })
    }
}

impl FoundCredential {
    fn of_rows((credential, user): (CredentialRow, UserRow)) -> Option<Self> {
        Some(Self { credential: credential.into_credential()?, user: user.into_user()? })
    }
}

/// The condition that joins a credential to its user.
#[diesel::dsl::auto_type]
fn is_of_user() -> _ {
    users::tenant.eq(credentials::tenant).and(users::login.eq(credentials::login))
}

/// Returns the ids of some expired ones.
pub(crate) fn expired(conn: &mut Conn, now: i64) -> Result<Vec<String>, StoreError> {
    use credentials::{expires, id, table};
    let expired = table.filter(expires.le(now)).order(expires).limit(BATCH).select(id);
    Ok(expired.load(conn)?)
}

/// Removes those that are still expired, because one may have been renewed meanwhile.
pub(crate) fn remove_expired(conn: &mut Conn, now: i64, ids: &[String]) -> Result<(), StoreError> {
    if let Conn::Postgres(session) = conn {
        lock_in_order(session, ids)?;
    }
    let expired =
        credentials::table.filter(credentials::id.eq_any(ids)).filter(credentials::expires.le(now));
    on_backend!(conn, |conn| diesel::delete(expired).execute(conn))?;
    Ok(())
}

/// Locks rows in the order of their ids.
fn lock_in_order(session: &mut Session, ids: &[String]) -> Result<(), StoreError> {
    let rows = credentials::table
        .filter(credentials::id.eq_any(ids))
        .order(credentials::id)
        .select(credentials::id)
        .for_update();
    rows.load::<String>(session)?;
    Ok(())
}

/// Adds a credential. At most `most` of its user and kind live; beyond that, the ones used longest ago end.
///
/// # Errors
/// - `NotFound`: the credential that it was made from was revoked.
/// - `Conflict`: its id is taken.
pub(crate) fn add(
    conn: &mut Conn,
    now: i64,
    credential: &IssuedCredential,
    most: i64,
) -> Result<(), StoreError> {
    if let Conn::Postgres(session) = conn {
        users_table::lock(session, credential.tenant.as_str(), credential.login.as_str())?;
    }
    // Ordering by expiry orders by last use: a use extends a ticket or a session, and a later access token expires
    // later.
    let surplus = credentials::table
        .filter(credentials::tenant.eq(credential.tenant.as_str()))
        .filter(credentials::login.eq(credential.login.as_str()))
        .filter(credentials::kind.eq(credential.kind.name()))
        .filter(credentials::expires.gt(now))
        .order(credentials::expires.desc())
        .offset(most - 1)
        .limit(BATCH)
        .select(credentials::id);
    let surplus: Vec<String> = on_backend!(conn, |conn| surplus.load(conn))?;
    let parent = credential.parent.as_ref().map(CredentialId::as_str);
    if let Conn::Postgres(session) = conn {
        let ids: Vec<String> = surplus.iter().cloned().chain(parent.map(str::to_owned)).collect();
        if !ids.is_empty() {
            lock_in_order(session, &ids)?;
        }
    }
    if let Some(parent) = parent {
        let row = credentials::table.find(parent).select(credentials::id);
        let row: Option<String> = row.first(conn).optional()?;
        row.ok_or(StoreError::NotFound("credential"))?;
    }
    if !surplus.is_empty() {
        let surplus = credentials::table.filter(credentials::id.eq_any(&surplus));
        on_backend!(conn, |conn| diesel::delete(surplus).execute(conn))?;
    }
    insert(conn, credential)
}

fn insert(conn: &mut Conn, credential: &IssuedCredential) -> Result<(), StoreError> {
    let row = CredentialRow {
        id: credential.id.as_str().to_owned(),
        kind: credential.kind.name().to_owned(),
        digest: credential.digest.as_bytes().to_vec(),
        tenant: credential.tenant.as_str().to_owned(),
        login: credential.login.as_str().to_owned(),
        user_version: credential.user_version,
        created: credential.created,
        expires: credential.expires,
        parent: credential.parent.as_ref().map(|id| id.as_str().to_owned()),
        application: credential.application.as_ref().map(|name| name.as_str().to_owned()),
    };
    diesel::insert_into(credentials::table).values(row).execute(conn)?;
    Ok(())
}

/// Returns the credential of this id, expired or not, and its user.
pub(crate) fn find(
    conn: &mut Conn,
    id: &CredentialId,
) -> Result<Option<FoundCredential>, StoreError> {
    let found = credentials::table
        .inner_join(users::table.on(is_of_user()))
        .filter(credentials::id.eq(id.as_str()));
    let row: Option<(CredentialRow, UserRow)> = on_backend!(conn, |conn| found
        .select((CredentialRow::as_select(), UserRow::as_select()))
        .first(conn))
    .optional()?;
    Ok(row.and_then(FoundCredential::of_rows))
}

/// Counts the credentials that have not expired, by kind.
pub(crate) fn count_all(
    conn: &mut Conn,
    now: i64,
) -> Result<Vec<(CredentialKind, u64)>, StoreError> {
    let counts = credentials::table
        .filter(credentials::expires.gt(now))
        .group_by(credentials::kind)
        .select((credentials::kind, dsl::count_star()));
    let rows: Vec<(String, i64)> = on_backend!(conn, |conn| counts.load(conn))?;
    let known = |(kind, count): (String, i64)| {
        Some((CredentialKind::of_name(&kind)?, count.unsigned_abs()))
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// Finds many credentials at once.
pub(crate) fn find_all(
    conn: &mut Conn,
    ids: &[CredentialId],
) -> Result<HashMap<CredentialId, FoundCredential>, StoreError> {
    let ids: Vec<&str> = ids.iter().map(CredentialId::as_str).collect();
    let found = credentials::table
        .inner_join(users::table.on(is_of_user()))
        .filter(credentials::id.eq_any(ids));
    let rows: Vec<(CredentialRow, UserRow)> = on_backend!(conn, |conn| found
        .select((CredentialRow::as_select(), UserRow::as_select()))
        .load(conn))?;
    let found = rows.into_iter().filter_map(FoundCredential::of_rows);
    Ok(found.map(|found| (found.credential.id.clone(), found)).collect())
}

/// Returns the ids of credentials whose rows are unreadable.
pub(crate) fn unreadable(conn: &mut Conn) -> QueryResult<Vec<String>> {
    let (mut found, mut last) = (Vec::new(), String::new());
    loop {
        let page = credentials::table.filter(credentials::id.gt(&last)).order(credentials::id);
        let page = page.limit(PAGE).select(CredentialRow::as_select());
        let rows: Vec<CredentialRow> = page.load(conn)?;
        let Some(end) = rows.last() else { return Ok(found) };
        last.clone_from(&end.id);
        found.extend(rows.into_iter().filter(|row| row.read().is_none()).map(|row| row.id));
    }
}

/// Extends a living credential to `expires`. Never shortens its life.
pub(crate) fn renew(
    conn: &mut Conn,
    now: i64,
    id: &CredentialId,
    expires: i64,
) -> Result<(), StoreError> {
    diesel::update(credentials::table.find(id.as_str()))
        .filter(credentials::expires.gt(now))
        .filter(credentials::expires.lt(expires))
        .set(credentials::expires.eq(expires))
        .execute(conn)?;
    Ok(())
}

/// Returns at most `limit` living credentials of a kind, newest first: of a user, of a tenant, or of all.
pub(crate) fn list(
    conn: &mut Conn,
    now: i64,
    kind: CredentialKind,
    tenant: Option<&TenantId>,
    login: Option<&Login>,
    limit: i64,
) -> Result<Vec<IssuedCredential>, StoreError> {
    let mut query = credentials::table
        .inner_join(users::table.on(is_of_user()))
        .filter(credentials::kind.eq(kind.name()))
        .filter(credentials::expires.gt(now))
        .filter(credentials::user_version.eq(users::version))
        .select((CredentialRow::as_select(), users::tenant_name))
        .order(credentials::created.desc())
        .limit(limit)
        .into_boxed();
    if let Some(tenant) = tenant {
        query = query.filter(credentials::tenant.eq(tenant.as_str()));
    }
    if let Some(login) = login {
        query = query.filter(credentials::login.eq(login.as_str()));
    }
    let rows: Vec<(CredentialRow, Option<String>)> = query.load(conn)?;
    let credential = |(row, name): (CredentialRow, Option<String>)| {
        let credential = row.into_credential()?;
        let tenant = users_table::tenant(credential.tenant.as_str(), name.as_deref())?;
        Some(IssuedCredential { tenant, ..credential })
    };
    Ok(rows.into_iter().filter_map(credential).collect())
}

/// Returns some credentials of a user after this id, valid or not, without their digests.
pub(crate) fn of_user(
    conn: &mut Conn,
    tenant: &TenantId,
    login: &Login,
    after: &str,
) -> Result<Vec<IssuedCredential>, StoreError> {
    let rows: Vec<CredentialRow> = credentials::table
        .filter(credentials::tenant.eq(tenant.as_str()))
        .filter(credentials::login.eq(login.as_str()))
        .filter(credentials::id.gt(after))
        .order(credentials::id)
        .limit(BATCH)
        .select(CredentialRow::as_select())
        .load(conn)?;
    Ok(rows.iter().filter_map(CredentialRow::read).collect())
}

/// Removes at most `BATCH` credentials of a user, whose row the caller has locked. Returns whether none is left.
pub(crate) fn remove_some(
    conn: &mut Conn,
    tenant: &TenantId,
    login: &Login,
) -> Result<bool, StoreError> {
    let some = credentials::table
        .filter(credentials::tenant.eq(tenant.as_str()))
        .filter(credentials::login.eq(login.as_str()))
        .order(credentials::id)
        .limit(BATCH)
        .select(credentials::id);
    let some: Vec<String> = some.load(conn)?;
    if let Conn::Postgres(session) = conn {
        lock_in_order(session, &some)?;
    }
    let rows = credentials::table.filter(credentials::id.eq_any(&some));
    on_backend!(conn, |conn| diesel::delete(rows).execute(conn))?;
    Ok(some.len() < BATCH as usize)
}

/// Ends a credential of a kind and everything derived from it. With `owner`, only if it belongs to that user. Returns
/// false if only a batch of the derived ones ended; call it again then.
///
/// # Errors
/// `NotFound`: there is none.
pub(crate) fn revoke(
    conn: &mut Conn,
    kind: CredentialKind,
    id: &CredentialId,
    owner: Option<(&TenantId, &Login)>,
) -> Result<bool, StoreError> {
    let found = credentials::table
        .find(id.as_str())
        .filter(credentials::kind.eq(kind.name()))
        .select((credentials::tenant, credentials::login));
    let found: Option<(String, String)> = found.first(conn).optional()?;
    let is_meant = |(tenant, login): &(String, String)| {
        owner.is_none_or(|owner| owner.0.as_str() == tenant && owner.1.as_str() == login)
    };
    let (tenant, login) = found.filter(is_meant).ok_or(StoreError::NotFound(kind.name()))?;
    if let Conn::Postgres(session) = conn {
        // Concurrent calls that add a credential of the user wait here, so that none is derived from this one
        // meanwhile.
        users_table::lock(session, &tenant, &login)?;
    }
    let children = credentials::table
        .filter(credentials::parent.eq(id.as_str()))
        .order(credentials::id)
        .limit(BATCH)
        .select(credentials::id);
    let mut ended: Vec<String> = children.load(conn)?;
    let is_whole = ended.len() < BATCH as usize;
    if is_whole {
        ended.push(id.as_str().to_owned());
    }
    if let Conn::Postgres(session) = conn {
        lock_in_order(session, &ended)?;
    }
    let ended = credentials::table.filter(credentials::id.eq_any(&ended));
    on_backend!(conn, |conn| diesel::delete(ended).execute(conn))?;
    Ok(is_whole)
}
