//! An entry of an import: tokens, their owner, and their details.
//!
//! Invariant: a line may be saved if and only if a caller could save the same. An error names the property
//! that is wrong, never its value.

use std::{collections::BTreeMap, num::NonZeroUsize};

use anyhow::Context as _;
use crc32fast::Hasher;
use jiff::Timestamp;
use lru::LruCache;
use model::{
    Field, GrantDetails, InvalidCarrier, Login, Principal, Provider, SecretText, TenantId,
    TokenManagementInfo, Violation,
};
use serde_json::{Map, Value};
use store::{Store, TokenEnd};

use super::lines::Line;
use crate::{
    cli::arguments,
    config::{Config, grants::ProviderSettings},
    expiry,
};

/// The properties of a line.
pub(super) const PROPERTIES: [&str; 11] = [
    "id",
    "provider",
    "access_token",
    "refresh_token",
    "claims",
    "owner",
    "tenant",
    "expires_in",
    "access_expires",
    PARAMETERS,
    "scope",
];
pub(super) const PARAMETERS: &str = "parameters";
/// The prefix of a column with one parameter.
pub(super) const PARAMETER: &str = "parameters.";

/// Ten years, in seconds, as of a save.
const MOST_SECONDS: i64 = 315_360_000;
/// The most bytes of a caller's own id.
const MOST_BYTES_OF_ID: usize = 255;
/// How many owners are remembered as known.
const OWNERS: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is more than zero");

/// The entry of a line.
pub(super) struct Entry {
    /// The operator's own name of it, for a join with the keys.
    pub(super) id: Option<String>,
    pub(super) owner: Principal,
    pub(super) carrier: TokenManagementInfo,
    pub(super) details: GrantDetails,
    pub(super) access_expires: Option<TokenEnd>,
}

impl Entry {
    /// How many bytes of secrets it has.
    pub(super) fn bytes(&self) -> usize {
        let length = |secret: &Option<SecretText>| secret.as_ref().map_or(0, |s| s.expose().len());
        self.carrier.secrets().into_iter().map(|(_field, secret)| length(secret)).sum()
    }

    /// Recognizes the line when an import is resumed. It is kept with the key that opens the record.
    pub(super) fn digest(&self) -> u32 {
        let mut hasher = Hasher::new();
        let mut add = |text: Option<&str>| {
            let text = text.unwrap_or("\0");
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        };
        add(self.id.as_deref());
        add(Some(self.owner.tenant.as_str()));
        add(Some(self.owner.login.as_str()));
        add(Some(self.carrier.provider.as_str()));
        for (_field, secret) in self.carrier.secrets() {
            add(secret.as_ref().map(SecretText::expose));
        }
        add(self.details.scope.as_ref().map(SecretText::expose));
        for (name, value) in &self.details.parameters {
            add(Some(name));
            add(Some(value));
        }
        let (kind, time) = match self.access_expires {
            None => (0_u8, 0),
            Some(TokenEnd::In(time)) => (1, time),
            Some(TokenEnd::At(time)) => (2, time),
        };
        hasher.update(&[kind]);
        hasher.update(&time.to_be_bytes());
        hasher.finalize()
    }
}

/// Reads lines, and checks them against the limits.
pub(super) struct Entries<'a> {
    config: &'a Config,
    store: &'a Store,
    default_owner: Option<Login>,
    /// The tenant of lines that name none.
    default_tenant: Option<TenantId>,
    /// Users that are there.
    known: LruCache<(String, String), ()>,
}

impl<'a> Entries<'a> {
    /// # Errors
    /// The owner or the tenant of lines that name none cannot be one.
    pub(super) fn new(
        config: &'a Config,
        store: &'a Store,
        owner: Option<&str>,
        tenant: Option<&str>,
    ) -> anyhow::Result<Self> {
        let default_tenant = match tenant {
            Some(name) => Some(arguments::tenant(name, config)?),
            None => config.only_tenant()?,
        };
        Ok(Self {
            config,
            store,
            default_owner: owner.map(arguments::login).transpose()?,
            default_tenant,
            known: LruCache::new(OWNERS),
        })
    }

    /// The entry of a line; the inner error says what is wrong with it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(super) async fn read(&mut self, line: &Line) -> anyhow::Result<Result<Entry, String>> {
        let entry = match &line.properties {
            Ok(properties) => self.parse(properties),
            Err(why) => Err((*why).to_owned()),
        };
        let Ok(entry) = entry else { return Ok(entry) };
        if self.is_known(&entry.owner).await? {
            return Ok(Ok(entry));
        }
        Ok(Err(
            "owner is not a user of the tenant; add the user with `latchkey user add`".to_owned()
        ))
    }

    /// Whether the owner can be a caller. A user of an issuer's tokens has no row of its own.
    async fn is_known(&mut self, owner: &Principal) -> anyhow::Result<bool> {
        let name = (owner.tenant.as_str().to_owned(), owner.login.as_str().to_owned());
        if self.config.auth.bearer.issuer.is_some() || self.known.get(&name).is_some() {
            return Ok(true);
        }
        let found = self.store.user(&owner.tenant, &owner.login).await;
        let is_known = found.context("the owners cannot be looked up")?.is_some();
        if is_known {
            self.known.put(name, ());
        }
        Ok(is_known)
    }

    fn parse(&self, properties: &Map<String, Value>) -> Result<Entry, String> {
        if properties.keys().any(|name| !PROPERTIES.contains(&name.as_str())) {
            return Err(format!("it has an unknown property; known are {}", PROPERTIES.join(", ")));
        }
        let id = text(properties, "id")?.map(str::to_owned);
        if id
            .as_ref()
            .is_some_and(|id| id.len() > MOST_BYTES_OF_ID || id.contains(char::is_control))
        {
            return Err(format!(
                "id must have at most {MOST_BYTES_OF_ID} bytes, and no control characters"
            ));
        }
        let secret = |name| Ok::<_, String>(text(properties, name)?.map(SecretText::from));
        let carrier = TokenManagementInfo {
            provider: Provider::parse(text(properties, "provider")?.unwrap_or_default())
                .map_err(named)?,
            access_token: secret("access_token")?,
            refresh_token: secret("refresh_token")?,
            claims: claims(properties)?,
        };
        carrier.check(self.config.limits.token_bytes).map_err(named)?;
        let owner = self.owner(properties)?;
        let parameters = parameters(properties)?;
        self.check_parameters(&owner.tenant, &carrier.provider, &parameters)?;
        let scope = secret("scope")?;
        if scope.as_ref().is_some_and(|s| s.expose().len() > self.config.limits.token_bytes) {
            return Err(format!("scope is longer than {} bytes", self.config.limits.token_bytes));
        }
        let details = GrantDetails { scope, parameters, ..GrantDetails::default() };
        let access_expires = access_end(properties, carrier.access_token.as_ref())?;
        Ok(Entry { id, owner, carrier, details, access_expires })
    }

    fn owner(&self, properties: &Map<String, Value>) -> Result<Principal, String> {
        let login = match text(properties, "owner")? {
            Some(name) => {
                Login::parse(name).map_err(|_invalid| "owner is not a valid login".to_owned())?
            }
            None => self.default_owner.clone().ok_or(
                "owner is required: the login of the user who gets the tokens, or --owner for all",
            )?,
        };
        let tenant = match text(properties, "tenant")? {
            Some(name) => arguments::tenant(name, self.config)
                .map_err(|_invalid| "tenant is not a tenant of this installation".to_owned())?,
            None => self
                .default_tenant
                .clone()
                .ok_or("tenant is required where paths name tenants, or --tenant for all")?,
        };
        Ok(Principal { tenant, login, is_administrator: false })
    }

    /// Parameters are taken for providers that are configured, as by a save.
    fn check_parameters(
        &self,
        tenant: &TenantId,
        provider: &Provider,
        values: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        if values.is_empty() {
            return Ok(());
        }
        let is_it =
            |known: &&ProviderSettings| known.name == provider.as_str() && known.is_for(tenant);
        let found = self.config.grants.providers.items().iter().find(is_it);
        let found = found.ok_or("parameters need a provider in grants.providers")?;
        match found.parameters.check(values) {
            Ok(_values) => Ok(()),
            Err(error) => Err(format!("parameters: {error}")),
        }
    }
}

/// A property that is a text; an empty one, or null, is none.
fn text<'a>(properties: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match properties.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_other) => Err(format!("{name} must be a text")),
    }
}

/// Claims are a text with JSON in it, or the JSON object itself.
fn claims(properties: &Map<String, Value>) -> Result<Option<SecretText>, String> {
    match properties.get("claims") {
        Some(claims @ Value::Object(_)) => Ok(Some(SecretText::from(claims.to_string()))),
        _ => Ok(text(properties, "claims")?.map(SecretText::from)),
    }
}

/// Parameters are an object of texts, or a text with that object in it.
fn parameters(properties: &Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let wrong = || "parameters must be an object of texts".to_owned();
    let object = match properties.get(PARAMETERS) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::String(json)) if json.is_empty() => return Ok(BTreeMap::new()),
        Some(Value::String(json)) => serde_json::from_str(json).map_err(|_error| wrong())?,
        Some(Value::Object(object)) => object.clone(),
        Some(_other) => return Err(wrong()),
    };
    let text = |(name, value): (String, Value)| match value {
        Value::String(value) => Ok((name, value)),
        _ => Err(wrong()),
    };
    object.into_iter().map(text).collect()
}

/// When the access token ends: after `expires_in` seconds, at `access_expires`, or when it says itself.
fn access_end(
    properties: &Map<String, Value>,
    token: Option<&SecretText>,
) -> Result<Option<TokenEnd>, String> {
    match (number(properties, "expires_in")?, properties.get("access_expires")) {
        (Some(_), Some(end)) if !end.is_null() => {
            Err("set expires_in or access_expires, not both".to_owned())
        }
        (Some(seconds), _) if (0..=MOST_SECONDS).contains(&seconds) => {
            Ok(Some(TokenEnd::In(seconds * 1_000_000)))
        }
        (Some(_other), _) => Err(format!("expires_in must be from 0 to {MOST_SECONDS}")),
        (None, Some(end)) if !end.is_null() => moment(end).map(Some),
        (None, _) => {
            let of_jwt = token.and_then(|token| expiry::of_token(token.expose()));
            Ok(of_jwt.map(|end| TokenEnd::At(end.as_microsecond())))
        }
    }
}

/// A whole number, which a CSV has as a text.
fn number(properties: &Map<String, Value>, name: &str) -> Result<Option<i64>, String> {
    let number = match properties.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_other) => None,
    };
    number.map(Some).ok_or_else(|| format!("{name} must be a whole number"))
}

/// A time: seconds since 1970 UTC, or a date and time with its distance from UTC (RFC 3339).
fn moment(end: &Value) -> Result<TokenEnd, String> {
    let parsed = match end {
        Value::Number(seconds) => {
            seconds.as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok())
        }
        Value::String(text) => match text.trim().parse() {
            Ok(seconds) => Timestamp::from_second(seconds).ok(),
            Err(_no_number) => text.trim().parse().ok(),
        },
        _ => None,
    };
    parsed.map(|end| TokenEnd::At(end.as_microsecond())).ok_or_else(|| {
        "access_expires must be like 2027-01-31T12:00:00Z, or the seconds since 1970".to_owned()
    })
}

/// Says why a carrier is invalid, by the names of this file.
fn named(invalid: InvalidCarrier) -> String {
    if invalid.violation == Violation::NoToken {
        return "access_token or refresh_token is required".to_owned();
    }
    let name = match invalid.field {
        Field::Provider => "provider",
        Field::AccessToken => "access_token",
        Field::RefreshToken => "refresh_token",
        Field::Claims => "claims",
    };
    format!("{name} {}", invalid.violation)
}
