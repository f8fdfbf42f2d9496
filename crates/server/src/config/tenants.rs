//! `tenants` and `tenant`: whether paths name tenants, and the name of the only tenant.
//!
//! Invariant: no tenant has the name of a path of the server.

use anyhow::{anyhow, bail};
use model::TenantId;
use serde::{Deserialize, Serialize};

/// The first segments of the server's paths, which no tenant may have as its name. So nothing is served on a path that
/// lacks its tenant.
pub(crate) const RESERVED: [&str; 7] =
    ["account", "api", "healthz", "oauth2", "readyz", "sign-in", "sign-out"];

/// A tenant by its name; `None` if no tenant can have that name.
pub(crate) fn parse(name: &str) -> Option<TenantId> {
    let tenant = TenantId::parse(name).ok()?;
    (!RESERVED.contains(&tenant.as_str())).then_some(tenant)
}

/// Every tenant, in a list of names.
pub(crate) const ANY: &str = "*";

/// Checks a list of tenants.
///
/// # Errors
/// It is empty, or has an item that cannot be a tenant's name.
pub(super) fn check(names: &[String]) -> anyhow::Result<()> {
    if names.is_empty() {
        bail!("tenants must name a tenant; [\"*\"] is every tenant");
    }
    if names.iter().any(|name| name != ANY && parse(name).is_none()) {
        bail!(
            "tenants must have names like \"Cust26759\": 1 to 64 letters, digits, `-` and `_`, and no path \
             of the server; [\"*\"] is every tenant"
        );
    }
    Ok(())
}

/// The tenants of a list, as the database has them; `None` is every tenant. `only` is the tenant of an installation that
/// has one, by whichever name.
pub(crate) fn named(names: &[String], only: Option<&TenantId>) -> Option<Vec<TenantId>> {
    if names.iter().any(|name| name == ANY) {
        return None;
    }
    let named = names.iter().filter_map(|name| TenantId::parse(name).ok());
    Some(match only {
        Some(only) => named.filter(|name| name.is_named_as(only)).map(|_| only.clone()).collect(),
        None => named.collect(),
    })
}

/// Whether the path names a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub(crate) enum Tenants {
    /// There is one tenant, and no path names it.
    Single,
    /// The first segment after the prefix is the tenant.
    Path,
}

impl TryFrom<String> for Tenants {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "single" => Ok(Self::Single),
            "path" => Ok(Self::Path),
            _ => Err("expected `single` or `path`"),
        }
    }
}

impl Tenants {
    /// The tenant of an installation that has only one, by the name that the setting `tenant` gives it.
    ///
    /// # Errors
    /// The name cannot be a tenant's, or paths name the tenants.
    pub(super) fn only(self, name: Option<&str>) -> anyhow::Result<Option<TenantId>> {
        match (self, name) {
            (Self::Path, None) => Ok(None),
            (Self::Single, None) => Ok(Some(TenantId::single())),
            (Self::Path, Some(_)) => bail!(
                "tenant names the only tenant, so it does not go with tenants = \"path\"; remove one of them"
            ),
            (Self::Single, Some(name)) => {
                let name = parse(name).ok_or_else(|| {
                    anyhow!(
                        "tenant must be like \"Cust26759\": 1 to 64 letters, digits, `-` and `_`, and no \
                         path of the server"
                    )
                })?;
                Ok(Some(TenantId::single_named(&name)))
            }
        }
    }
}
