//! Credentials that the server itself issues: tickets, sessions and access tokens.
//!
//! Invariant: everything here may be stored in a database. A credential's secret is not part of it, only the secret's
//! digest.

use std::fmt;

use crate::{ApplicationName, Login, TenantId};

/// The kind of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A SoTicket (CONTRACT 27).
    Ticket,
    /// A browser's session (CONTRACT 29).
    Session,
    /// An opaque token for the Bearer scheme (CONTRACT 28).
    AccessToken,
}

impl CredentialKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Ticket, Self::Session, Self::AccessToken];

    /// Returns the name as the database stores it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Session => "session",
            Self::AccessToken => "access_token",
        }
    }

    /// Returns the kind of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The text is not a valid credential id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id of a credential has 32 hexadecimal digits")]
pub struct InvalidCredentialId;

/// The id of a credential: 128 bits in hexadecimal. It is not secret, and does not authenticate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialId(String);

impl CredentialId {
    /// Parses an id of 32 hexadecimal digits, in any case.
    ///
    /// # Errors
    /// The text has another form.
    pub fn parse(raw: &str) -> Result<Self, InvalidCredentialId> {
        if raw.len() == 32 && raw.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(raw.to_ascii_lowercase()))
        } else {
            Err(InvalidCredentialId)
        }
    }

    /// Returns the id as the database stores it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256 over a secret of at least 128 random bits, from which the secret cannot be recovered.
#[derive(Clone)]
pub struct SecretDigest(Vec<u8>);

impl SecretDigest {
    /// Wraps a digest that this server computed or stored.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the digest's bytes, to compare in constant time or to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

/// A credential as the store keeps it. Times are microseconds since 1970-01-01 UTC.
#[derive(Clone, Debug)]
pub struct IssuedCredential {
    /// The kind.
    pub kind: CredentialKind,
    /// The id.
    pub id: CredentialId,
    /// The digest that verifies its secret.
    pub digest: SecretDigest,
    /// The tenant of its user.
    pub tenant: TenantId,
    /// The user's login.
    pub login: Login,
    /// The user's version at the time of issue. When the user changes, the credential becomes invalid.
    pub user_version: i64,
    /// Time of issue.
    pub created: i64,
    /// Time of expiry.
    pub expires: i64,
    /// The credential that it was made from; revoking that one revokes it.
    pub parent: Option<CredentialId>,
    /// The application that it was made for, which alone may use it.
    pub application: Option<ApplicationName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal_and_have_no_case() {
        let lower = "0123456789abcdef0123456789abcdef";
        let upper = CredentialId::parse(&lower.to_ascii_uppercase());
        assert_eq!(upper.map(|id| id.to_string()), Ok(lower.to_owned()));
        for bad in ["", &lower[1..], &format!("{lower}0"), &lower.replace('0', "g")] {
            assert_eq!(CredentialId::parse(bad), Err(InvalidCredentialId), "{bad}");
        }
    }

    #[test]
    fn kinds_have_names() {
        for kind in CredentialKind::ALL {
            assert_eq!(CredentialKind::of_name(kind.name()), Some(kind));
        }
        assert_eq!(CredentialKind::of_name("other"), None);
    }
}
