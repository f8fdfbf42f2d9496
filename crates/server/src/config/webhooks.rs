//! `webhooks`: the receivers of events about grants and providers.
//!
//! Invariant: an error names the setting and the receiver's place in the list, counted from 1, and no secret. The keys
//! of a receiver have their defaults here, because a list has none in `config/default.toml`; the sample there shows
//! each.

use std::path::PathBuf;

use ::auth::WebhookSecret;
use anyhow::{Context as _, bail};
use model::{EventKind, TenantId};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use store::{OutboxOptions, Subscription};

use super::{
    check_range, keys::hide, list_of_tables, secrets::read_secret_file, tenants, tenants::ANY, url,
};

const EXPECTED: &str = "expected an array of tables [[webhooks.receivers]], or the same as JSON, such as \
                        [{\"name\": \"crm\", \"url\": \"https://crm.example.com/hook\", …}]";
const MOST_RECEIVERS: usize = 100;
const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Which events are sent, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Webhooks {
    pub(crate) deadline_seconds: u32,
    pub(crate) concurrent: u32,
    retry_hours: u32,
    waiting: u32,
    failing_minutes: u32,
    expiring_days: u32,
    pub(crate) source: String,
    receivers: Receivers,
}

/// An array of tables, or the same in JSON, because variables of the environment have no tables.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
struct Receivers(Vec<ReceiverSettings>);

/// A receiver of events.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ReceiverSettings {
    pub(crate) name: String,
    pub(crate) url: String,
    #[serde(serialize_with = "hide")]
    pub(crate) secret: Option<SecretString>,
    secret_file: Option<PathBuf>,
    #[serde(skip)]
    pub(crate) next_secret: Option<SecretString>,
    next_secret_file: Option<PathBuf>,
    tenants: Vec<String>,
    events: Vec<String>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) allow_private_addresses: bool,
}

impl Default for ReceiverSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            secret: None,
            secret_file: None,
            next_secret: None,
            next_secret_file: None,
            tenants: vec![ANY.to_owned()],
            events: vec![ANY.to_owned()],
            ca: None,
            allow_private_addresses: false,
        }
    }
}

impl<'de> Deserialize<'de> for Receivers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        list_of_tables::read_all(deserializer, EXPECTED, read_one).map(Self)
    }
}

fn read_one(index: usize, item: Value) -> Result<ReceiverSettings, String> {
    let Value::Object(members) = item else {
        return Err(format!("{}: {EXPECTED}", place(index, "")));
    };
    let name = members.get("name").and_then(Value::as_str).unwrap_or_default();
    let place = place(index, name);
    list_of_tables::check_keys::<ReceiverSettings>(&members)
        .map_err(|why| format!("{place}: {why}"))?;
    serde_json::from_value(Value::Object(members))
        .map_err(|_checked| format!("{place}: {EXPECTED}"))
}

fn place(index: usize, name: &str) -> String {
    list_of_tables::place("webhooks.receivers", index, name)
}

impl Webhooks {
    /// Each receiver with its name in errors.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, &ReceiverSettings)> {
        self.receivers.0.iter().enumerate().map(|(index, item)| (place(index, &item.name), item))
    }

    /// For how long an event is sent again, in microseconds.
    pub(crate) fn keep_us(&self) -> i64 {
        i64::from(self.retry_hours) * 60 * MINUTE
    }

    /// The events that the store records for the receivers. `only_tenant` is the only tenant, if there is one.
    pub(super) fn outbox(&self, only_tenant: Option<&TenantId>) -> OutboxOptions {
        let subscription = |receiver: &ReceiverSettings| Subscription {
            receiver: receiver.name.clone(),
            tenants: tenants::named(&receiver.tenants, only_tenant),
            kinds: receiver.kinds().collect(),
        };
        OutboxOptions {
            subscriptions: self.receivers.0.iter().map(subscription).collect(),
            most_waiting: self.waiting.into(),
            failing_us: i64::from(self.failing_minutes) * MINUTE,
            expiring_us: i64::from(self.expiring_days) * DAY,
        }
    }

    /// Reads the files of secrets, each once.
    pub(super) fn read_secret_files(&mut self) -> anyhow::Result<()> {
        for (index, receiver) in self.receivers.0.iter_mut().enumerate() {
            let place = place(index, &receiver.name);
            let ReceiverSettings { secret, secret_file, next_secret, next_secret_file, .. } =
                receiver;
            read_secret_file(secret, secret_file.as_deref(), ["secret", "secret_file"])
                .and_then(|()| {
                    let settings = ["next_secret", "next_secret_file"];
                    read_secret_file(next_secret, next_secret_file.as_deref(), settings)
                })
                .context(place)?;
        }
        Ok(())
    }

    /// The files that hold a secret.
    pub(super) fn secret_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.receivers
            .0
            .iter()
            .flat_map(|receiver| receiver.secret_file.iter().chain(&receiver.next_secret_file))
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// Names the setting and the receiver.
    pub(super) fn check(&self, allow_plain_loopback: bool) -> anyhow::Result<()> {
        for (key, value, range) in [
            ("deadline_seconds", self.deadline_seconds, 1..=12),
            ("concurrent", self.concurrent, 1..=100),
            ("retry_hours", self.retry_hours, 1..=720),
            ("waiting", self.waiting, 1..=1_000_000),
            ("failing_minutes", self.failing_minutes, 0..=10_080),
            ("expiring_days", self.expiring_days, 1..=365),
        ] {
            check_range(key, value, range).context("webhooks")?;
        }
        let is_in_uri = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        if self.source.is_empty() || !self.source.bytes().all(is_in_uri) {
            bail!("webhooks.source must be a URI, such as \"urn:latchkey\"");
        }
        if self.receivers.0.len() > MOST_RECEIVERS {
            bail!("webhooks.receivers must have at most {MOST_RECEIVERS} items");
        }
        let mut names = Vec::new();
        for (place, receiver) in self.named() {
            if names.contains(&&receiver.name) {
                bail!("{place}: another receiver has this name");
            }
            receiver.check(allow_plain_loopback).context(place)?;
            names.push(&receiver.name);
        }
        Ok(())
    }
}

impl ReceiverSettings {
    fn check(&self, allow_plain_loopback: bool) -> anyhow::Result<()> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(is_plain) {
            bail!("name must be 1 to 64 letters, digits, `-`, `_` and `.`");
        }
        if let Err(why) = url::parse(&self.url, allow_plain_loopback) {
            bail!("url {why}");
        }
        tenants::check(&self.tenants)?;
        if self.kinds().next().is_none() || self.events.iter().any(|name| !is_event(name)) {
            let all = EventKind::ALL.map(EventKind::name).join(", ");
            bail!("events must have names of events, which are {all}; [\"*\"] is all of them");
        }
        if self.ca.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            bail!(
                "ca must not be empty; leave it out for the certificates that the machine trusts"
            );
        }
        if self.secret.is_none() {
            bail!("set secret or secret_file, because a receiver verifies the signature of events");
        }
        self.secrets().map(drop)
    }

    /// Refuses a list without the only tenant of an installation.
    pub(crate) fn check_tenants(&self, only: Option<&TenantId>) -> anyhow::Result<()> {
        if let Some(only) = only
            && tenants::named(&self.tenants, Some(only)).is_some_and(|named| named.is_empty())
        {
            bail!("tenants must have \"*\" or \"{}\", the only tenant", only.name());
        }
        Ok(())
    }

    /// Whether the other one has the same settings, apart from secrets.
    pub(crate) fn is_but_for_secrets(&self, other: &Self) -> bool {
        self.name == other.name
            && self.url == other.url
            && self.tenants == other.tenants
            && self.events == other.events
            && self.ca == other.ca
            && self.allow_private_addresses == other.allow_private_addresses
    }

    /// The settings without the secrets.
    pub(crate) fn without_secrets(&self) -> Self {
        Self { secret: None, next_secret: None, ..self.clone() }
    }

    /// The kinds of events that it is sent.
    fn kinds(&self) -> impl Iterator<Item = EventKind> {
        let is_wanted =
            |kind: &EventKind| self.events.iter().any(|name| name == ANY || name == kind.name());
        EventKind::ALL.into_iter().filter(is_wanted)
    }

    /// The secrets that sign its events: the current one, and the next one if there is one.
    ///
    /// # Errors
    /// The error names the setting whose value is not a secret.
    pub(crate) fn secrets(&self) -> anyhow::Result<Vec<WebhookSecret>> {
        let of_secret = if self.secret_file.is_some() { "secret_file" } else { "secret" };
        let secrets = [(of_secret, &self.secret), ("next_secret_file", &self.next_secret)];
        let given = secrets.into_iter().filter_map(|(key, secret)| Some((key, secret.as_ref()?)));
        given
            .map(|(key, secret)| WebhookSecret::parse(secret.expose_secret()).context(key))
            .collect()
    }
}

fn is_event(name: &str) -> bool {
    name == ANY || EventKind::of_name(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULTS;

    const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn read(lines: &str) -> Result<ReceiverSettings, String> {
        let written =
            format!("name = 'crm'\nurl = 'https://a.example/'\nsecret = '{SECRET}'\n{lines}");
        let mut table = toml::Table::new();
        for line in written.lines() {
            table.extend(line.parse::<toml::Table>().expect("TOML"));
        }
        let item = serde_json::to_value(&table).expect("JSON");
        let receiver = read_one(0, item)?;
        receiver.check(false).map_err(|error| format!("{error:#}"))?;
        Ok(receiver)
    }

    #[test]
    fn what_is_wrong_with_a_receiver_is_named() {
        assert!(read("").is_ok());
        for (line, problem) in [
            ("color = 'red'", "webhooks.receivers[1] (crm): unknown field `color`"),
            ("name = ''", "name must be 1 to 64 letters"),
            ("name = 'a b'", "name must be 1 to 64 letters"),
            ("url = 'http://a.example/'", "url must be an https URL"),
            ("url = 'https://u@a.example/'", "url must not hold a user name"),
            ("secret = 'CANARY'", "secret: must be `whsec_` and the base64"),
            ("secret = 7", "wrong value for secret, expected"),
            ("tenants = []", "tenants must name a tenant"),
            ("tenants = ['a/b']", "tenants must have names like"),
            ("events = []", "events must have names of events"),
            ("events = ['grant.alive']", "grant.dead, grant.failing"),
            ("ca = ''", "ca must not be empty"),
        ] {
            let error = read(line).expect_err(line);
            assert!(error.contains(problem), "{line}: {error}");
            assert!(!error.contains("CANARY"), "{error}");
        }
    }

    /// The sample of the documentation is right, and the values that it has are the defaults.
    #[test]
    fn the_sample_in_the_default_file_has_the_defaults() {
        let sample = DEFAULTS.split_once("# [[webhooks.receivers]]\n").expect("a sample").1;
        let lines = sample.lines().map_while(|line| line.strip_prefix("# "));
        let set: Vec<_> = lines.clone().filter(|line| !line.starts_with('#')).collect();
        let table: toml::Table = set.join("\n").parse().expect("TOML");
        let shown = read_one(0, serde_json::to_value(&table).expect("JSON")).expect("a receiver");
        let shown = toml::Table::try_from(&shown).expect("TOML");
        let defaults = toml::Table::try_from(ReceiverSettings::default()).expect("TOML");
        for (key, value) in &shown {
            if !["name", "url", "secret"].contains(&key.as_str()) {
                assert_eq!(defaults.get(key), Some(value), "{key}");
            }
        }
        for key in ["secret_file", "next_secret_file", "tenants", "events", "ca"] {
            let is_key =
                |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
            assert!(lines.clone().any(is_key), "{key} is not in the sample");
        }
    }
}
