//! The certificate of `server.tls` and its private key, as they are on disk.
//!
//! Invariant: the server always serves a certificate and the key that fits it. If new files are invalid, the pair in
//! force stays, and the log has the reason.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use store::secret_file;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};
use x509_cert::{Certificate, der::Decode as _};

use crate::config::Tls;

/// The size limit of a file, in bytes.
const SIZE_LIMIT: u64 = 1 << 20;
/// The time before its end at which a certificate is due for renewal, in seconds.
const RENEWAL_DUE: i64 = 14 * 24 * 60 * 60;
/// How often the log repeats that renewal is due.
const REMINDER_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// The log text for new files that are invalid.
pub(crate) const KEEPS_OLD: &str = "serving the old certificate of server.tls";

/// The pair that new connections get. Open connections keep the pair that they began with.
pub(crate) struct Certificates {
    files: Tls,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

/// Shows no key.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the setting of the invalid file, or both if the files do not fit each other.
    pub(crate) fn load(files: &Tls) -> anyhow::Result<Arc<Self>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let current = RwLock::new(Arc::new(read(files, &provider)?));
        Ok(Arc::new(Self { files: files.clone(), provider, current }))
    }

    /// Returns the TLS configuration that serves them.
    ///
    /// # Errors
    /// The cipher provider lacks a version of TLS.
    pub(crate) fn server_config(self: &Arc<Self>) -> anyhow::Result<ServerConfig> {
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        Ok(config)
    }

    /// Returns when the certificate ends, if that can be read.
    pub(crate) fn end(&self) -> Option<Timestamp> {
        Some(Validity::of(&self.current())?.end)
    }

    /// Reads the files again, and serves a new pair.
    ///
    /// # Errors
    /// The files are invalid; the server keeps serving the old pair.
    pub(crate) async fn refresh(self: &Arc<Self>) -> anyhow::Result<()> {
        let certificates = Arc::clone(self);
        // A disk may be slow.
        tokio::task::spawn_blocking(move || certificates.refresh_blocking()).await?
    }

    fn refresh_blocking(&self) -> anyhow::Result<()> {
        // A pipe can be read only once.
        for file in [&self.files.certificate, &self.files.key] {
            if fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
                return Ok(());
            }
        }
        let (new, old) = (read(&self.files, &self.provider)?, self.current());
        if new.cert == old.cert {
            return Ok(());
        }
        let now = Timestamp::now();
        if let (Some(new), Some(old)) = (Validity::of(&new), Validity::of(&old))
            && !new.covers(now)
            && old.covers(now)
        {
            bail!(
                "server.tls.certificate: {} is valid from {} to {}, and not now",
                self.files.certificate.display(),
                new.begin,
                new.end
            );
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        info!("serving the new certificate of server.tls");
        Ok(())
    }

    /// Checks the files and the clock until the server ends. Logs a failure when it changes.
    pub(crate) async fn watch(self: Arc<Self>, every: Duration) {
        let mut turns = interval(every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut failure, mut reminder) = (None, None);
        loop {
            turns.tick().await;
            let new_failure = self.refresh().await.err().map(|error| format!("{error:#}"));
            if new_failure != failure
                && let Some(error) = &new_failure
            {
                warn!(error, "{KEEPS_OLD}");
            }
            failure = new_failure;
            self.remind(&mut reminder);
        }
    }

    /// Logs the end of the certificate: once at first, when renewal is due, when it has ended, and then once a day.
    fn remind(&self, last: &mut Option<(Stage, Timestamp, Instant)>) {
        // If the server cannot read it, the clients cannot read it either.
        let Some(validity) = Validity::of(&self.current()) else { return };
        let (stage, end) = (validity.stage(Timestamp::now()), validity.end);
        let is_known = last.is_some_and(|(known, known_end, logged)| {
            let is_recent = stage == Stage::Good || logged.elapsed() < REMINDER_INTERVAL;
            known == stage && known_end == end && is_recent
        });
        if is_known {
            return;
        }
        *last = Some((stage, end, Instant::now()));
        match stage {
            Stage::Good => {
                info!(certificate.end = %end, "the certificate of server.tls is in force")
            }
            Stage::Due => {
                warn!(certificate.end = %end, "the certificate of server.tls ends soon: renew it")
            }
            Stage::Invalid => {
                let begin = validity.begin;
                error!(
                    certificate.begin = %begin,
                    certificate.end = %end,
                    "the certificate of server.tls is not valid now: clients refuse it"
                );
            }
        }
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The stage in the life of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Good,
    Due,
    Invalid,
}

/// The period in which a certificate is valid.
#[derive(Clone, Copy, Debug)]
struct Validity {
    begin: Timestamp,
    end: Timestamp,
}

impl Validity {
    /// Reads the validity of the first certificate, which is the server's own; `None` if it cannot be read.
    fn of(key: &CertifiedKey) -> Option<Self> {
        let certificate = Certificate::from_der(key.cert.first()?).ok()?;
        let validity = certificate.tbs_certificate.validity;
        let moment = |time: x509_cert::time::Time| {
            Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok()
        };
        Some(Self { begin: moment(validity.not_before)?, end: moment(validity.not_after)? })
    }

    fn covers(&self, now: Timestamp) -> bool {
        (self.begin..=self.end).contains(&now)
    }

    fn stage(&self, now: Timestamp) -> Stage {
        if !self.covers(now) {
            Stage::Invalid
        } else if self.end.as_second() - now.as_second() <= RENEWAL_DUE {
            Stage::Due
        } else {
            Stage::Good
        }
    }
}

fn read(files: &Tls, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let text = read_file(&files.certificate, "server.tls.certificate")?;
    let certificate = files.certificate.display();
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("server.tls.certificate: {certificate} is no PEM certificate"))?;
    if chain.is_empty() {
        bail!("server.tls.certificate: {certificate} has no PEM certificate");
    }
    let text = secret_file::read(&files.key, "server.tls.key")?;
    let key = PrivateKeyDer::from_pem_slice(&text).with_context(|| {
        let key = files.key.display();
        format!("server.tls.key: {key} is no PEM private key without a passphrase")
    })?;
    CertifiedKey::from_der(chain, key, provider)
        .context("server.tls: the certificate and the key do not go together")
}

fn read_file(path: &Path, setting: &str) -> anyhow::Result<Vec<u8>> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(SIZE_LIMIT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > SIZE_LIMIT {
            return Err(io::Error::other(format!("it is larger than {SIZE_LIMIT} bytes")));
        }
        Ok(bytes)
    };
    read().with_context(|| format!("cannot read {setting}: {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_due_14_days_before_its_end() {
        let moment = |text: &str| text.parse::<Timestamp>().expect("a moment");
        let validity =
            Validity { begin: moment("2026-01-01T00:00:00Z"), end: moment("2026-04-01T00:00:00Z") };
        for (now, stage) in [
            ("2025-12-31T23:59:59Z", Stage::Invalid),
            ("2026-01-01T00:00:00Z", Stage::Good),
            ("2026-03-17T23:59:59Z", Stage::Good),
            ("2026-03-18T00:00:00Z", Stage::Due),
            ("2026-04-01T00:00:00Z", Stage::Due),
            ("2026-04-01T00:00:01Z", Stage::Invalid),
        ] {
            assert_eq!(validity.stage(moment(now)), stage, "{now}");
        }
    }
}
