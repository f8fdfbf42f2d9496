//! The credentials table: tickets, sessions, access tokens.
//!
//! Invariant: a credential that expired or was revoked never comes back. Expired rows are removed
//! whenever one is added.

use diesel::prelude::*;
use model::{CredentialId, CredentialKind, IssuedCredential, Login, SecretDigest, TenantId, User};

use crate::{
    StoreError,
    conn::Conn,
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

#[derive(Insertable, Queryable, Selectable)]
#[diesel(table_name = credentials)]
struct CredentialRow {
    id: String,
    kind: String,
    digest: Vec<u8>,
    tenant: String,
    login: String,
    user_version: i64,
    created: i64,
    expires: i64,
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
        })
    }
}

/// Adds a credential, and removes those that expired.
pub(crate) fn insert(conn: &mut Conn, credential: &IssuedCredential) -> Result<(), StoreError> {
    diesel::delete(credentials::table.filter(credentials::expires.le(ids::now()))).execute(conn)?;
    let row = CredentialRow {
        id: credential.id.as_str().to_owned(),
        kind: credential.kind.name().to_owned(),
        digest: credential.digest.as_bytes().to_vec(),
        tenant: credential.tenant.as_str().to_owned(),
        login: credential.login.as_str().to_owned(),
        user_version: credential.user_version,
        created: credential.created,
        expires: credential.expires,
    };
    diesel::insert_into(credentials::table).values(row).execute(conn)?;
    Ok(())
}

/// The credential of this id, expired or not, and its user.
pub(crate) fn find(
    conn: &mut Conn,
    id: &CredentialId,
) -> Result<Option<FoundCredential>, StoreError> {
    let user_of_credential =
        users::tenant.eq(credentials::tenant).and(users::login.eq(credentials::login));
    let row: Option<(CredentialRow, UserRow)> = credentials::table
        .inner_join(users::table.on(user_of_credential))
        .filter(credentials::id.eq(id.as_str()))
        .select((CredentialRow::as_select(), UserRow::as_select()))
        .first(conn)
        .optional()?;
    Ok(row.and_then(|(credential, user)| {
        Some(FoundCredential { credential: credential.into_credential()?, user: user.into_user()? })
    }))
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

/// What of a kind lives, of a user, of a tenant or of all; the newest first.
pub(crate) fn list(
    conn: &mut Conn,
    kind: CredentialKind,
    tenant: Option<&TenantId>,
    login: Option<&Login>,
) -> Result<Vec<IssuedCredential>, StoreError> {
    let user_of_credential =
        users::tenant.eq(credentials::tenant).and(users::login.eq(credentials::login));
    let mut query = credentials::table
        .inner_join(users::table.on(user_of_credential))
        .filter(credentials::kind.eq(kind.name()))
        .filter(credentials::expires.gt(ids::now()))
        .filter(credentials::user_version.eq(users::version))
        .select(CredentialRow::as_select())
        .order(credentials::created.desc())
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

/// Ends a credential of a tenant's user, or of any; `NotFound` if there is none.
pub(crate) fn revoke(
    conn: &mut Conn,
    id: &CredentialId,
    owner: Option<(&TenantId, &Login)>,
) -> Result<(), StoreError> {
    let mut query = diesel::delete(credentials::table.find(id.as_str())).into_boxed();
    if let Some((tenant, login)) = owner {
        query = query
            .filter(credentials::tenant.eq(tenant.as_str()))
            .filter(credentials::login.eq(login.as_str()));
    }
    match query.execute(conn)? {
        0 => Err(StoreError::NotFound("credential")),
        _ => Ok(()),
    }
}
