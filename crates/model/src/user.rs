//! A user of this server, as the store keeps one.
//!
//! Invariant: the password itself is nowhere in it.

use crate::{Login, SecretText, TenantId};

/// A password's hash in PHC string format, such as `$argon2id$v=19$…`.
#[derive(Clone, Debug)]
pub struct PasswordHash(SecretText);

impl PasswordHash {
    /// Takes a PHC string that was made or stored by this server.
    pub fn from_phc(phc: String) -> Self {
        Self(phc.into())
    }

    /// The PHC string, to verify against or to store.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Somebody who may sign in with a password.
#[derive(Clone, Debug)]
pub struct User {
    /// The tenant the user belongs to.
    pub tenant: TenantId,
    /// The name at sign-in, unique within the tenant.
    pub login: Login,
    /// What a password is verified against.
    pub password_hash: PasswordHash,
    /// Whether the user has every right within the tenant.
    pub is_administrator: bool,
    /// Whether the user is shut out for now.
    pub is_disabled: bool,
    /// Grows with every change of password or access: what was granted for an earlier version
    /// is worth nothing. A password that is only hashed anew is no change.
    pub version: i64,
}
