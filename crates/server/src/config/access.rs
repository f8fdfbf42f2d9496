//! The part of the configuration that says who may call.
//!
//! Invariant: what is not opened here is closed.

use std::{net::IpAddr, num::NonZeroU32};

use anyhow::{anyhow, bail};
use auth::{Installation, Lifetime, Switches};
use ipnet::IpNet;
use model::{ApplicationName, Retrieval, TenantId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const MINUTE: i64 = 60 * 1_000_000;

/// How callers prove who they are, and what they may do.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    #[serde(deserialize_with = "read_retrieval", serialize_with = "show_retrieval")]
    pub(crate) retrieval: Retrieval,
    pub(crate) credentials_per_user: u32,
    pub(crate) schemes: Schemes,
    pub(crate) bearer: Bearer,
    pub(crate) session: Session,
    pub(crate) throttle: Throttle,
}

/// Switches over what the installation has on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schemes {
    pub(crate) basic: Option<bool>,
    pub(crate) so_ticket: Option<bool>,
    pub(crate) bearer: Option<bool>,
    pub(crate) session: Option<bool>,
}

/// The issuer whose JWTs are accepted.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bearer {
    pub(crate) jwks: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) stale_hours: NonZeroU32,
}

/// How long browsers stay signed in.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    idle_minutes: u32,
    lifetime_minutes: u32,
}

/// How many passwords may be tried in a minute.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Throttle {
    pub(crate) per_user: NonZeroU32,
    pub(crate) per_address: NonZeroU32,
}

/// What is open in an Online installation.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Online {
    pub(crate) user_agent: List,
}

const EXPECTED: &str = "expected an array of texts, or texts with commas between";

/// An array, or a text with commas between or like an array: a variable of the environment has no arrays.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct List(Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Array(Vec<String>),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Array(items)) => Ok(Self(items)),
            Ok(Written::Text(text)) if text.starts_with('[') => {
                let items = serde_json::from_str(&text);
                items.map(Self).map_err(|_no_array| D::Error::custom(EXPECTED))
            }
            Ok(Written::Text(text)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(Self(items.map(str::to_owned).collect()))
            }
            Err(_neither) => Err(D::Error::custom(EXPECTED)),
        }
    }
}

impl List {
    pub(crate) fn items(&self) -> &[String] {
        &self.0
    }
}

impl Auth {
    /// The switches of the schemes.
    pub(crate) fn switches(&self) -> Switches {
        let Schemes { basic, so_ticket, bearer, session } = self.schemes;
        Switches { basic, so_ticket, bearer, session }
    }

    /// How long sessions live.
    ///
    /// # Errors
    /// The limits make no sense.
    pub(crate) fn session_lifetime(&self) -> anyhow::Result<Lifetime> {
        let Session { idle_minutes, lifetime_minutes } = self.session;
        if idle_minutes == 0 || lifetime_minutes < idle_minutes {
            bail!(
                "auth.session.idle_minutes must be at least 1, and auth.session.lifetime_minutes \
                 not less"
            );
        }
        let idle = i64::from(idle_minutes) * MINUTE;
        Ok(Lifetime::Sliding { idle, at_most: Some(i64::from(lifetime_minutes) * MINUTE) })
    }
}

/// A tenant and an application for which the User agent is open (CONTRACT 31); `None` stands for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentAccessRule {
    tenant: Option<TenantId>,
    application: Option<ApplicationName>,
}

impl AgentAccessRule {
    /// Whether it opens the agent for this tenant and application.
    pub(crate) fn admits(&self, tenant: &TenantId, application: Option<&ApplicationName>) -> bool {
        self.tenant.as_ref().is_none_or(|open| open == tenant)
            && self.application.as_ref().is_none_or(|open| Some(open) == application)
    }
}

impl Online {
    /// For whom the User agent is open; an installation with one tenant has it by its name too.
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

/// The networks in a list of addresses and networks.
///
/// # Errors
/// An item is neither; the message names `key`.
pub(crate) fn networks(list: &List, key: &str) -> anyhow::Result<Vec<IpNet>> {
    let network = |item: &String| match item.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_no_address) => item.parse::<IpNet>(),
    };
    list.items().iter().map(network).collect::<Result<_, _>>().map_err(|_neither| {
        anyhow!("{key} must have addresses and networks, such as \"10.0.0.1\" and \"10.0.0.0/8\"")
    })
}

pub(crate) fn read_installation<'de, D>(deserializer: D) -> Result<Installation, D::Error>
where
    D: Deserializer<'de>,
{
    match String::deserialize(deserializer)?.as_str() {
        "onsite" => Ok(Installation::Onsite),
        "online" => Ok(Installation::Online),
        _ => Err(D::Error::custom("expected `onsite` or `online`")),
    }
}

pub(crate) fn show_installation<S: Serializer>(
    installation: &Installation,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match installation {
        Installation::Onsite => "onsite",
        Installation::Online => "online",
    })
}

fn read_retrieval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Retrieval, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "key" => Ok(Retrieval::ByKey),
        "owner" => Ok(Retrieval::ByOwner),
        _ => Err(D::Error::custom("expected `key` or `owner`")),
    }
}

fn show_retrieval<S: Serializer>(retrieval: &Retrieval, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match retrieval {
        Retrieval::ByKey => "key",
        Retrieval::ByOwner => "owner",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn online(items: &[&str]) -> anyhow::Result<Vec<AgentAccessRule>> {
        let items = items.iter().map(ToString::to_string).collect();
        Online { user_agent: List(items) }.agent_access_rules(None)
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

    #[test]
    fn networks_and_addresses_are_read() {
        let read = |item: &str| networks(&List(vec![item.to_owned()]), "key");
        assert_eq!(read("10.0.0.1").expect("address")[0].to_string(), "10.0.0.1/32");
        assert_eq!(read("2001:db8::/32").expect("network")[0].to_string(), "2001:db8::/32");
        assert!(read("localhost").is_err_and(|error| error.to_string().contains("key must")));
    }
}
