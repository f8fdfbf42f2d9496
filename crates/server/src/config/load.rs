//! Reads the configuration in layers, each of which overrides the ones before.
//!
//! Invariant: an error names the layer and the key that are wrong, and never a value, because it may be a password.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use config::{
    Config as Layers, ConfigBuilder, ConfigError, Environment, File, FileFormat, FileSourceFile,
    Value, builder::DefaultState,
};

use super::{Config, DEFAULTS, database::Database, environment, secrets::read_secret_file};

impl Config {
    /// Reads the defaults, the profile's file, `file` and the environment; each overrides the ones before.
    ///
    /// # Errors
    /// The error names the file, or the environment, and the key that is wrong.
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
        config.check()?;
        Ok(config)
    }

    /// Reads the files that hold the value of a setting, each once.
    fn read_secret_files(&mut self) -> anyhow::Result<()> {
        let Database { url, url_file, .. } = &mut self.database;
        read_secret_file(url, url_file.as_deref(), ["database.url", "database.url_file"])?;
        if let Some(pkcs11) = &mut self.keys.pkcs11 {
            let settings = ["keys.pkcs11.pin", "keys.pkcs11.pin_file"];
            read_secret_file(&mut pkcs11.pin, pkcs11.pin_file.as_deref(), settings)?;
        }
        self.grants.read_secret_files()?;
        self.webhooks.read_secret_files()
    }
}

type Builder = ConfigBuilder<DefaultState>;

fn defaults() -> Builder {
    Layers::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml))
}

fn toml_file(path: &Path) -> File<FileSourceFile, FileFormat> {
    File::from(path).format(FileFormat::Toml)
}

/// The file of the profile that `file` or the environment names. It may be missing.
fn profile_file(file: Option<&Path>, environment: Environment) -> anyhow::Result<PathBuf> {
    let mut layers = defaults();
    if let Some(file) = file {
        layers = layers.add_source(toml_file(file));
    }
    let layers = layers.add_source(environment).build();
    let profile = layers
        .and_then(|layers| layers.get_string("profile"))
        .map_err(|error| anyhow!("the configuration cannot be read: {}", describe(&error)))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if profile.is_empty() || !profile.bytes().all(is_plain) {
        bail!("profile may have only letters, digits, `-` and `_`");
    }
    Ok(Path::new("config").join(format!("{profile}.toml")))
}

/// Settings whose values are secret. A URL counts if it may have a password.
const SECRETS: [&str; 3] = ["database.url", "keys.secret", "keys.pkcs11.pin"];

/// Lists of tables, and the key of each whose value is secret.
const SECRETS_IN_LISTS: [(&str, &str); 2] =
    [("grants.providers", "client_secret"), ("webhooks.receivers", "secret")];

/// Whether a file of the configuration has a secret in it.
fn holds_secret(file: &Path) -> bool {
    let file = Layers::builder().add_source(toml_file(file).required(false)).build();
    file.is_ok_and(|file| {
        let is_secret = |value: String| !value.starts_with("sqlite:");
        let has_in_list = |(list, key): &(&str, &str)| {
            let items = file.get_array(list).unwrap_or_default();
            let has = |item: Value| item.into_table().is_ok_and(|table| table.contains_key(*key));
            items.into_iter().any(has)
        };
        SECRETS.iter().any(|setting| file.get_string(setting).is_ok_and(is_secret))
            || SECRETS_IN_LISTS.iter().any(has_in_list)
    })
}

/// The configuration of these layers; an error is that of the layer added last.
fn read(layers: &Builder, last: &dyn fmt::Display) -> anyhow::Result<Config> {
    let config = layers.build_cloned().and_then(Layers::try_deserialize);
    config
        .map_err(|error| anyhow!("the configuration in {last} is not valid: {}", describe(&error)))
}

/// The error without the value, which may be a password, and without the line of the file.
fn describe(error: &ConfigError) -> String {
    match error {
        ConfigError::At { error, key: Some(key), .. } => {
            format!("{} for key `{key}`", describe(error))
        }
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
