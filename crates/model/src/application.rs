//! Partner applications (CONTRACT 30).
//!
//! Invariant: no field contains the application's token.

use std::fmt;

use crate::TenantId;

/// The text is not a valid application name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an application's name has 1 to 64 letters, digits, `-`, `_` and `.`")]
pub struct InvalidApplicationName;

/// The name of a partner application, such as `crm-sync`. Case is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationName(String);

impl ApplicationName {
    /// Parses a name: 1–64 ASCII letters, digits, `-`, `_` and `.`.
    ///
    /// # Errors
    /// The name has other characters, none, or too many.
    pub fn parse(raw: &str) -> Result<Self, InvalidApplicationName> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if (1..=64).contains(&raw.len()) && raw.bytes().all(is_plain) {
            Ok(Self(raw.to_ascii_lowercase()))
        } else {
            Err(InvalidApplicationName)
        }
    }

    /// Returns the name as the database stores it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApplicationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A registered partner application.
#[derive(Clone, Debug)]
pub struct Application {
    /// The name that people use.
    pub name: ApplicationName,
    /// The tenants that it is allowed for; `None` for all.
    pub tenants: Option<Vec<TenantId>>,
    /// Whether it is disabled.
    pub is_disabled: bool,
}

impl Application {
    /// Returns whether it may act for the tenant.
    pub fn is_allowed_for(&self, tenant: &TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONTRACT 30.
    #[test]
    fn an_application_is_allowed_for_its_tenants() {
        let tenant = |name| TenantId::parse(name).expect(name);
        let name = ApplicationName::parse("CRM-sync_1.0").expect("name");
        assert_eq!(name.as_str(), "crm-sync_1.0");
        let mut application =
            Application { name, tenants: Some(vec![tenant("Cust1")]), is_disabled: false };
        assert!(application.is_allowed_for(&tenant("cust1")));
        assert!(!application.is_allowed_for(&tenant("cust2")));
        application.tenants = None;
        assert!(application.is_allowed_for(&tenant("cust2")));
        for bad in ["", "a b", "a/b", "*", "å", &"x".repeat(65)] {
            assert_eq!(ApplicationName::parse(bad), Err(InvalidApplicationName), "{bad}");
        }
    }
}
