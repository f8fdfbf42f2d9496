//! The configuration: typed, strict, read once and passed down.
//!
//! Invariant: `config/default.toml` is compiled in and holds every key that has a default. The only other defaults are
//! those of the items of lists (`grants`, `webhooks`). An unknown key is an error. This room uses no other room of the
//! server, so that every room can use it.

pub(crate) mod audit;
pub(crate) mod auth;
mod backup;
mod database;
pub(crate) mod environment;
mod first_user;
pub(crate) mod grants;
mod keys;
mod limits;
mod list;
mod list_of_tables;
mod listen;
mod load;
mod log;
mod metrics;
pub(crate) mod online;
mod records;
mod secrets;
mod server;
mod settings;
pub(crate) mod tenants;
pub(crate) mod url;
pub(crate) mod webhooks;

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf};

use ::auth::{Installation, Policy};
use anyhow::{anyhow, bail};
use model::TenantId;
use negotiate::TimeZone;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use store::{Clock, KeySource, OpenError, OpenOptions, Quotas};

use self::{
    audit::Audit, auth::Auth, backup::Backup, database::Database, first_user::FirstUser,
    grants::Grants, keys::Keys, listen::Listen, log::Log, metrics::Metrics, online::Online,
    records::Records, tenants::Tenants, webhooks::Webhooks,
};
pub(crate) use self::{
    limits::Limits,
    log::LogFormat,
    server::{Server, Tls, is_path_prefix},
};

const DEFAULTS: &str = include_str!("../../../config/default.toml");
const DEVELOPMENT: &str = "development";

/// All settings; `config/default.toml` explains each of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) profile: String,
    pub(crate) data_directory: PathBuf,
    #[serde(
        deserialize_with = "auth::read_installation",
        serialize_with = "auth::show_installation"
    )]
    pub(crate) installation: Installation,
    pub(crate) tenants: Tenants,
    tenant: Option<String>,
    base_time_zone: String,
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) backup: Backup,
    pub(crate) keys: Keys,
    pub(crate) records: Records,
    pub(crate) grants: Grants,
    pub(crate) webhooks: Webhooks,
    pub(crate) auth: Auth,
    pub(crate) online: Online,
    pub(crate) first_user: FirstUser,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    pub(crate) audit: Audit,
    pub(crate) metrics: Metrics,
    /// The configuration files that hold a secret.
    #[serde(skip)]
    secret_files: Vec<PathBuf>,
}

impl Config {
    fn check(&self) -> anyhow::Result<()> {
        self.limits.check()?;
        self.server.check()?;
        self.log.check()?;
        self.audit.check()?;
        self.metrics.check()?;
        self.database.check()?;
        self.auth.check()?;
        self.backup.check()?;
        self.keys.check()?;
        self.records.check()?;
        self.grants.check(self.is_development())?;
        self.webhooks.check(self.is_development())
    }

    /// The tenant of an installation that has only one, by the name that the configuration gives it.
    ///
    /// # Errors
    /// The name cannot be a tenant's, or paths name the tenants.
    pub(crate) fn only_tenant(&self) -> anyhow::Result<Option<TenantId>> {
        self.tenants.only(self.tenant.as_deref())
    }

    /// The schemes that are on.
    pub(crate) fn policy(&self) -> Policy {
        Policy::new(self.installation, self.auth.switches())
    }

    /// The zone of dates, unless a request names another.
    ///
    /// # Errors
    /// The zone is unknown.
    pub(crate) fn base_time_zone(&self) -> anyhow::Result<TimeZone> {
        TimeZone::find(&self.base_time_zone).map_err(|_unknown| {
            anyhow!("base_time_zone must be a known time zone, such as \"UTC\" or \"Europe/Oslo\"")
        })
    }

    /// Whether the sample login is made.
    pub(crate) fn is_development(&self) -> bool {
        self.profile == DEVELOPMENT
    }

    /// The format of the log: for people in development, JSON otherwise, unless `log.format` says so.
    pub(crate) fn log_format(&self) -> LogFormat {
        let default = if self.is_development() { LogFormat::Text } else { LogFormat::Json };
        self.log.format.unwrap_or(default)
    }

    /// The database.
    pub(crate) fn database(&self) -> Result<store::Database, OpenError> {
        match &self.database.url {
            Some(url) => url.expose_secret().parse(),
            None => Ok(store::Database::Sqlite(self.data_directory.join("latchkey.db"))),
        }
    }

    /// The options that the store is opened with.
    ///
    /// # Errors
    /// The database's URL is not one that can be opened.
    pub(crate) fn open_options(&self) -> anyhow::Result<OpenOptions> {
        Ok(OpenOptions {
            clock: Clock::SYSTEM,
            database: self.database()?,
            keys: self.keys()?,
            auto_migrate: self.database.auto_migrate,
            connections: self.database.connections,
            expiry_policy: self.records.expiry_policy(),
            quotas: Quotas {
                credentials: self.auth.credentials_per_user.into(),
                records: self.records.per_user,
                idempotency_keys: self.limits.idempotency_keys_per_user,
            },
            unsaved_directory: self.unsaved_directory(),
            outbox: self.webhooks.outbox(self.only_tenant()?.as_ref()),
        })
    }

    /// The sources of the master keys.
    ///
    /// # Errors
    /// Two settings give the secret, its file cannot be read, or the module lacks its PIN.
    pub(crate) fn keys(&self) -> anyhow::Result<store::KekSources> {
        self.keys.read(self.keys_directory())
    }

    /// The place of the next key, in words.
    pub(crate) fn place_of_keys(&self) -> String {
        match self.keys.source {
            KeySource::Directory => self.keys_directory().display().to_string(),
            KeySource::Secret => "keys.secret".to_owned(),
            KeySource::Pkcs11 => "sealed by the hardware module".to_owned(),
        }
    }

    /// The folder of master keys that are files.
    fn keys_directory(&self) -> PathBuf {
        self.keys.directory.clone().unwrap_or_else(|| self.data_directory.join("keys"))
    }

    /// The folder of refreshed tokens that the database could not take yet, sealed.
    pub(crate) fn unsaved_directory(&self) -> PathBuf {
        let default = || self.data_directory.join("unsaved");
        self.grants.unsaved_directory.clone().unwrap_or_else(default)
    }

    /// Looks up the host of `server.listen`, if it is a name, and replaces the name by its address.
    ///
    /// # Errors
    /// The name is unknown.
    pub(crate) fn resolve_listen(&mut self) -> anyhow::Result<SocketAddr> {
        let address = self.server.listen.resolve("server.listen")?;
        self.server.listen = Listen::Address(address);
        Ok(address)
    }

    /// Looks up the host of `metrics.listen`, if it is a name. `None` if there is no such listener.
    ///
    /// # Errors
    /// The name is unknown.
    pub(crate) fn metrics_address(&self) -> anyhow::Result<Option<SocketAddr>> {
        let listen = self.metrics.listen.as_ref();
        listen.map(|listen| listen.resolve("metrics.listen")).transpose()
    }

    /// The folders of the database, of the keys and of unsaved tokens, which only the server may write to.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let mut folders =
            vec![self.data_directory.clone(), self.keys_directory(), self.unsaved_directory()];
        if let Ok(store::Database::Sqlite(file)) = self.database()
            && let Some(folder) = file.parent()
        {
            folders.push(folder.to_owned());
        }
        folders.extend(self.backup.directory.clone());
        folders.sort();
        folders.dedup();
        folders.retain(|folder| !folder.as_os_str().is_empty());
        folders
    }

    /// The files that hold a secret, except for those of `keys.directory`.
    pub(crate) fn secret_files(&self) -> Vec<PathBuf> {
        let named = [
            self.server.tls.as_ref().map(|tls| &tls.key),
            self.keys.secret_file.as_ref(),
            self.keys.pkcs11.as_ref().and_then(|pkcs11| pkcs11.pin_file.as_ref()),
            self.database.url_file.as_ref(),
            self.first_user.password_file.as_ref(),
        ];
        let named = named.into_iter().flatten();
        named
            .chain(self.grants.secret_files())
            .chain(self.webhooks.secret_files())
            .chain(&self.secret_files)
            .cloned()
            .collect()
    }

    /// The configuration in force, as TOML.
    pub(crate) fn show(&self) -> anyhow::Result<String> {
        let mut shown = self.clone();
        shown.keys.directory = Some(self.keys_directory());
        shown.grants.unsaved_directory = Some(self.unsaved_directory());
        if shown.database.url.is_none() {
            shown.database.url = Some(format!("sqlite:{}", self.database()?).into());
        }
        Ok(toml::to_string(&shown)?)
    }
}

fn check_range(key: &str, value: u32, range: RangeInclusive<u32>) -> anyhow::Result<()> {
    if !range.contains(&value) {
        bail!("{key} must be from {} to {}", range.start(), range.end());
    }
    Ok(())
}

fn at_least_1(key: &str, value: u64) -> anyhow::Result<()> {
    if value == 0 {
        bail!("{key} must be at least 1");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key is in default.toml: as a value, or commented out if it has no default.
    #[test]
    fn the_default_file_names_every_key() {
        let mut config = Config::load(None).expect("defaults");
        assert!(config.is_development());
        config.database.url = Some("postgres://user:CANARY@host/x".into());
        config.database.url_file = Some("f".into());
        config.keys.secret = Some("CANARY".into());
        config.keys.secret_file = Some("s".into());
        config.keys.pkcs11 = Some(keys::Pkcs11 {
            module: "m".into(),
            token: "t".to_owned(),
            key: "k".to_owned(),
            pin: Some("CANARY".into()),
            pin_file: Some("f".into()),
        });
        config.tenant = Some("x".to_owned());
        config.backup.directory = Some("b".into());
        config.server.tls = Some(Tls { certificate: "c".into(), key: "k".into() });
        config.first_user =
            FirstUser { login: Some("x".to_owned()), password_file: Some("p".into()) };
        config.records.expire_after_days = Some(1);
        config.records.expire_unused_after_days = Some(1);
        config.log.format = Some(LogFormat::Json);
        config.grants.egress_proxy = Some("http://proxy:1".to_owned());
        let schemes = &mut config.auth.schemes;
        for scheme in
            [&mut schemes.basic, &mut schemes.so_ticket, &mut schemes.bearer, &mut schemes.session]
        {
            *scheme = Some(true);
        }
        let bearer = &mut config.auth.bearer;
        for setting in [&mut bearer.jwks, &mut bearer.issuer, &mut bearer.audience] {
            *setting = Some("x".to_owned());
        }
        let shown = config.show().expect("shown");
        assert!(!shown.contains("CANARY"), "{shown}");
        let shown: toml::Table = toml::from_str(&shown).expect("TOML");
        let mut settings = Vec::new();
        flatten("", &shown, &mut settings);
        settings.sort();
        let mut expected = settings::SETTINGS.to_vec();
        expected.sort_unstable();
        assert_eq!(settings, expected);
        for setting in settings::SETTINGS {
            let (_, key) = setting.rsplit_once('.').unwrap_or(("", setting));
            assert!(DEFAULTS.contains(&format!("{key} = ")), "{setting} is not in default.toml");
        }
    }

    fn flatten(prefix: &str, table: &toml::Table, settings: &mut Vec<String>) {
        for (name, value) in table {
            match value.as_table() {
                Some(inner) => flatten(&format!("{prefix}{name}."), inner, settings),
                None => settings.push(format!("{prefix}{name}")),
            }
        }
    }

    #[test]
    fn an_exposed_listener_needs_tls_or_a_proxy() {
        let mut config = Config::load(None).expect("defaults");
        assert!(config.server.refuse_plain_exposure().is_ok());
        for address in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
            config.server.listen = Listen::Address(address.parse().expect("address"));
            config.server.behind_proxy = false;
            assert!(config.server.refuse_plain_exposure().is_err(), "{address}");
            config.server.behind_proxy = true;
            assert!(config.server.refuse_plain_exposure().is_ok(), "{address}");
        }
    }
}
