//! A user of this server, as the store keeps one.
//!
//! Invariant: no field contains the password itself.

use crate::{Login, SecretText, TenantId};

/// A password's hash in PHC string format, such as `$argon2id$v=19$…`.
#[derive(Clone, Debug)]
pub struct PasswordHash(SecretText);

impl PasswordHash {
    /// Wraps a PHC string that this server made or stored.
    pub fn from_phc(phc: String) -> Self {
        Self(phc.into())
    }

    /// Returns the PHC string, to verify against or to store.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A user who may sign in with a password.
#[derive(Clone, Debug)]
pub struct User {
    /// The tenant the user belongs to.
    pub tenant: TenantId,
    /// The name at sign-in, unique within the tenant.
    pub login: Login,
    /// The hash that verifies a password.
    pub password_hash: PasswordHash,
    /// Whether the user has every right within the tenant.
    pub is_administrator: bool,
    /// Whether the user is disabled.
    pub is_disabled: bool,
    /// Grows with every change of password or access, which makes all credentials of earlier versions invalid.
    /// Rehashing the same password does not change it.
    pub version: i64,
}
