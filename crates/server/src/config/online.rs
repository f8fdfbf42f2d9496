//! `online`: access to the agents in an online installation.
//!
//! Invariant: the agents are closed to every caller that no rule admits.

use anyhow::anyhow;
use model::{ApplicationName, TenantId};
use serde::{Deserialize, Serialize};

use super::list::List;

/// Access to the agents in an online installation.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Online {
    pub(crate) user_agent: List,
}

/// A tenant and an application to which the agents are open (CONTRACT 31); `None` is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentAccessRule {
    tenant: Option<TenantId>,
    application: Option<ApplicationName>,
}

impl AgentAccessRule {
    /// Whether it opens the agents to this tenant and application.
    pub(crate) fn admits(&self, tenant: &TenantId, application: Option<&ApplicationName>) -> bool {
        self.tenant.as_ref().is_none_or(|open| open == tenant)
            && self.application.as_ref().is_none_or(|open| Some(open) == application)
    }
}

impl Online {
    /// The callers to whom the agents are open. The only tenant of an installation can be named by its own name.
    ///
    /// # Errors
    /// An item is not like `cust12345/crm-sync`, with `*` for any.
    pub(crate) fn agent_access_rules(
        &self,
        only: Option<&TenantId>,
    ) -> anyhow::Result<Vec<AgentAccessRule>> {
        let rule = |item: &String| {
            let (tenant, application) = item.split_once('/').unwrap_or((item, "*"));
            let tenant = (tenant != "*").then(|| TenantId::parse(tenant)).transpose().ok()?;
            let is_only = |tenant: &TenantId| only.is_some_and(|only| tenant.is_named_as(only));
            let tenant = if tenant.as_ref().is_some_and(is_only) { only.cloned() } else { tenant };
            let named = (application != "*").then(|| ApplicationName::parse(application));
            Some(AgentAccessRule { tenant, application: named.transpose().ok()? })
        };
        let agent_access_rules = self.user_agent.items().iter().map(rule).collect::<Option<_>>();
        agent_access_rules.ok_or_else(|| {
            anyhow!(
                "online.user_agent must have items like \"cust12345/crm-sync\": a tenant and an \
                 application, each of which may be `*`"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn online(items: &[&str]) -> anyhow::Result<Vec<AgentAccessRule>> {
        let items = items.iter().map(ToString::to_string).collect();
        Online { user_agent: List::new(items) }.agent_access_rules(None)
    }

    /// CONTRACT 31: closed unless an item names the tenant and the application.
    #[test]
    fn the_agent_is_open_for_whom_it_was_opened() {
        let tenant = |name| TenantId::parse(name).expect(name);
        let application = |name| ApplicationName::parse(name).expect(name);
        let (sync, other) = (application("crm-sync"), application("other"));
        for (items, expected) in [
            (&[][..], [false, false, false, false]),
            (&["*"], [true, true, true, true]),
            (&["Cust1"], [true, true, true, false]),
            (&["cust1/CRM-sync"], [true, false, false, false]),
            (&["*/crm-sync"], [true, false, false, true]),
            (&["cust2/*", "cust1/other"], [false, true, false, true]),
        ] {
            let agent_access_rules = online(items).expect("valid");
            let is_open = |tenant: &TenantId, application| {
                agent_access_rules.iter().any(|rule| rule.admits(tenant, application))
            };
            let found = [
                is_open(&tenant("cust1"), Some(&sync)),
                is_open(&tenant("cust1"), Some(&other)),
                is_open(&tenant("cust1"), None),
                is_open(&tenant("cust2"), Some(&sync)),
            ];
            assert_eq!(found, expected, "{items:?}");
        }
        for bad in ["", "a b", "cust1/a/b", "cust1/å", "cust1/"] {
            assert!(online(&[bad]).is_err(), "{bad}");
        }
    }
}
