//! `keys`: the sources of master keys.
//!
//! Invariant: neither a secret nor a PIN is shown.

use std::{ops::RangeInclusive, path::PathBuf, sync::OnceLock};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use store::{KeySource, Module, secret_file};

/// From the number that servers reserve in advance to half of the limit of AES-GCM with random nonces under one key
/// (NIST SP 800-38D §8.3).
const ROTATE_AFTER_WRAPS: RangeInclusive<i64> = 1 << 20..=1 << 31;

/// The master keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    #[serde(deserialize_with = "read_source", serialize_with = "show_source")]
    pub(super) source: KeySource,
    pub(super) directory: Option<PathBuf>,
    #[serde(serialize_with = "hide")]
    pub(super) secret: Option<SecretString>,
    pub(super) secret_file: Option<PathBuf>,
    /// The content of the secret's file, which may be a pipe and is read once.
    #[serde(skip)]
    pub(super) secret_of_file: OnceLock<SecretString>,
    pub(crate) rotate_after_wraps: i64,
    pub(super) pkcs11: Option<Pkcs11>,
}

/// A hardware module.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pkcs11 {
    pub(super) module: PathBuf,
    pub(super) token: String,
    pub(super) key: String,
    #[serde(serialize_with = "hide")]
    pub(super) pin: Option<SecretString>,
    pub(super) pin_file: Option<PathBuf>,
}

impl Keys {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !ROTATE_AFTER_WRAPS.contains(&self.rotate_after_wraps) {
            bail!("keys.rotate_after_wraps must be from 1048576 to 2147483648");
        }
        Ok(())
    }

    pub(super) fn read(&self, directory: PathBuf) -> anyhow::Result<store::KekSources> {
        let Keys { source, secret, secret_file, secret_of_file, pkcs11, .. } = self;
        let secret = match (secret, secret_file) {
            (Some(_), Some(_)) => bail!("set keys.secret or keys.secret_file, not both"),
            (Some(secret), None) => Some(secret.expose_secret().into()),
            (None, Some(path)) => {
                if secret_of_file.get().is_none() {
                    let text = secret_file::read_text(path, "keys.secret_file")?;
                    let _ = secret_of_file.set(text.as_str().into());
                }
                secret_of_file.get().map(|secret| secret.expose_secret().into())
            }
            (None, None) => None,
        };
        let module = pkcs11.as_ref().map(|pkcs11| {
            let pin = pkcs11.pin.as_ref().context(
                "set keys.pkcs11.pin or keys.pkcs11.pin_file, the PIN of the token's user",
            )?;
            let Pkcs11 { module, token, key, .. } = pkcs11.clone();
            anyhow::Ok(Module::new(module, token, key, pin.expose_secret().into()))
        });
        Ok(store::KekSources { source: *source, directory, secret, module: module.transpose()? })
    }
}

fn read_source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KeySource, D::Error> {
    let name = String::deserialize(deserializer)?;
    let names = KeySource::ALL.map(|source| format!("`{source}`")).join(" or ");
    KeySource::of_name(&name).ok_or_else(|| D::Error::custom(format!("expected {names}")))
}

fn show_source<S: Serializer>(source: &KeySource, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(source.name())
}

/// Shows only whether there is a secret.
pub(super) fn hide<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|_secret| "(set)").serialize(serializer)
}
