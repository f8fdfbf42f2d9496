//! The configuration: typed, strict, read once and passed down.
//!
//! Invariant: `config/default.toml` is compiled in and holds every key that has a default, so there
//! is no default elsewhere; an unknown key is an error; a URL, which may hold a password, is not
//! shown.

use std::{
    env,
    ffi::OsString,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use config::{
    Config as Layers, ConfigBuilder, Environment, File, FileFormat, FileSourceFile,
    builder::DefaultState,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

const DEFAULTS: &str = include_str!("../../../config/default.toml");
const DEVELOPMENT: &str = "development";

/// Everything that can be configured; `config/default.toml` says what each key does.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) profile: String,
    pub(crate) data_directory: PathBuf,
    pub(crate) server: Server,
    pub(crate) database: Database,
    pub(crate) keys: Keys,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
}

/// The listener.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    pub(crate) behind_proxy: bool,
    pub(crate) tls: Option<Tls>,
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
    pub(crate) auto_migrate: bool,
}

/// The master keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    directory: Option<PathBuf>,
}

/// What is refused for its size.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) token_bytes: usize,
    pub(crate) body_bytes: usize,
    pub(crate) body_seconds: u64,
}

/// The log.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) filter: String,
}

impl Config {
    /// Reads defaults, the profile's file, `file` and the environment, each over the one before.
    ///
    /// # Errors
    /// Names the file, or the environment, that is wrong, and the key.
    pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        refuse_single_underscores(env::vars_os().map(|(name, _)| name))?;
        let profile = profile_file(file)?;
        let mut layers = defaults().add_source(toml_file(&profile).required(false));
        read(&layers, &profile.display())?;
        if let Some(file) = file {
            layers = layers.add_source(toml_file(file));
            read(&layers, &file.display())?;
        }
        let config = read(&layers.add_source(environment()), &"the environment")?;
        config.check_limits()?;
        Ok(config)
    }

    fn check_limits(&self) -> anyhow::Result<()> {
        let Limits { token_bytes, body_bytes, body_seconds } = self.limits;
        if token_bytes == 0 || body_seconds == 0 {
            bail!("limits.token_bytes and limits.body_seconds must be at least 1");
        }
        if body_bytes <= token_bytes {
            bail!("limits.body_bytes must be more than limits.token_bytes");
        }
        Ok(())
    }

    /// Whether the sample login is made and logs are for people.
    pub(crate) fn is_development(&self) -> bool {
        self.profile == DEVELOPMENT
    }

    /// Where the rows are.
    pub(crate) fn database(&self) -> Result<store::Database, store::OpenError> {
        match &self.database.url {
            Some(url) => url.expose_secret().parse(),
            None => Ok(store::Database::Sqlite(self.data_directory.join("latchkey.db"))),
        }
    }

    /// Where the master keys are.
    pub(crate) fn keys_directory(&self) -> PathBuf {
        self.keys.directory.clone().unwrap_or_else(|| self.data_directory.join("keys"))
    }

    /// Whether other machines can reach the server: by its address, or through a proxy.
    pub(crate) fn is_exposed(&self) -> bool {
        self.server.behind_proxy || !self.server.listen.ip().is_loopback()
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

type Builder = ConfigBuilder<DefaultState>;

fn defaults() -> Builder {
    Layers::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml))
}

fn toml_file(path: &Path) -> File<FileSourceFile, FileFormat> {
    File::from(path).format(FileFormat::Toml)
}

fn environment() -> Environment {
    Environment::with_prefix("LATCHKEY").prefix_separator("__").separator("__")
}

/// The file of the profile that `file` or the environment names; it need not be there.
fn profile_file(file: Option<&Path>) -> anyhow::Result<PathBuf> {
    let mut layers = defaults();
    if let Some(file) = file {
        layers = layers.add_source(toml_file(file));
    }
    let layers = layers.add_source(environment()).build();
    let profile = layers.context("the configuration cannot be read")?.get_string("profile")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if profile.is_empty() || !profile.bytes().all(is_plain) {
        bail!("profile may have only letters, digits, `-` and `_`");
    }
    Ok(Path::new("config").join(format!("{profile}.toml")))
}

/// The configuration as far as these layers go; an error is that of the layer added last.
fn read(layers: &Builder, last: &dyn fmt::Display) -> anyhow::Result<Config> {
    let config = layers.build_cloned().and_then(Layers::try_deserialize);
    config.with_context(|| format!("the configuration in {last} is not valid"))
}

/// A setting that would be ignored for an underscore is refused; the tests' own switches are not.
fn refuse_single_underscores(names: impl Iterator<Item = OsString>) -> anyhow::Result<()> {
    for name in names.filter_map(|name| name.into_string().ok()) {
        let is_setting = name.starts_with("LATCHKEY__") || name.starts_with("LATCHKEY_TEST_");
        if name.starts_with("LATCHKEY_") && !is_setting {
            bail!("{name} is no setting; names have two underscores, as LATCHKEY__SERVER__LISTEN");
        }
    }
    Ok(())
}

/// A file's path is shown; another URL may hold a password.
fn redact<S: Serializer>(url: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match url.as_ref().map(ExposeSecret::expose_secret) {
        Some(file) if file.starts_with("sqlite:") => serializer.serialize_some(file),
        Some(_) => serializer.serialize_some("(set)"),
        None => serializer.serialize_none(),
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
        config.server.tls = Some(Tls { certificate: "c".into(), key: "k".into() });
        let shown = config.show().expect("shown");
        let keys = shown.lines().filter_map(|line| line.split_once(" = ").map(|(key, _)| key));
        let documented: Vec<&str> = DEFAULTS
            .lines()
            .flat_map(|line| line.trim_start_matches("# ").split_once(" = "))
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            let is_part_of_tls = ["certificate", "key"].contains(&key);
            assert!(is_part_of_tls || documented.contains(&key), "{key} is not in default.toml");
        }
        assert!(!shown.contains("CANARY"), "{shown}");
    }

    #[test]
    fn an_exposed_listener_needs_tls_or_a_proxy() {
        let mut config = Config::load(None).expect("defaults");
        assert!(config.refuse_plain_exposure().is_ok());
        for address in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
            config.server.listen = address.parse().expect("address");
            config.server.behind_proxy = false;
            assert!(config.refuse_plain_exposure().is_err(), "{address}");
            config.server.behind_proxy = true;
            assert!(config.refuse_plain_exposure().is_ok(), "{address}");
        }
    }
}
