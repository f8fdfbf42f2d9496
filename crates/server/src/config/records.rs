//! `records`: how long records live.
//!
//! Invariant: an unset limit does not apply, and no limit is zero.

use std::{collections::HashMap, time::Duration};

use anyhow::bail;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use store::{ExpiryLimits, ExpiryPolicy};

const DAY: i64 = 24 * 3_600_000_000;
/// A hundred years; a longer limit is a mistake.
const MAX_DAYS: u32 = 36_500;

/// How long records live, and how long ended ones are kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Records {
    pub(crate) expire_after_days: Option<u32>,
    pub(crate) expire_unused_after_days: Option<u32>,
    remove_after_days: u32,
    sweep_seconds: u32,
    pub(crate) per_user: u64,
    providers: Providers,
}

/// Limits of a provider's records.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ProviderLimits {
    provider: String,
    expire_after_days: Option<u32>,
    expire_unused_after_days: Option<u32>,
}

/// An array of tables, or the same in JSON, because variables of the environment have no tables.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
struct Providers(Vec<ProviderLimits>);

const EXPECTED: &str = "expected an array like [{ provider = \"et\", expire_after_days = 30, \
                        expire_unused_after_days = 7 }], or the same as JSON";

impl<'de> Deserialize<'de> for Providers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Array(Vec<ProviderLimits>),
        }
        let read = match Written::deserialize(deserializer) {
            Ok(Written::Array(items)) => Some(items),
            Ok(Written::Text(text)) => serde_json::from_str(&text).ok(),
            Err(_neither) => None,
        };
        read.map(Self).ok_or_else(|| D::Error::custom(EXPECTED))
    }
}

impl Records {
    /// Checks the limits.
    ///
    /// # Errors
    /// The error names the key, or the provider's place in the list, counted from 1.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let is_wrong = |days: Option<u32>| days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days));
        for (key, days) in [
            ("records.expire_after_days", self.expire_after_days),
            ("records.expire_unused_after_days", self.expire_unused_after_days),
        ] {
            if is_wrong(days) {
                bail!("{key} must be from 1 to {MAX_DAYS}; leave it out for no limit");
            }
        }
        if self.remove_after_days > MAX_DAYS {
            bail!("records.remove_after_days must be from 0 to {MAX_DAYS}");
        }
        if self.sweep_seconds == 0 || self.per_user == 0 {
            bail!("records.sweep_seconds and records.per_user must be at least 1");
        }
        let mut known = HashMap::new();
        for (index, limits) in self.providers.0.iter().enumerate() {
            let item = index + 1;
            if limits.provider.is_empty() {
                bail!("records.providers: item {item} needs a provider");
            }
            if known.insert(&limits.provider, item).is_some() {
                bail!("records.providers: item {item} names the same provider as an earlier item");
            }
            if is_wrong(limits.expire_after_days) || is_wrong(limits.expire_unused_after_days) {
                bail!(
                    "records.providers: expire_after_days and expire_unused_after_days of item \
                     {item} must be from 1 to {MAX_DAYS}; leave them out for no limit"
                );
            }
        }
        Ok(())
    }

    /// How long records live.
    pub(crate) fn expiry_policy(&self) -> ExpiryPolicy {
        let of_provider = |limits: &ProviderLimits| {
            let span = expiry_limits(limits.expire_after_days, limits.expire_unused_after_days);
            (limits.provider.clone(), span)
        };
        ExpiryPolicy {
            by_provider: self.providers.0.iter().map(of_provider).collect(),
            default: expiry_limits(self.expire_after_days, self.expire_unused_after_days),
        }
    }

    /// How long ended records are kept, in microseconds.
    pub(crate) fn keep_ended(&self) -> i64 {
        i64::from(self.remove_after_days) * DAY
    }

    /// The time between two sweeps.
    pub(crate) fn sweep_every(&self) -> Duration {
        Duration::from_secs(self.sweep_seconds.into())
    }
}

fn expiry_limits(max_age: Option<u32>, max_idle: Option<u32>) -> ExpiryLimits {
    let time = |days: u32| i64::from(days) * DAY;
    ExpiryLimits { max_age_us: max_age.map(time), max_idle_us: max_idle.map(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> anyhow::Result<Records> {
        let records: Records = toml::from_str(&format!(
            "remove_after_days = 7\nsweep_seconds = 60\nper_user = 1000\n{toml}"
        ))?;
        records.check()?;
        Ok(records)
    }

    /// CONTRACT 40: a provider's limits stand in place of the general ones, and text reads as an array.
    #[test]
    fn limits_are_read() {
        for providers in [
            r#"providers = [{ provider = "et", expire_unused_after_days = 7 }]"#,
            r#"providers = '[{"provider": "et", "expire_unused_after_days": 7}]'"#,
            "[[providers]]\nprovider = 'et'\nexpire_unused_after_days = 7",
        ] {
            let records = read(&format!("expire_after_days = 30\n{providers}")).expect(providers);
            let expiry_policy = records.expiry_policy();
            let own = ExpiryLimits { max_age_us: None, max_idle_us: Some(7 * DAY) };
            assert_eq!(expiry_policy.by_provider, HashMap::from([("et".to_owned(), own)]));
            assert_eq!(
                expiry_policy.default,
                ExpiryLimits { max_age_us: Some(30 * DAY), max_idle_us: None }
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (toml, told) in [
            ("expire_after_days = 0\nproviders = []", "records.expire_after_days must be from 1"),
            ("expire_unused_after_days = 36501\nproviders = []", "expire_unused_after_days must"),
            ("providers = ''", EXPECTED),
            ("providers = ['et']", EXPECTED),
            ("providers = [{ provider = 'et', days = 1 }]", EXPECTED),
            ("providers = [{ provider = '' }]", "item 1 needs a provider"),
            ("providers = [{ provider = 'a' }, { provider = 'a' }]", "item 2 names"),
            ("providers = [{ provider = 'a', expire_after_days = 0 }]", "of item 1 must be from 1"),
        ] {
            let error = read(toml).expect_err(toml).to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
