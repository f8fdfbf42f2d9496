//! The configuration: typed, strict, read once and passed down.
//!
//! Invariant: `config/default.toml` is compiled in and holds every key that has a default, so there
//! is no default elsewhere; an unknown key is an error; a URL, which may hold a password, is not
//! shown.

pub(crate) mod access;
pub(crate) mod environment;
mod keys;
mod listen;
pub(crate) mod records;

use std::{
    fmt,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{anyhow, bail};
use auth::{Installation, Policy};
use config::{
    Config as Layers, ConfigBuilder, ConfigError, Environment, File, FileFormat, FileSourceFile,
    builder::DefaultState,
};
use model::TenantId;
use negotiate::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use store::{Clock, KeySource, OpenError, OpenOptions, Quotas, secret_file};

use self::{
    access::{Auth, List, Online},
    keys::Keys,
    listen::Listen,
    records::Records,
};
use crate::{
    callers::proxy_trust::ProxyTrust,
    first_user::FirstUser,
    http::{
        hosts::Hosts,
        origins::Origins,
        paths::{self, Paths, Tenants},
    },
};

const DEFAULTS: &str = include_str!("../../../config/default.toml");
const DEVELOPMENT: &str = "development";

/// At least what servers reserve ahead, at most half of what AES-GCM with random nonces allows under one key
/// (NIST SP 800-38D §8.3).
const ROTATE_AFTER_WRAPS: RangeInclusive<i64> = 1 << 20..=1 << 31;

/// The longest drain, in seconds.
const DRAIN_AT_MOST: u64 = 3600;
/// How many bytes of the log may wait.
const LOG_BUFFER: RangeInclusive<usize> = 1 << 16..=1 << 30;
/// How long a client may be waited for.
const SECONDS: RangeInclusive<u64> = 1..=3600;
/// One writes, and at least one reads.
const CONNECTIONS: RangeInclusive<usize> = 2..=64;
/// Adding a credential looks at this many rows. A client that asks for tokens all the time has eight that live.
const CREDENTIALS_PER_USER: RangeInclusive<u32> = 10..=10_000;

/// Every key, as TOML has it.
const SETTINGS: &[&str] = &[
    "profile",
    "data_directory",
    "installation",
    "tenants",
    "tenant",
    "base_time_zone",
    "server.listen",
    "server.path_prefix",
    "server.behind_proxy",
    "server.trusted_proxies",
    "server.hosts",
    "server.cors_origins",
    "server.connections",
    "server.connections_per_address",
    "server.tls.certificate",
    "server.tls.key",
    "server.tls_reload_seconds",
    "server.drain_seconds",
    "database.url",
    "database.url_file",
    "database.auto_migrate",
    "database.connections",
    "keys.source",
    "keys.directory",
    "keys.secret",
    "keys.secret_file",
    "keys.pkcs11.module",
    "keys.pkcs11.token",
    "keys.pkcs11.key",
    "keys.pkcs11.pin",
    "keys.pkcs11.pin_file",
    "keys.rotate_after_wraps",
    "records.expire_after_days",
    "records.expire_unused_after_days",
    "records.providers",
    "records.remove_after_days",
    "records.sweep_seconds",
    "records.per_user",
    "auth.retrieval",
    "auth.credentials_per_user",
    "auth.schemes.basic",
    "auth.schemes.so_ticket",
    "auth.schemes.bearer",
    "auth.schemes.session",
    "auth.bearer.jwks",
    "auth.bearer.issuer",
    "auth.bearer.audience",
    "auth.bearer.stale_hours",
    "auth.session.idle_minutes",
    "auth.session.lifetime_minutes",
    "auth.throttle.per_user",
    "auth.throttle.per_address",
    "online.user_agent",
    "first_user.login",
    "first_user.password_file",
    "limits.token_bytes",
    "limits.body_bytes",
    "limits.bodies_bytes",
    "limits.body_seconds",
    "limits.head_seconds",
    "limits.answer_seconds",
    "limits.idle_seconds",
    "limits.idempotency_keys_per_user",
    "log.filter",
    "log.buffer_bytes",
];

/// Everything that can be configured; `config/default.toml` says what each key does.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) profile: String,
    pub(crate) data_directory: PathBuf,
    #[serde(
        deserialize_with = "access::read_installation",
        serialize_with = "access::show_installation"
    )]
    pub(crate) installation: Installation,
    pub(crate) tenants: Tenants,
    tenant: Option<String>,
    base_time_zone: String,
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) keys: Keys,
    pub(crate) records: Records,
    pub(crate) auth: Auth,
    pub(crate) online: Online,
    pub(crate) first_user: FirstUser,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    /// The files of it that hold a secret.
    #[serde(skip)]
    secret_files: Vec<PathBuf>,
}

/// The listener.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: Listen,
    path_prefix: String,
    pub(crate) behind_proxy: bool,
    trusted_proxies: List,
    hosts: List,
    cors_origins: List,
    pub(crate) connections: usize,
    pub(crate) connections_per_address: usize,
    pub(crate) tls: Option<Tls>,
    pub(crate) tls_reload_seconds: u64,
    pub(crate) drain_seconds: u64,
}

/// PEM files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The database.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Database {
    #[serde(serialize_with = "redact")]
    url: Option<SecretString>,
    url_file: Option<PathBuf>,
    pub(crate) auto_migrate: bool,
    connections: usize,
}

/// What is refused for its size.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) token_bytes: usize,
    pub(crate) body_bytes: usize,
    pub(crate) bodies_bytes: usize,
    pub(crate) body_seconds: u64,
    pub(crate) head_seconds: u64,
    pub(crate) answer_seconds: u64,
    pub(crate) idle_seconds: u64,
    pub(crate) idempotency_keys_per_user: u64,
}

impl Limits {
    /// How long a client may take to send the head of its first request.
    pub(crate) fn head_time(&self) -> Duration {
        Duration::from_secs(self.head_seconds)
    }

    /// How long a connection stays open for the next request.
    pub(crate) fn idle_time(&self) -> Duration {
        Duration::from_secs(self.idle_seconds)
    }
}

/// The log.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) filter: String,
    pub(crate) buffer_bytes: usize,
}

impl Config {
    /// Reads defaults, the profile's file, `file` and the environment, each over the one before.
    ///
    /// # Errors
    /// Names the file, or the environment, that is wrong, and the key.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let environment = environment::read()?;
        let profile = profile_file(file, environment.clone())?;
        let mut layers = defaults().add_source(toml_file(&profile).required(false));
        read(&layers, &profile.display())?;
        if let Some(file) = file {
            layers = layers.add_source(toml_file(file));
            read(&layers, &file.display())?;
        }
        let mut config = read(&layers.add_source(environment), &"the environment")?;
        config.read_secret_files()?;
        let files = [Some(profile.as_path()), file].into_iter().flatten();
        config.secret_files = files.filter(|file| holds_secret(file)).map(Path::to_owned).collect();
        config.check_limits()?;
        config.records.check()?;
        Ok(config)
    }

    /// Reads the files that stand for a setting, each once.
    fn read_secret_files(&mut self) -> anyhow::Result<()> {
        let Database { url, url_file, .. } = &mut self.database;
        read_secret_file(url, url_file.as_deref(), ["database.url", "database.url_file"])?;
        if let Some(pkcs11) = &mut self.keys.pkcs11 {
            let settings = ["keys.pkcs11.pin", "keys.pkcs11.pin_file"];
            read_secret_file(&mut pkcs11.pin, pkcs11.pin_file.as_deref(), settings)?;
        }
        Ok(())
    }

    fn check_limits(&self) -> anyhow::Result<()> {
        let Limits { token_bytes, body_bytes, bodies_bytes, idempotency_keys_per_user, .. } =
            self.limits;
        let Server { connections, connections_per_address, .. } = self.server;
        for (key, value) in [
            ("limits.token_bytes", token_bytes as u64),
            ("limits.idempotency_keys_per_user", idempotency_keys_per_user),
            ("server.connections", connections as u64),
            ("server.connections_per_address", connections_per_address as u64),
        ] {
            if value == 0 {
                bail!("{key} must be at least 1");
            }
        }
        for (key, seconds) in [
            ("limits.body_seconds", self.limits.body_seconds),
            ("limits.head_seconds", self.limits.head_seconds),
            ("limits.answer_seconds", self.limits.answer_seconds),
            ("limits.idle_seconds", self.limits.idle_seconds),
        ] {
            if !SECONDS.contains(&seconds) {
                bail!("{key} must be from 1 to 3600");
            }
        }
        if body_bytes <= token_bytes {
            bail!("limits.body_bytes must be more than limits.token_bytes");
        }
        if self.server.tls_reload_seconds == 0 {
            bail!("server.tls_reload_seconds must be at least 1");
        }
        if self.server.drain_seconds > DRAIN_AT_MOST {
            bail!("server.drain_seconds must be at most {DRAIN_AT_MOST}");
        }
        if !LOG_BUFFER.contains(&self.log.buffer_bytes) {
            bail!("log.buffer_bytes must be from {} to {}", LOG_BUFFER.start(), LOG_BUFFER.end());
        }
        if !CONNECTIONS.contains(&self.database.connections) {
            bail!("database.connections must be from 2 to 64");
        }
        if !CREDENTIALS_PER_USER.contains(&self.auth.credentials_per_user) {
            bail!("auth.credentials_per_user must be from 10 to 10000");
        }
        if bodies_bytes < body_bytes {
            bail!("limits.bodies_bytes must be at least limits.body_bytes");
        }
        if !ROTATE_AFTER_WRAPS.contains(&self.keys.rotate_after_wraps) {
            bail!("keys.rotate_after_wraps must be from 1048576 to 2147483648");
        }
        Ok(())
    }

    /// Where paths of the API begin.
    ///
    /// # Errors
    /// The prefix is not one that a path can have.
    pub(crate) fn paths(&self) -> anyhow::Result<Paths> {
        let prefix = self.server.path_prefix.trim_end_matches('/');
        if !is_path_prefix(prefix) {
            bail!(
                "server.path_prefix must be empty or like \"/SuperOffice\": a slash before each \
                 name, of letters, digits, `-`, `_`, `.` and `~`"
            );
        }
        let only_tenant = self.only_tenant()?.unwrap_or_else(TenantId::single);
        Ok(Paths { prefix: prefix.to_owned(), tenants: self.tenants, only_tenant })
    }

    /// The tenant of an installation that has only one, by the name that the configuration gives it.
    ///
    /// # Errors
    /// The name cannot be a tenant's, or paths name the tenants.
    pub(crate) fn only_tenant(&self) -> anyhow::Result<Option<TenantId>> {
        match (self.tenants, &self.tenant) {
            (Tenants::Path, None) => Ok(None),
            (Tenants::Single, None) => Ok(Some(TenantId::single())),
            (Tenants::Path, Some(_)) => bail!(
                "tenant names the only tenant, so it does not go with tenants = \"path\"; remove one of them"
            ),
            (Tenants::Single, Some(name)) => {
                let name = paths::tenant(name).ok_or_else(|| {
                    anyhow!(
                        "tenant must be like \"Cust26759\": 1 to 64 letters, digits, `-` and `_`, and no \
                         path of the server"
                    )
                })?;
                Ok(Some(TenantId::single_named(&name)))
            }
        }
    }

    /// The schemes that are on.
    pub(crate) fn policy(&self) -> Policy {
        Policy::new(self.installation, self.auth.switches())
    }

    /// How the address of a client is known.
    ///
    /// # Errors
    /// An item of `server.trusted_proxies` is no address, or there is none though a proxy is in front.
    pub(crate) fn proxy_trust(&self) -> anyhow::Result<ProxyTrust> {
        let trusted = access::networks(&self.server.trusted_proxies, "server.trusted_proxies")?;
        if self.server.behind_proxy && trusted.is_empty() {
            bail!(
                "server.behind_proxy needs server.trusted_proxies, the addresses of the proxy, such as \
                 [\"127.0.0.1\"] or [\"10.0.0.0/8\"]: otherwise all clients seem to have the proxy's \
                 address, and wrong passwords of one client lock users out everywhere"
            );
        }
        Ok(ProxyTrust { trusted, behind_proxy: self.server.behind_proxy })
    }

    /// The hosts that requests may name.
    ///
    /// # Errors
    /// An item of `server.hosts` is no host.
    pub(crate) fn hosts(&self) -> anyhow::Result<Hosts> {
        Hosts::new(self.server.hosts.items(), !self.is_exposed()).ok_or_else(|| {
            anyhow!(
                "server.hosts must have names and addresses without a port, such as \
                 \"latchkey.example.com\", \"192.0.2.1\" and \"[2001:db8::1]\""
            )
        })
    }

    /// The origins whose scripts may call.
    ///
    /// # Errors
    /// An item is not like `https://app.example.com` or `http://localhost*`.
    pub(crate) fn cors_origins(&self) -> anyhow::Result<Origins> {
        Origins::parse(self.server.cors_origins.items())
    }

    /// The zone of dates, unless a request names another.
    ///
    /// # Errors
    /// There is no such zone.
    pub(crate) fn base_time_zone(&self) -> anyhow::Result<TimeZone> {
        TimeZone::find(&self.base_time_zone).map_err(|_unknown| {
            anyhow!("base_time_zone must be a known time zone, such as \"UTC\" or \"Europe/Oslo\"")
        })
    }

    /// Whether the sample login is made and logs are for people.
    pub(crate) fn is_development(&self) -> bool {
        self.profile == DEVELOPMENT
    }

    /// Where the rows are.
    pub(crate) fn database(&self) -> Result<store::Database, OpenError> {
        match &self.database.url {
            Some(url) => url.expose_secret().parse(),
            None => Ok(store::Database::Sqlite(self.data_directory.join("latchkey.db"))),
        }
    }

    /// How the store is opened.
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
            lifespans: self.records.lifespans(),
            quotas: Quotas {
                credentials: self.auth.credentials_per_user.into(),
                records: self.records.per_user,
                idempotency_keys: self.limits.idempotency_keys_per_user,
            },
        })
    }

    /// Where the master keys are.
    ///
    /// # Errors
    /// There are two secrets, the file of one cannot be read, or the module lacks its PIN.
    pub(crate) fn keys(&self) -> anyhow::Result<store::Keys> {
        self.keys.read(self.keys_directory())
    }

    /// What the next key is kept in, for people.
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

    /// Takes the address of a host's name, if `server.listen` has one; it is then that of the configuration.
    ///
    /// # Errors
    /// The name is unknown.
    pub(crate) fn resolve_listen(&mut self) -> anyhow::Result<SocketAddr> {
        let address = self.server.listen.resolve()?;
        self.server.listen = Listen::Address(address);
        Ok(address)
    }

    /// The folders of the database and of the keys, which are the server's alone.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.data_directory.clone(), self.keys_directory()];
        if let Ok(store::Database::Sqlite(file)) = self.database()
            && let Some(folder) = file.parent()
        {
            folders.push(folder.to_owned());
        }
        folders.sort();
        folders.dedup();
        folders.retain(|folder| !folder.as_os_str().is_empty());
        folders
    }

    /// The files that hold a secret, but for those of `keys.directory`.
    pub(crate) fn secret_files(&self) -> Vec<PathBuf> {
        let named = [
            self.server.tls.as_ref().map(|tls| &tls.key),
            self.keys.secret_file.as_ref(),
            self.keys.pkcs11.as_ref().and_then(|pkcs11| pkcs11.pin_file.as_ref()),
            self.database.url_file.as_ref(),
            self.first_user.password_file.as_ref(),
        ];
        let named = named.into_iter().flatten();
        named.chain(&self.secret_files).cloned().collect()
    }

    /// Whether other machines can reach the server: by its address, or through a proxy.
    pub(crate) fn is_exposed(&self) -> bool {
        self.server.behind_proxy || !self.server.listen.is_loopback()
    }

    /// Refuses to let credentials travel where others can read them.
    pub(crate) fn refuse_plain_exposure(&self) -> anyhow::Result<()> {
        if self.is_exposed() && self.server.tls.is_none() && !self.server.behind_proxy {
            bail!(
                "server.listen = \"{}\" can be reached from other machines, and passwords and \
                 tokens would travel in the clear; set server.tls, or server.behind_proxy = true \
                 if a proxy ends TLS, or listen on 127.0.0.1",
                self.server.listen
            );
        }
        Ok(())
    }

    /// What is in force, as TOML.
    pub(crate) fn show(&self) -> anyhow::Result<String> {
        let mut shown = self.clone();
        shown.keys.directory = Some(self.keys_directory());
        if shown.database.url.is_none() {
            shown.database.url = Some(format!("sqlite:{}", self.database()?).into());
        }
        Ok(toml::to_string(&shown)?)
    }
}

/// Whether the text may stand before every path: nothing, or names of plain characters with a slash before each.
pub(crate) fn is_path_prefix(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let has_names = text.split('/').skip(1).all(|name| !name.trim_matches('.').is_empty());
    (text.is_empty() || text.starts_with('/')) && has_names && text.bytes().all(is_plain)
}

type Builder = ConfigBuilder<DefaultState>;

fn defaults() -> Builder {
    Layers::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml))
}

fn toml_file(path: &Path) -> File<FileSourceFile, FileFormat> {
    File::from(path).format(FileFormat::Toml)
}

/// The file of the profile that `file` or the environment names; it need not be there.
fn profile_file(file: Option<&Path>, environment: Environment) -> anyhow::Result<PathBuf> {
    let mut layers = defaults();
    if let Some(file) = file {
        layers = layers.add_source(toml_file(file));
    }
    let layers = layers.add_source(environment).build();
    let profile = layers
        .and_then(|layers| layers.get_string("profile"))
        .map_err(|error| anyhow!("the configuration cannot be read: {}", told(&error)))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if profile.is_empty() || !profile.bytes().all(is_plain) {
        bail!("profile may have only letters, digits, `-` and `_`");
    }
    Ok(Path::new("config").join(format!("{profile}.toml")))
}

/// Settings whose values are secret, as far as a URL has a password.
const SECRETS: [&str; 3] = ["database.url", "keys.secret", "keys.pkcs11.pin"];

/// Takes the value of a setting from the file that another setting names, without the white space around it.
fn read_secret_file(
    value: &mut Option<SecretString>,
    file: Option<&Path>,
    [setting, setting_of_file]: [&'static str; 2],
) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    if value.is_some() {
        bail!("set {setting} or {setting_of_file}, not both");
    }
    let text = secret_file::read_text(file, setting_of_file)?;
    if text.is_empty() {
        bail!("{setting_of_file}: {} is empty", file.display());
    }
    *value = Some(text.as_str().into());
    Ok(())
}

/// Whether a file of the configuration has a secret in it.
fn holds_secret(file: &Path) -> bool {
    let file = Layers::builder().add_source(toml_file(file).required(false)).build();
    file.is_ok_and(|file| {
        let is_secret = |value: String| !value.starts_with("sqlite:");
        SECRETS.iter().any(|setting| file.get_string(setting).is_ok_and(is_secret))
    })
}

/// The configuration as far as these layers go; an error is that of the layer added last.
fn read(layers: &Builder, last: &dyn fmt::Display) -> anyhow::Result<Config> {
    let config = layers.build_cloned().and_then(Layers::try_deserialize);
    config.map_err(|error| anyhow!("the configuration in {last} is not valid: {}", told(&error)))
}

/// What is wrong, without the value, which may be a password, and without the line it stands in.
fn told(error: &ConfigError) -> String {
    match error {
        ConfigError::At { error, key: Some(key), .. } => format!("{} for key `{key}`", told(error)),
        ConfigError::Type { expected, key, .. } => {
            let key = key.as_deref().unwrap_or("(unnamed)");
            format!("wrong value, expected {expected} for key `{key}`")
        }
        ConfigError::Message(text) if text.starts_with("invalid type") => {
            let expected =
                text.rsplit_once("expected ").map_or("another", |(_, expected)| expected);
            format!("wrong value, expected {expected}")
        }
        ConfigError::FileParse { cause, .. } => {
            cause.to_string().lines().next().unwrap_or("no valid TOML").to_owned()
        }
        other => other.to_string(),
    }
}

/// A file's path is shown, and where a server is; what else is in its URL may be a password.
fn redact<S: Serializer>(url: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(url) = url.as_ref().map(ExposeSecret::expose_secret) else {
        return serializer.serialize_none();
    };
    match url.parse::<store::Database>() {
        Ok(store::Database::Sqlite(_)) => serializer.serialize_some(url),
        Ok(server @ store::Database::Postgres(_)) => serializer.serialize_some(&server.to_string()),
        Err(_) => serializer.serialize_some("(set)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key stands in default.toml: as a value, or commented out where it has no default.
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
        config.server.tls = Some(Tls { certificate: "c".into(), key: "k".into() });
        config.first_user =
            FirstUser { login: Some("x".to_owned()), password_file: Some("p".into()) };
        config.records.expire_after_days = Some(1);
        config.records.expire_unused_after_days = Some(1);
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
        let mut expected = SETTINGS.to_vec();
        expected.sort_unstable();
        assert_eq!(settings, expected);
        for setting in SETTINGS {
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
        assert!(config.refuse_plain_exposure().is_ok());
        for address in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
            config.server.listen = Listen::Address(address.parse().expect("address"));
            config.server.behind_proxy = false;
            assert!(config.refuse_plain_exposure().is_err(), "{address}");
            config.server.behind_proxy = true;
            assert!(config.refuse_plain_exposure().is_ok(), "{address}");
        }
    }
}
