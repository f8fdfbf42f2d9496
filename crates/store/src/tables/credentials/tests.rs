//! Credentials, on a database of their own for each test.

use super::*;
use crate::{
    Database,
    backend::{migrate, sqlite::instance_lock},
    tables::users,
};
use model::PasswordHash;

/// In 2027.
const NOW: i64 = 1_800_000_000_000_000;
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
    let (database, _lock) = instance_lock::take(&database).expect("lock");
    let mut conn = Conn::writing(&database).expect("connect");
    migrate::run(&mut conn).expect("migrate");
    for login in ["ann", "bob"] {
        users::insert(&mut conn, NOW, &user(login)).expect("user");
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
    let now = NOW;
    let (dead, living) = (ticket(1, now - 1), ticket(2, now + HOUR));
    insert(&mut conn, &living).expect("insert");
    insert(&mut conn, &dead).expect("insert");
    for ticket in [&dead, &living] {
        renew(&mut conn, now, &ticket.id, now + 2 * HOUR).expect("renew");
    }
    assert_eq!(expiry(&mut conn, &dead), Some(now - 1));
    assert_eq!(expiry(&mut conn, &living), Some(now + 2 * HOUR));
    renew(&mut conn, now, &living.id, now + HOUR).expect("renew");
    assert_eq!(expiry(&mut conn, &living), Some(now + 2 * HOUR));

    let ids = expired(&mut conn, now).expect("read");
    assert_eq!(ids, [dead.id.as_str()]);
    remove_expired(&mut conn, now, &[ids, vec![living.id.to_string()]].concat()).expect("removed");
    assert_eq!(expiry(&mut conn, &dead), None);
    assert_eq!(expiry(&mut conn, &living), Some(now + 2 * HOUR));
}

/// CONTRACT 27: only one's own, only of the kind, and with it the credentials made from it.
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
    let own = revoke(&mut conn, CredentialKind::Ticket, &parent.id, Some((&tenant, &ann)));
    assert!(own.expect("own"), "nothing is left");
    assert!(expiry(&mut conn, &parent).is_none() && expiry(&mut conn, &child).is_none());
    assert!(expiry(&mut conn, &other).is_some());
}

/// CONTRACT 27: the list has exactly the working ones, newest first.
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
        let found = list(&mut conn, NOW, CredentialKind::Ticket, None, Some(&login), limit);
        let created = found.expect("list").into_iter().map(|credential| credential.created);
        created.collect::<Vec<_>>()
    };
    assert_eq!(list("ann", 10), [2, 1]);
    assert_eq!(list("ann", 1), [2]);
    assert_eq!(list("bob", 10), [0; 0]);
}

/// CONTRACT 26: rehashing the former password does not undo a password change made meanwhile.
#[test]
fn a_changed_password_is_not_hashed_back() {
    let (mut conn, _folder) = database();
    let before = user("ann");
    let new = PasswordHash::from_phc("new".to_owned());
    users::set_password(&mut conn, NOW, &before.tenant, &before.login, &new).expect("changed");
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
