//! Tenants, logins and ids of records as arguments of commands.
//!
//! Invariant: a command gets a tenant by the name that the database has for it.

use anyhow::{Context as _, bail};
use clap::Args;
use model::{Login, RecordId, TenantId};

use crate::config::{Config, tenants};

/// A tenant of this installation.
#[derive(Args)]
pub(crate) struct TenantArgument {
    /// The tenant, with `tenants = "path"`
    #[arg(long, default_value = "default")]
    tenant: String,
}

impl TenantArgument {
    /// Returns the name as it was given.
    pub(crate) fn name(&self) -> Option<&str> {
        Some(&self.tenant)
    }

    pub(crate) fn read(&self, config: &Config) -> anyhow::Result<TenantId> {
        tenant(&self.tenant, config)
    }
}

/// A tenant by its name.
///
/// # Errors
/// The name is not valid, or it is not that of the only tenant.
pub(crate) fn tenant(name: &str, config: &Config) -> anyhow::Result<TenantId> {
    let tenant = tenants::parse(name).with_context(|| {
        format!("`{name}` is not a valid tenant: use 1 to 64 letters, digits, `-` and `_`, and no path of the server")
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
/// The name is not valid.
pub(crate) fn login(name: &str) -> anyhow::Result<Login> {
    Login::parse(name).with_context(|| format!("`{name}` is not a valid login"))
}

/// The id of a record.
///
/// # Errors
/// The text is not an id. It may be a whole key, so the message does not repeat it.
pub(crate) fn record_id(text: &str) -> anyhow::Result<RecordId> {
    RecordId::parse(text.trim()).context(
        "that is not the id of a record: an id has 11 letters and digits, those after `lk_` in its key",
    )
}
