//! Credentials that the server itself issues: tickets, sessions and access tokens.
//!
//! Invariant: what is here is what a database may hold. The secret that completes a credential is not
//! part of it, only its digest.

use std::fmt;

use crate::{ApplicationName, Login, TenantId};

/// What a credential is good for.
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
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Ticket, Self::Session, Self::AccessToken];

    /// The name as the database stores it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Session => "session",
            Self::AccessToken => "access_token",
        }
    }

    /// The kind of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The text is no id of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id of a credential has 32 hexadecimal digits")]
pub struct InvalidCredentialId;

/// What a credential is found by: 128 bits in hexadecimal. It is no secret, and lets nobody in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialId(String);

impl CredentialId {
    /// Reads an id of 32 hexadecimal digits, in any case.
    ///
    /// # Errors
    /// It is of another shape.
    pub fn parse(raw: &str) -> Result<Self, InvalidCredentialId> {
        if raw.len() == 32 && raw.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(raw.to_ascii_lowercase()))
        } else {
            Err(InvalidCredentialId)
        }
    }

    /// The id as the database stores it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A SHA-256 over a secret of at least 128 random bits; nobody gets the secret out of it.
#[derive(Clone)]
pub struct SecretDigest(Vec<u8>);

impl SecretDigest {
    /// Takes a digest that was computed or stored by this server.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The digest's bytes, to compare in constant time or to store.
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
    /// What it is good for.
    pub kind: CredentialKind,
    /// What it is found by.
    pub id: CredentialId,
    /// What its secret is verified against.
    pub digest: SecretDigest,
    /// The tenant of its user.
    pub tenant: TenantId,
    /// Who it stands for.
    pub login: Login,
    /// The version of the user at the time; once the user changes, the credential is worth nothing.
    pub user_version: i64,
    /// When it was issued.
    pub created: i64,
    /// From when on it is worth nothing.
    pub expires: i64,
    /// The credential that it was made from; revoking that one revokes it.
    pub parent: Option<CredentialId>,
    /// The application that it was made for; it is good for that one alone.
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
