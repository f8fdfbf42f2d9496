//! Tenants and logins as arguments of commands.
//!
//! Invariant: a command gets a tenant by the name under which the database stores it.

use anyhow::{Context as _, bail};
use clap::Args;
use model::{Login, TenantId};

use crate::config::{Config, tenants};

/// A tenant of this installation.
#[derive(Args)]
pub(crate) struct TenantArgument {
    /// The tenant, where paths name tenants
    #[arg(long, default_value = "default")]
    tenant: String,
}

impl TenantArgument {
    pub(crate) fn read(&self, config: &Config) -> anyhow::Result<TenantId> {
        tenant(&self.tenant, config)
    }
}

/// A tenant by its name.
///
/// # Errors
/// It cannot be one, or there is only one.
pub(crate) fn tenant(name: &str, config: &Config) -> anyhow::Result<TenantId> {
    let tenant = tenants::parse(name).with_context(|| {
        format!("`{name}` cannot be a tenant: it is a path of the server, or has odd characters")
    })?;
    match config.only_tenant()? {
        None => Ok(tenant),
        Some(only) if tenant == only || tenant.is_named_as(&only) => Ok(only),
        Some(only) => {
            bail!("there is only one tenant, {only}, unless tenants = \"path\" is set")
        }
    }
}

/// A user's login.
///
/// # Errors
/// It cannot be one.
pub(crate) fn login(name: &str) -> anyhow::Result<Login> {
    Login::parse(name).with_context(|| format!("`{name}` is no login"))
}
