//! The caller: tenant, login and role.
//!
//! Invariant: every `Principal` is made from verified credentials.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use unicode_normalization::UnicodeNormalization as _;

/// The text is not a valid tenant name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tenant has 1 to 64 letters, digits, `-` and `_`")]
pub struct InvalidTenant;

/// A customer whose records are separate from all others', such as `Cust12345`. It is stored and compared in lower
/// case, and displayed as it was given.
#[derive(Clone, Debug)]
pub struct TenantId {
    stored: String,
    name: String,
}

impl TenantId {
    /// Returns the tenant of an installation that has only one.
    pub fn single() -> Self {
        Self { stored: "default".to_owned(), name: "default".to_owned() }
    }

    /// Returns the single tenant, displayed by the name of another.
    pub fn single_named(name: &Self) -> Self {
        Self { name: name.name.clone(), ..Self::single() }
    }

    /// Parses a tenant's name: 1–64 ASCII letters, digits, `-` and `_`.
    pub fn parse(raw: &str) -> Result<Self, InvalidTenant> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (1..=64).contains(&raw.len()) && raw.bytes().all(is_plain) {
            Ok(Self { stored: raw.to_ascii_lowercase(), name: raw.to_owned() })
        } else {
            Err(InvalidTenant)
        }
    }

    /// Returns the name as the database stores it, in lower case.
    pub fn as_str(&self) -> &str {
        &self.stored
    }

    /// Returns whether this name equals the other's displayed name, ignoring case.
    pub fn is_named_as(&self, other: &Self) -> bool {
        self.stored.eq_ignore_ascii_case(&other.name)
    }

    /// Returns the displayed name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl PartialEq for TenantId {
    fn eq(&self, other: &Self) -> bool {
        self.stored == other.stored
    }
}

impl Eq for TenantId {}

impl Hash for TenantId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.stored.hash(state);
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The text is not a valid login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a login has 1 to 255 characters, none of them a colon or a control character")]
pub struct InvalidLogin;

/// A user's name at sign-in, in Unicode's form NFC, so that names that look the same are the same. It has no colon, so
/// that RFC 7617 can carry it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Login(String);

impl Login {
    /// Parses a login in any form of Unicode: 1–255 characters without colons or control characters.
    pub fn parse(raw: &str) -> Result<Self, InvalidLogin> {
        let login: String = if raw.is_ascii() { raw.to_owned() } else { raw.nfc().collect() };
        let length = login.chars().count();
        let forbidden = |character: char| character == ':' || character.is_control();
        if (1..=255).contains(&length) && !login.contains(forbidden) {
            Ok(Self(login))
        } else {
            Err(InvalidLogin)
        }
    }

    /// Returns the name as the database stores it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The tenant that the call acts for.
    pub tenant: TenantId,
    /// The caller's login, which owns everything that the caller saves.
    pub login: Login,
    /// Whether the caller has every right within the tenant.
    pub is_administrator: bool,
}

impl Principal {
    /// Returns whether the caller may list, describe by id, replace and revoke this owner's records
    /// (CONTRACT 38, 39).
    pub fn may_manage(&self, owner: &Login) -> bool {
        self.is_administrator || self.login == *owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONTRACT 1: a path names a tenant in any case.
    #[test]
    fn a_tenants_name_has_no_case() {
        assert_eq!(TenantId::parse("Cust12345"), TenantId::parse("CUST12345"));
        assert_eq!(TenantId::parse("Default"), Ok(TenantId::single()));
        let given = TenantId::parse("Cust12345").expect("a tenant");
        assert_eq!((given.as_str(), given.name()), ("cust12345", "Cust12345"));
        let named = TenantId::single_named(&given);
        assert_eq!((named.as_str(), named.to_string().as_str()), ("default", "Cust12345"));
        assert_eq!(named, TenantId::single());
        assert!(given.is_named_as(&named) && !TenantId::single().is_named_as(&named));
        for bad in ["", "a/b", "a b", "å", "..", "a%20", &"x".repeat(65)] {
            assert_eq!(TenantId::parse(bad), Err(InvalidTenant), "{bad}");
        }
    }

    /// CONTRACT 26: as RFC 8265 requires.
    #[test]
    fn a_login_is_the_same_in_every_form() {
        let composed = Login::parse("Åse").expect("login");
        assert_eq!(Login::parse("A\u{30a}se"), Ok(composed.clone()));
        assert_eq!(Login::parse("\u{212b}se"), Ok(composed));
        assert!(Login::parse(&"a\u{30a}".repeat(255)).is_ok());
    }

    #[test]
    fn logins_that_rfc_7617_cannot_carry_are_refused() {
        for good in ["tje0", "Åse Ødegård", "a@b.example", &"x".repeat(255)] {
            assert!(Login::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a:b", "7T:abc", "a\nb", "\u{7f}", &"x".repeat(256)] {
            assert!(Login::parse(bad).is_err(), "{bad:?}");
        }
    }
}
