//! The credentials table: tickets, sessions, access tokens.
//!
//! Invariant: a credential that expired or was revoked never comes back. Expired rows are removed
//! by the sweeper, and whenever one of them is shown to the server.

use std::collections::HashMap;

use diesel::prelude::*;
use model::{
    ApplicationName, CredentialId, CredentialKind, IssuedCredential, Login, SecretDigest, TenantId,
    User,
};

use crate::{
    StoreError,
    conn::{Conn, on_backend},
    ids,
    schema::{credentials, users},
    users::UserRow,
};

/// A credential with its user, disabled or not.
#[derive(Clone, Debug)]
pub struct FoundCredential {
    /// What was issued.
    pub credential: IssuedCredential,
    /// Who it stands for, as of now.
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
    /// `None` for a row that this server did not write.
    fn into_credential(self) -> Option<IssuedCredential> {
        Some(IssuedCredential {
            kind: CredentialKind::of_name(&self.kind)?,
            id: CredentialId::parse(&self.id).ok()?,
            digest: SecretDigest::new(self.digest),
            tenant: TenantId::parse(&self.tenant).ok()?,
            login: Login::parse(&self.login).ok()?,
            user_version: self.user_version,
            created: self.created,
            expires: self.expires,
            parent: self.parent.map(|id| CredentialId::parse(&id)).transpose().ok()?,
            application: self
                .application
                .map(|name| ApplicationName::parse(&name))
                .transpose()
                .ok()?,
        })
    }
}

impl FoundCredential {
    fn of_rows((credential, user): (CredentialRow, UserRow)) -> Option<Self> {
        Some(Self { credential: credential.into_credential()?, user: user.into_user()? })
    }
}

/// What ties a credential to its user.
#[diesel::dsl::auto_type]
fn is_of_user() -> _ {
    users::tenant.eq(credentials::tenant).and(users::login.eq(credentials::login))
}

/// Removes what expired.
pub(crate) fn remove_expired(conn: &mut Conn) -> Result<(), StoreError> {
    let expired = credentials::table.filter(credentials::expires.le(ids::now()));
    if let Conn::Postgres(session) = conn {
        let in_order = expired.order(credentials::id).select(credentials::id).for_update();
        in_order.load::<String>(session)?;
    }
    diesel::delete(expired).execute(conn)?;
    Ok(())
}

/// Adds a credential.
pub(crate) fn insert(conn: &mut Conn, credential: &IssuedCredential) -> Result<(), StoreError> {
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

/// The credential of this id, expired or not, and its user.
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

/// As `find`, for many at once.
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

/// Lets a credential live until `expires`, if it still lives and would not live longer anyway.
pub(crate) fn renew(conn: &mut Conn, id: &CredentialId, expires: i64) -> Result<(), StoreError> {
    diesel::update(credentials::table.find(id.as_str()))
        .filter(credentials::expires.gt(ids::now()))
        .filter(credentials::expires.lt(expires))
        .set(credentials::expires.eq(expires))
        .execute(conn)?;
    Ok(())
}

/// What of a kind lives, of a user, of a tenant or of all; the newest first, `limit` at most.
pub(crate) fn list(
    conn: &mut Conn,
    kind: CredentialKind,
    tenant: Option<&TenantId>,
    login: Option<&Login>,
    limit: i64,
) -> Result<Vec<IssuedCredential>, StoreError> {
    let mut query = credentials::table
        .inner_join(users::table.on(is_of_user()))
        .filter(credentials::kind.eq(kind.name()))
        .filter(credentials::expires.gt(ids::now()))
        .filter(credentials::user_version.eq(users::version))
        .select(CredentialRow::as_select())
        .order(credentials::created.desc())
        .limit(limit)
        .into_boxed();
    if let Some(tenant) = tenant {
        query = query.filter(credentials::tenant.eq(tenant.as_str()));
    }
    if let Some(login) = login {
        query = query.filter(credentials::login.eq(login.as_str()));
    }
    let rows: Vec<CredentialRow> = query.load(conn)?;
    Ok(rows.into_iter().filter_map(CredentialRow::into_credential).collect())
}

/// Ends a credential of a kind, of a tenant's user or of any, and what was made from it; `NotFound` if
/// there is none.
pub(crate) fn revoke(
    conn: &mut Conn,
    kind: CredentialKind,
    id: &CredentialId,
    owner: Option<(&TenantId, &Login)>,
) -> Result<(), StoreError> {
    let of_kind = credentials::table.find(id.as_str()).filter(credentials::kind.eq(kind.name()));
    let mut query = diesel::delete(of_kind).into_boxed();
    if let Some((tenant, login)) = owner {
        query = query
            .filter(credentials::tenant.eq(tenant.as_str()))
            .filter(credentials::login.eq(login.as_str()));
    }
    if query.execute(conn)? == 0 {
        return Err(StoreError::NotFound(kind.name()));
    }
    let children = credentials::table.filter(credentials::parent.eq(id.as_str()));
    diesel::delete(children).execute(conn)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Database, lock, migrate, users};
    use model::PasswordHash;

    const HOUR: i64 = 3_600_000_000;

    fn user(login: &str) -> User {
        User {
            tenant: TenantId::single(),
            login: Login::parse(login).expect("login"),
            password_hash: PasswordHash::from_phc("h".to_owned()),
            is_administrator: false,
            is_disabled: false,
            version: 1,
        }
    }

    fn ticket(number: u8, expires: i64) -> IssuedCredential {
        let User { tenant, login, version, .. } = user("ann");
        IssuedCredential {
            kind: CredentialKind::Ticket,
            id: CredentialId::parse(&format!("{number:032x}")).expect("id"),
            digest: SecretDigest::new(vec![number; 32]),
            tenant,
            login,
            user_version: version,
            created: 1,
            expires,
            parent: None,
            application: None,
        }
    }

    /// A database with the users `ann` and `bob`.
    fn database() -> (Conn, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("folder");
        let database = Database::Sqlite(folder.path().join("test.db"));
        let (database, _lock) = lock::take(&database).expect("lock");
        let mut conn = Conn::writing(&database).expect("connect");
        migrate::run(&mut conn).expect("migrate");
        for login in ["ann", "bob"] {
            users::insert(&mut conn, &user(login)).expect("user");
        }
        (conn, folder)
    }

    fn expiry(conn: &mut Conn, ticket: &IssuedCredential) -> Option<i64> {
        find(conn, &ticket.id).expect("read").map(|found| found.credential.expires)
    }

    /// CONTRACT 27: an expired ticket never comes back, and none is cut short.
    #[test]
    fn only_what_lives_is_renewed_and_only_to_live_longer() {
        let (mut conn, _folder) = database();
        let now = ids::now();
        let (dead, living) = (ticket(1, now - 1), ticket(2, now + HOUR));
        insert(&mut conn, &living).expect("insert");
        insert(&mut conn, &dead).expect("insert");
        for ticket in [&dead, &living] {
            renew(&mut conn, &ticket.id, now + 2 * HOUR).expect("renew");
        }
        assert_eq!(expiry(&mut conn, &dead), Some(now - 1));
        assert_eq!(expiry(&mut conn, &living), Some(now + 2 * HOUR));
        renew(&mut conn, &living.id, now + HOUR).expect("renew");
        assert_eq!(expiry(&mut conn, &living), Some(now + 2 * HOUR));

        remove_expired(&mut conn).expect("removed");
        assert_eq!(expiry(&mut conn, &dead), None);
        assert_eq!(expiry(&mut conn, &living), Some(now + 2 * HOUR));
    }

    /// CONTRACT 27: only one's own, only of the kind, and with it what was made from it.
    #[test]
    fn a_credential_is_revoked_with_its_children() {
        let (mut conn, _folder) = database();
        let (parent, other) = (ticket(1, i64::MAX), ticket(2, i64::MAX));
        let child = IssuedCredential {
            kind: CredentialKind::AccessToken,
            parent: Some(parent.id.clone()),
            ..ticket(3, i64::MAX)
        };
        for credential in [&parent, &other, &child] {
            insert(&mut conn, credential).expect("insert");
        }
        let (tenant, bob, ann) = (TenantId::single(), user("bob").login, user("ann").login);
        let elsewhere = TenantId::parse("cust1").expect("tenant");
        for (kind, owner) in [
            (CredentialKind::Ticket, Some((&tenant, &bob))),
            (CredentialKind::Ticket, Some((&elsewhere, &ann))),
            (CredentialKind::Session, None),
        ] {
            let refused = revoke(&mut conn, kind, &parent.id, owner);
            assert!(matches!(refused, Err(StoreError::NotFound(_))), "{kind:?} {owner:?}");
        }
        revoke(&mut conn, CredentialKind::Ticket, &parent.id, Some((&tenant, &ann))).expect("own");
        assert!(expiry(&mut conn, &parent).is_none() && expiry(&mut conn, &child).is_none());
        assert!(expiry(&mut conn, &other).is_some());
    }

    /// CONTRACT 27: what is listed is what works, the newest first.
    #[test]
    fn only_what_works_is_listed() {
        let (mut conn, _folder) = database();
        let newer = IssuedCredential { created: 2, ..ticket(2, i64::MAX) };
        let former = IssuedCredential { user_version: 0, ..ticket(3, i64::MAX) };
        for credential in [&ticket(1, i64::MAX), &newer, &former, &ticket(4, 1)] {
            insert(&mut conn, credential).expect("insert");
        }
        let mut list = |login: &str, limit| {
            let login = user(login).login;
            let found = list(&mut conn, CredentialKind::Ticket, None, Some(&login), limit);
            let created = found.expect("list").into_iter().map(|credential| credential.created);
            created.collect::<Vec<_>>()
        };
        assert_eq!(list("ann", 10), [2, 1]);
        assert_eq!(list("ann", 1), [2]);
        assert_eq!(list("bob", 10), [0; 0]);
    }

    /// CONTRACT 26: a password that was changed meanwhile is not undone by hashing the former one anew.
    #[test]
    fn a_changed_password_is_not_hashed_back() {
        let (mut conn, _folder) = database();
        let before = user("ann");
        let new = PasswordHash::from_phc("new".to_owned());
        users::set_password(&mut conn, &before.tenant, &before.login, &new).expect("changed");
        let old = PasswordHash::from_phc("old, anew".to_owned());
        users::rehash(&mut conn, &before, &old).expect("rehash");
        let found = users::find(&mut conn, &before.tenant, &before.login).expect("read");
        let found = found.expect("ann");
        assert_eq!((found.password_hash.expose(), found.version), ("new", 2));
        users::rehash(&mut conn, &found, &old).expect("rehash");
        let found = users::find(&mut conn, &before.tenant, &before.login).expect("read");
        assert_eq!(
            found.map(|user| user.password_hash.expose().to_owned()).as_deref(),
            Some("old, anew")
        );
    }
}
