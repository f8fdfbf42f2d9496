//! `grants`: how tokens are refreshed, and the providers that they are refreshed at.
//!
//! Invariant: of a tenant, a name stands for one provider at most. What is wrong is named by its setting and by the
//! provider's place in the list, counted from 1; no secret is shown. The keys of a provider are the only ones that have
//! their defaults here, because a list has none in `config/default.toml`; the sample there names each default.

use std::{
    collections::BTreeMap,
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use model::TenantId;
use provider::ClientAuth;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use store::secret_file;
use ureq::http::{Uri, uri::Scheme};

use super::{keys::hide, tenants, url};

const DAY: u32 = 86_400;
/// Ten years, the longest that a token's life is believed.
const MOST_SECONDS: u32 = 3650 * DAY;
/// A hundred years; a longer limit is a mistake.
const MOST_DAYS: u32 = 36_500;
const MOST_PROVIDERS: usize = 1000;
const MOST_BYTES_OF_NAME: usize = 255;
/// Every tenant.
const ANY: &str = "*";

/// How tokens are refreshed and exchanged.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grants {
    pub(crate) enabled: bool,
    pub(crate) deadline_seconds: u32,
    pub(crate) wait_seconds: u32,
    pub(crate) concurrent: u32,
    pub(crate) concurrent_per_provider: u32,
    pub(crate) refreshes_per_owner: u32,
    pub(super) unsaved_directory: Option<PathBuf>,
    pub(crate) on_failure: OnFailure,
    pub(crate) egress_proxy: Option<String>,
    pub(crate) providers: Providers,
}

/// What a get answers if no fresh token can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnFailure {
    /// An error that says why.
    Error,
    /// The tokens as they are stored, with the reason.
    Stale,
}

/// An array of tables, or the same in JSON, because variables of the environment have no tables.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Providers(Vec<ProviderSettings>);

/// A provider, and the client that this server is there.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProviderSettings {
    pub(crate) name: String,
    pub(crate) tenants: Vec<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) authorization_endpoint: Option<String>,
    pub(crate) token_endpoint: Option<String>,
    pub(crate) revocation_endpoint: Option<String>,
    pub(crate) jwks: Option<String>,
    pub(crate) client_id: String,
    #[serde(serialize_with = "hide")]
    pub(crate) client_secret: Option<SecretString>,
    pub(super) client_secret_file: Option<PathBuf>,
    pub(super) next_client_secret_file: Option<PathBuf>,
    /// What the file above holds.
    #[serde(skip)]
    pub(crate) next_client_secret: Option<SecretString>,
    #[serde(serialize_with = "show_client_auth", deserialize_with = "read_client_auth")]
    pub(crate) client_auth: ClientAuth,
    pub(crate) scopes: Vec<String>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) refresh_before_seconds: u32,
    pub(crate) minimum_seconds: u32,
    pub(crate) replay_within_seconds: u32,
    pub(crate) idle_days: Option<u32>,
    pub(crate) absolute_days: Option<u32>,
    pub(crate) assume_expires_in_seconds: u32,
    pub(crate) earliest_seconds: u32,
    pub(crate) rotates: bool,
    pub(crate) ends_access_token: bool,
    pub(crate) give_refresh_token: bool,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) allow_private_addresses: bool,
    pub(crate) request: RequestSettings,
    pub(crate) answer: AnswerSettings,
    pub(crate) errors: ErrorSettings,
}

/// How a provider's requests differ from the standard.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RequestSettings {
    pub(crate) body: Option<BodySetting>,
    pub(crate) scope_separator: Option<String>,
    pub(crate) authorize: BTreeMap<String, String>,
    pub(crate) exchange: BTreeMap<String, String>,
    pub(crate) refresh: BTreeMap<String, String>,
    pub(crate) names: BTreeMap<String, String>,
}

/// How the body of a request is written.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BodySetting {
    Form,
    Json,
}

/// How a provider's answers differ from the standard: where each value is, as names with dots between.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AnswerSettings {
    pub(crate) access_token: Option<String>,
    pub(crate) refresh_token: Option<String>,
    pub(crate) expires_in: Option<String>,
    pub(crate) refresh_expires_in: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) id_token: Option<String>,
    pub(crate) expires_in_unit: Option<UnitSetting>,
    pub(crate) status: Vec<u16>,
}

/// What a span of time in an answer counts.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) enum UnitSetting {
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Milliseconds,
}

/// What a provider calls its errors, beside the words of the standard.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ErrorSettings {
    pub(crate) dead: Vec<String>,
    pub(crate) client: Vec<String>,
    pub(crate) busy: Vec<String>,
    pub(crate) ok_field: Option<String>,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            tenants: vec![ANY.to_owned()],
            issuer: None,
            authorization_endpoint: None,
            token_endpoint: None,
            revocation_endpoint: None,
            jwks: None,
            client_id: String::new(),
            client_secret: None,
            client_secret_file: None,
            next_client_secret_file: None,
            next_client_secret: None,
            client_auth: ClientAuth::Basic,
            scopes: Vec::new(),
            redirect_uris: Vec::new(),
            refresh_before_seconds: 300,
            minimum_seconds: 60,
            replay_within_seconds: 0,
            idle_days: None,
            absolute_days: None,
            assume_expires_in_seconds: 3600,
            earliest_seconds: 0,
            rotates: true,
            ends_access_token: false,
            give_refresh_token: false,
            ca: None,
            allow_private_addresses: false,
            request: RequestSettings::default(),
            answer: AnswerSettings::default(),
            errors: ErrorSettings::default(),
        }
    }
}

const EXPECTED: &str = "expected an array of tables [[grants.providers]], or the same as JSON, such as \
                        [{\"name\": \"xero\", \"issuer\": \"https://identity.xero.com\", …}]";

impl<'de> Deserialize<'de> for Providers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> de::Visitor<'de> for Written {
            type Value = Providers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED.trim_start_matches("expected "))
            }

            fn visit_str<E: de::Error>(self, json: &str) -> Result<Providers, E> {
                let items = serde_json::from_str(json).map_err(|error| match error.classify() {
                    serde_json::error::Category::Data => E::custom(EXPECTED),
                    _ => E::custom(format!("it is not JSON: {error}; {EXPECTED}")),
                })?;
                read_all(items)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Providers, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                read_all(items)
            }
        }

        deserializer.deserialize_any(Written)
    }
}

fn read_all<E: de::Error>(items: Vec<Value>) -> Result<Providers, E> {
    let read = |(index, item)| read_one(index, item).map_err(E::custom);
    items.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Providers)
}

/// Reads each key by itself, so that an error names it, and drops the value from the error, which may be a secret.
fn read_one(index: usize, item: Value) -> Result<ProviderSettings, String> {
    let Value::Object(members) = &item else {
        return Err(format!("{}: {EXPECTED}", place(index, "")));
    };
    let name = members.get("name").and_then(Value::as_str).unwrap_or_default();
    for (key, value) in members {
        let alone = Value::Object([(key.clone(), value.clone())].into_iter().collect());
        if let Err(error) = serde_json::from_value::<ProviderSettings>(alone) {
            let error = error.to_string();
            let error = match error.rsplit_once("expected ") {
                Some((_value, expected)) if !error.starts_with("unknown field") => {
                    format!("wrong value for {key}, expected {expected}")
                }
                _ if members.get(key).is_some_and(Value::is_object) => format!("{key}: {error}"),
                _ => error,
            };
            return Err(format!("{}: {error}", place(index, name)));
        }
    }
    serde_json::from_value(item).map_err(|_checked| format!("{}: {EXPECTED}", place(index, "")))
}

/// A provider as errors name it.
fn place(index: usize, name: &str) -> String {
    let item = index + 1;
    match name {
        "" => format!("grants.providers[{item}]"),
        name => format!("grants.providers[{item}] ({})", name.escape_debug()),
    }
}

fn read_client_auth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ClientAuth, D::Error> {
    let name = String::deserialize(deserializer)?;
    ClientAuth::of_name(&name)
        .ok_or_else(|| de::Error::custom("expected `basic`, `basic_raw`, `post` or `none`"))
}

fn show_client_auth<S: Serializer>(auth: &ClientAuth, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(auth.name())
}

impl Providers {
    /// The providers, in the order of the list.
    pub(crate) fn items(&self) -> &[ProviderSettings] {
        &self.0
    }

    /// Each provider with what errors call it.
    pub(crate) fn named(&self) -> impl Iterator<Item = (String, &ProviderSettings)> {
        self.0.iter().enumerate().map(|(index, item)| (place(index, &item.name), item))
    }
}

impl Grants {
    /// Reads the files of secrets, each once.
    pub(super) fn read_secret_files(&mut self) -> anyhow::Result<()> {
        for (index, provider) in self.providers.0.iter_mut().enumerate() {
            let place = place(index, &provider.name);
            provider.read_secret_files().context(place)?;
        }
        Ok(())
    }

    /// The files that hold a secret.
    pub(super) fn secret_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.providers.0.iter().flat_map(|provider| {
            provider.client_secret_file.iter().chain(&provider.next_client_secret_file)
        })
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// Names the setting and the provider.
    pub(super) fn check(&self, allow_plain_loopback: bool) -> anyhow::Result<()> {
        for (key, value, range) in [
            ("deadline_seconds", self.deadline_seconds, 1..=60),
            ("wait_seconds", self.wait_seconds, 1..=300),
            ("concurrent", self.concurrent, 1..=400),
            ("concurrent_per_provider", self.concurrent_per_provider, 1..=400),
            ("refreshes_per_owner", self.refreshes_per_owner, 1..=1_000_000),
        ] {
            check_range(key, value, range).map_err(|error| error.context("grants"))?;
        }
        if self.unsaved_directory.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            bail!("grants.unsaved_directory must not be empty; leave it out for the default");
        }
        if let Some(proxy) = &self.egress_proxy
            && !is_proxy(proxy)
        {
            bail!(
                "grants.egress_proxy must be like \"http://proxy.internal:3128\": http, a host and a \
                 port, without a user name and a path"
            );
        }
        if self.providers.0.len() > MOST_PROVIDERS {
            bail!("grants.providers must have at most {MOST_PROVIDERS} items");
        }
        for (place, provider) in self.providers.named() {
            provider.check(allow_plain_loopback).context(place)?;
        }
        self.check_names()
    }

    /// Checks that no tenant has two providers of one name, or of names that differ in case alone.
    fn check_names(&self) -> anyhow::Result<()> {
        let providers: Vec<_> = self.providers.named().collect();
        for (index, (place, provider)) in providers.iter().enumerate() {
            for (other_place, other) in &providers[..index] {
                let is_alike = other.name.to_lowercase() == provider.name.to_lowercase();
                if !is_alike || !other.shares_a_tenant_with(provider) {
                    continue;
                }
                if other.name == provider.name {
                    bail!(
                        "{place}: name is that of {other_place}, for the same tenant; give one of them \
                         another name, or tenants that are not the other's"
                    );
                }
                bail!(
                    "{place}: name differs only in case from that of {other_place}, which is likely a \
                     mistake, because names are compared exactly; give one of them another name, or \
                     tenants that are not the other's"
                );
            }
        }
        Ok(())
    }
}

impl ProviderSettings {
    /// Whether the provider is configured for a tenant.
    pub(crate) fn is_for(&self, tenant: &TenantId) -> bool {
        self.tenants.iter().any(|name| {
            name == ANY || TenantId::parse(name).is_ok_and(|named| named.is_named_as(tenant))
        })
    }

    fn shares_a_tenant_with(&self, other: &Self) -> bool {
        let is_shared = |name: &String| {
            let is_same = |named: &String| named == ANY || named.eq_ignore_ascii_case(name);
            name == ANY || other.tenants.iter().any(is_same)
        };
        self.tenants.iter().any(is_shared)
    }

    fn read_secret_files(&mut self) -> anyhow::Result<()> {
        if let Some(file) = &self.client_secret_file {
            if self.client_secret.is_some() {
                bail!("set client_secret or client_secret_file, not both");
            }
            self.client_secret = Some(read_secret(file, "client_secret_file")?);
        }
        if let Some(file) = &self.next_client_secret_file {
            self.next_client_secret = Some(read_secret(file, "next_client_secret_file")?);
        }
        Ok(())
    }

    fn check(&self, allow_plain_loopback: bool) -> anyhow::Result<()> {
        if model::Provider::parse(&self.name).is_err() {
            bail!("name must be that of a record's provider: 1 to 255 characters");
        }
        check_text("client_id", &self.client_id)?;
        self.check_tenants()?;
        self.check_urls(allow_plain_loopback)?;
        self.check_secrets()?;
        for scope in &self.scopes {
            check_text("scopes", scope)?;
        }
        if self.ca.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            bail!(
                "ca must not be empty; leave it out for the certificates that the machine trusts"
            );
        }
        for (key, value, range) in [
            ("refresh_before_seconds", self.refresh_before_seconds, 0..=30 * DAY),
            ("minimum_seconds", self.minimum_seconds, 0..=DAY),
            ("replay_within_seconds", self.replay_within_seconds, 0..=90 * DAY),
            ("assume_expires_in_seconds", self.assume_expires_in_seconds, 0..=MOST_SECONDS),
            ("earliest_seconds", self.earliest_seconds, 0..=DAY),
            ("idle_days", self.idle_days.unwrap_or(1), 1..=MOST_DAYS),
            ("absolute_days", self.absolute_days.unwrap_or(1), 1..=MOST_DAYS),
        ] {
            check_range(key, value, range)?;
        }
        if self.refresh_before_seconds < self.minimum_seconds {
            bail!("refresh_before_seconds must be at least minimum_seconds");
        }
        if self.answer.status.iter().any(|status| !(200..=299).contains(status)) {
            bail!("answer.status must have only numbers from 200 to 299");
        }
        Ok(())
    }

    fn check_tenants(&self) -> anyhow::Result<()> {
        if self.tenants.is_empty() {
            bail!("tenants must name a tenant; [\"*\"] is every tenant");
        }
        if self.tenants.iter().any(|name| name != ANY && tenants::parse(name).is_none()) {
            bail!(
                "tenants must have names like \"Cust26759\": 1 to 64 letters, digits, `-` and `_`, and \
                 no path of the server; [\"*\"] is every tenant"
            );
        }
        Ok(())
    }

    fn check_urls(&self, allow_plain_loopback: bool) -> anyhow::Result<()> {
        let endpoints = [
            ("authorization_endpoint", &self.authorization_endpoint),
            ("token_endpoint", &self.token_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
            ("jwks", &self.jwks),
        ];
        if self.issuer.is_none() && self.token_endpoint.is_none() {
            bail!("set issuer, where discovery finds the endpoints, or token_endpoint");
        }
        if self.issuer.is_some()
            && let Some((key, _)) = endpoints.iter().find(|(_key, url)| url.is_some())
        {
            bail!("set issuer or {key}, not both: discovery finds the endpoints of an issuer");
        }
        for (key, url) in endpoints.into_iter().chain([("issuer", &self.issuer)]) {
            if let Some(url) = url
                && let Err(why) = url::parse(url, allow_plain_loopback)
            {
                bail!("{key} {why}");
            }
        }
        if self.issuer.as_ref().is_some_and(|issuer| issuer.contains('?')) {
            bail!("issuer must not have a query (RFC 8414 §2)");
        }
        for redirect in &self.redirect_uris {
            if let Err(why) = check_redirect(redirect) {
                bail!("redirect_uris: {} {why}", redirect.escape_debug());
            }
        }
        Ok(())
    }

    fn check_secrets(&self) -> anyhow::Result<()> {
        let is_public = matches!(self.client_auth, ClientAuth::None);
        if is_public && (self.client_secret.is_some() || self.next_client_secret.is_some()) {
            bail!(
                "client_auth = \"none\" takes no secret; remove client_secret, or the file of one"
            );
        }
        if !is_public && self.client_secret.is_none() {
            bail!(
                "client_auth = \"{}\" needs client_secret or client_secret_file; a client that has none \
                 sets \"none\"",
                self.client_auth.name()
            );
        }
        for (key, secret) in [
            ("client_secret", &self.client_secret),
            ("next_client_secret_file", &self.next_client_secret),
        ] {
            if let Some(secret) = secret {
                let secret = secret.expose_secret();
                if secret.is_empty() || secret.contains(char::is_control) {
                    bail!("{key} must be a secret of one line");
                }
            }
        }
        Ok(())
    }
}

fn read_secret(file: &Path, setting: &'static str) -> anyhow::Result<SecretString> {
    let text = secret_file::read_text(file, setting)?;
    if text.is_empty() {
        bail!("{setting}: {} is empty", file.display());
    }
    Ok(text.as_str().into())
}

fn check_range(key: &str, value: u32, range: RangeInclusive<u32>) -> anyhow::Result<()> {
    if !range.contains(&value) {
        bail!("{key} must be from {} to {}", range.start(), range.end());
    }
    Ok(())
}

fn check_text(key: &str, text: &str) -> anyhow::Result<()> {
    if text.is_empty() || text.trim() != text || text.contains(char::is_control) {
        bail!(
            "{key} must not be empty, and have no white space around it and no control characters"
        );
    }
    if text.len() > MOST_BYTES_OF_NAME {
        bail!("{key} must have at most {MOST_BYTES_OF_NAME} bytes");
    }
    Ok(())
}

/// Browsers may be sent to a program of the user's own machine as well (RFC 8252 §7.3).
fn check_redirect(uri: &str) -> Result<(), &'static str> {
    url::parse(uri, true).map(drop)
}

/// Whether the text is the URL of a proxy: a scheme, a host and a port.
fn is_proxy(text: &str) -> bool {
    let Ok(url) = text.parse::<Uri>() else { return false };
    let authority = url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    url.scheme() == Some(&Scheme::HTTP)
        && !url::host(&url).is_empty()
        && url.port_u16().is_some()
        && !authority.contains('@')
        && !text.contains('#')
        && matches!(url.path_and_query().map_or("/", |path| path.as_str()), "/" | "")
}

#[cfg(test)]
mod tests;
