//! `grants`: how tokens are refreshed, and the providers that they are refreshed at.
//!
//! Invariant: a tenant has at most one provider of a name. An error names the setting and the provider's place in the
//! list, counted from 1, and no secret. The keys of a provider have their defaults here, because a list has none in
//! `config/default.toml`; the sample there shows each default.

mod check;
mod client_keys;
mod list;
mod preset;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use model::TenantId;
use provider::{
    AnswerRules, AssertionAlgorithm, AssertionKey, ClientAuth, ErrorWords, Parameters, RequestRules,
};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ureq::tls::ClientCert;

use self::{
    client_keys::{ClientTls, KeySettings},
    list::place,
};
use super::{keys::hide, secrets::read_secret_file, tenants::ANY};

/// How tokens are refreshed and exchanged.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grants {
    pub(crate) enabled: bool,
    pub(crate) token_endpoint: bool,
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

/// The answer of a get if no fresh token is available.
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

/// A provider, and this server's client there.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProviderSettings {
    pub(crate) name: String,
    pub(crate) preset: Option<String>,
    /// The keys whose values the preset has.
    #[serde(skip)]
    from_preset: BTreeSet<String>,
    pub(crate) tenants: Vec<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) authorization_endpoint: Option<String>,
    pub(crate) token_endpoint: Option<String>,
    pub(crate) refresh_endpoint: Option<String>,
    pub(crate) revocation_endpoint: Option<String>,
    pub(crate) introspection_endpoint: Option<String>,
    pub(crate) jwks: Option<String>,
    pub(crate) client_id: String,
    #[serde(serialize_with = "hide")]
    pub(crate) client_secret: Option<SecretString>,
    pub(super) client_secret_file: Option<PathBuf>,
    pub(super) next_client_secret_file: Option<PathBuf>,
    /// The content of the file above.
    #[serde(skip)]
    pub(crate) next_client_secret: Option<SecretString>,
    #[serde(serialize_with = "show_client_auth", deserialize_with = "read_client_auth")]
    pub(crate) client_auth: ClientAuth,
    pub(super) private_key_file: Option<PathBuf>,
    pub(super) key_id: Option<String>,
    pub(super) certificate_file: Option<PathBuf>,
    pub(super) next_private_key_file: Option<PathBuf>,
    pub(super) next_key_id: Option<String>,
    pub(super) next_certificate_file: Option<PathBuf>,
    pub(super) assertion_algorithm: Option<AssertionAlgorithm>,
    pub(crate) assertion_audience: Option<String>,
    /// The contents of the files above: the key, and the next one.
    #[serde(skip)]
    pub(crate) assertion_keys: Vec<Arc<AssertionKey>>,
    pub(crate) tls: Option<ClientTls>,
    /// The contents of its files.
    #[serde(skip)]
    pub(crate) client_certificate: Option<ClientCert>,
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
    pub(crate) revoke_upstream: bool,
    pub(crate) revocation_ends: RevocationEnds,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) allow_private_addresses: bool,
    pub(crate) parameters: Parameters,
    pub(crate) request: RequestRules,
    pub(crate) answer: AnswerRules,
    pub(crate) errors: ErrorWords,
}

/// The tokens that a provider revokes together with a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RevocationEnds {
    /// The whole grant, its access tokens included (RFC 7009 §2.1).
    Grant,
    /// That token alone.
    Token,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            preset: None,
            from_preset: BTreeSet::new(),
            tenants: vec![ANY.to_owned()],
            issuer: None,
            authorization_endpoint: None,
            token_endpoint: None,
            refresh_endpoint: None,
            revocation_endpoint: None,
            introspection_endpoint: None,
            jwks: None,
            client_id: String::new(),
            client_secret: None,
            client_secret_file: None,
            next_client_secret_file: None,
            next_client_secret: None,
            client_auth: ClientAuth::Basic,
            private_key_file: None,
            key_id: None,
            certificate_file: None,
            next_private_key_file: None,
            next_key_id: None,
            next_certificate_file: None,
            assertion_algorithm: None,
            assertion_audience: None,
            assertion_keys: Vec::new(),
            tls: None,
            client_certificate: None,
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
            revoke_upstream: false,
            revocation_ends: RevocationEnds::Grant,
            ca: None,
            allow_private_addresses: false,
            parameters: Parameters::default(),
            request: RequestRules::default(),
            answer: AnswerRules::default(),
            errors: ErrorWords::default(),
        }
    }
}

fn read_client_auth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ClientAuth, D::Error> {
    let name = String::deserialize(deserializer)?;
    ClientAuth::of_name(&name).ok_or_else(|| {
        de::Error::custom(
            "expected `basic`, `basic_raw`, `basic_secret`, `post`, `private_key_jwt`, `tls` or `none`",
        )
    })
}

fn show_client_auth<S: Serializer>(auth: &ClientAuth, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(auth.name())
}

impl Providers {
    /// The providers, in the order of the list.
    pub(crate) fn items(&self) -> &[ProviderSettings] {
        &self.0
    }

    /// Each provider with its name in errors.
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
            let named = [
                &provider.client_secret_file,
                &provider.next_client_secret_file,
                &provider.private_key_file,
                &provider.next_private_key_file,
            ];
            named.into_iter().flatten().chain(provider.tls.as_ref().map(|tls| &tls.key))
        })
    }
}

impl ProviderSettings {
    /// Whether the provider is configured for a tenant.
    pub(crate) fn is_for(&self, tenant: &TenantId) -> bool {
        self.tenants.iter().any(|name| {
            name == ANY || TenantId::parse(name).is_ok_and(|named| named.is_named_as(tenant))
        })
    }

    /// The name of a key in errors, because its value may come from a preset.
    fn called(&self, key: &str) -> String {
        match &self.preset {
            Some(preset) if self.from_preset.contains(key) => {
                format!("{key} (of the preset {})", preset.escape_debug())
            }
            _ => key.to_owned(),
        }
    }

    /// A URL with the values of the parameters that are the same for every user.
    pub(crate) fn filled(&self, url: &str) -> String {
        provider::fill_url(url, &self.parameters.fixed())
    }

    fn read_secret_files(&mut self) -> anyhow::Result<()> {
        for (secret, file, settings) in [
            (
                &mut self.client_secret,
                &self.client_secret_file,
                ["client_secret", "client_secret_file"],
            ),
            (
                &mut self.next_client_secret,
                &self.next_client_secret_file,
                ["next_client_secret", "next_client_secret_file"],
            ),
        ] {
            read_secret_file(secret, file.as_deref(), settings)?;
        }
        self.assertion_keys =
            self.key_settings().map(|key| key.read().map(Arc::new)).collect::<Result<_, _>>()?;
        self.client_certificate = self.tls.as_ref().map(ClientTls::read).transpose()?;
        Ok(())
    }

    /// The keys that sign assertions, in the order in which they are tried.
    fn key_settings(&self) -> impl Iterator<Item = KeySettings<'_>> {
        let current = (&self.private_key_file, &self.key_id, &self.certificate_file);
        let next = (&self.next_private_key_file, &self.next_key_id, &self.next_certificate_file);
        let names = ["private_key_file", "certificate_file"];
        let names_of_next = ["next_private_key_file", "next_certificate_file"];
        [(names, current), (names_of_next, next)].into_iter().filter_map(
            |(names, (file, id, certificate))| {
                Some(KeySettings {
                    names,
                    file: file.as_deref()?,
                    id: id.as_deref(),
                    certificate: certificate.as_deref(),
                    algorithm: self.assertion_algorithm,
                })
            },
        )
    }
}

#[cfg(test)]
mod tests;
