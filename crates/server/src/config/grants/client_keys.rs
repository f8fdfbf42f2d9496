//! The private keys and certificates of a client, as its provider's settings name their files.
//!
//! Invariant: each file is opened once, so that it may be a pipe. An error names the setting of a key that cannot be
//! used or does not match its certificate, and shows no part of the key.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use provider::{AssertionAlgorithm, AssertionKey, InvalidKey};
use rustls::{
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use serde::{Deserialize, Serialize};
use store::secret_file;
use ureq::tls::{Certificate, ClientCert, PrivateKey};
use zeroize::Zeroizing;

/// The files of a client's TLS certificate and its key (RFC 8705).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientTls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// The settings of a key that signs assertions.
pub(super) struct KeySettings<'a> {
    /// The names of the settings, for errors.
    pub(super) names: [&'static str; 2],
    pub(super) file: &'a Path,
    pub(super) id: Option<&'a str>,
    pub(super) certificate: Option<&'a Path>,
    pub(super) algorithm: Option<AssertionAlgorithm>,
}

impl ClientTls {
    /// Reads both files.
    pub(super) fn read(&self) -> anyhow::Result<ClientCert> {
        let chain = read_certificates(&self.certificate, "tls.certificate")?;
        let pem = read_pem(&self.key, "tls.key")?;
        let key = parse_key(&pem, &self.key, "tls.key")?;
        check_pair(&chain, key, ["tls.certificate", "tls.key"])?;
        let chain: Vec<_> =
            chain.iter().map(|link| Certificate::from_der(link).to_owned()).collect();
        let key = PrivateKey::from_pem(&pem).context("tls.key")?;
        Ok(ClientCert::new_with_certs(&chain, key))
    }
}

impl KeySettings<'_> {
    /// Reads the key, and the certificate if there is one.
    pub(super) fn read(&self) -> anyhow::Result<AssertionKey> {
        let [name, name_of_certificate] = self.names;
        let key = parse_key(&read_pem(self.file, name)?, self.file, name)?;
        let made = match AssertionKey::from_der(key.secret_der(), self.algorithm) {
            Err(error @ InvalidKey::Algorithm { .. }) => {
                bail!("assertion_algorithm: {error} ({name}: {})", self.file.display())
            }
            made => made.with_context(|| format!("{name}: {}", self.file.display()))?,
        };
        let made = made.with_id(self.id);
        let Some(certificate) = self.certificate else { return Ok(made) };
        let chain = read_certificates(certificate, name_of_certificate)?;
        check_pair(&chain, key, [name_of_certificate, name])?;
        Ok(made.with_certificate(&chain[0]))
    }
}

/// The text of a private key that has no passphrase.
fn read_pem(file: &Path, setting: &'static str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let pem = secret_file::read(file, setting)?;
    // The marks of PKCS#8 (RFC 7468 §11) and of OpenSSL before it (RFC 1421 §4.6.1.1).
    let is_encrypted = [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| pem.windows(mark.len()).any(|part| part == *mark));
    if is_encrypted {
        bail!(
            "{setting}: the key in {} is encrypted; write it without a passphrase, as `openssl pkey` does",
            file.display()
        );
    }
    Ok(pem)
}

/// A private key in PEM: PKCS#8, SEC1 or PKCS#1.
fn parse_key(
    pem: &[u8],
    file: &Path,
    setting: &'static str,
) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_pem| anyhow::anyhow!("{setting}: {} has no private key in PEM", file.display()))
}

/// The certificates of a PEM file, that of the client first; at least one.
fn read_certificates(
    file: &Path,
    setting: &'static str,
) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = secret_file::read(file, setting)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => bail!("{setting}: {} has no certificate in PEM", file.display()),
    }
}

/// Checks that a certificate matches the key.
fn check_pair(
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
    [certificate, key_setting]: [&str; 2],
) -> anyhow::Result<()> {
    CertifiedKey::from_der(chain.to_vec(), key, &default_provider())
        .map(drop)
        .with_context(|| format!("{certificate} and {key_setting} do not go together"))
}
