//! SIGHUP: reads certificates, keys, secrets and `log.filter` again.
//!
//! Invariant: the server keeps running, with any content of the files. If a file is invalid, the values that were read
//! before stay in force, and the log names the setting.

use std::{path::PathBuf, sync::Arc};

use tracing::{info, warn};

use crate::{
    audit::Audit,
    callers::issuer::Issuer,
    certificates::{Certificates, KEEPS_OLD},
    config::Config,
    grants::providers::Providers,
    signals::ReloadSignals,
    telemetry::LogFilter,
    webhooks::Receivers,
};

/// The parts that SIGHUP reads again: those that come from a file that may be replaced.
pub(crate) struct Reload {
    /// The file that `--config` named.
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) log_filter: LogFilter,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) issuer: Option<Arc<Issuer>>,
    pub(crate) providers: Arc<Providers>,
    pub(crate) receivers: Arc<Receivers>,
    pub(crate) audit: Audit,
}

impl Reload {
    /// Reads everything again at each SIGHUP, until the server ends.
    pub(crate) async fn run(self, mut signals: ReloadSignals) {
        while signals.reload().await {
            info!(
                "SIGHUP: reading certificate, keys of bearer tokens, secrets and keys of providers, secrets of receivers, \
                 and log.filter again"
            );
            self.audit.reopen();
            self.read_configuration().await;
            self.read_certificate().await;
            if let Some(issuer) = &self.issuer {
                // It logs the outcome.
                issuer.fetch_soon();
            }
        }
    }

    /// Reads the configuration in a blocking thread, because secret files may be pipes.
    async fn read_configuration(&self) {
        let file = self.config_file.clone();
        let read = tokio::task::spawn_blocking(move || Config::load(file.as_deref())).await;
        let config = match read.map_err(anyhow::Error::from).flatten() {
            Ok(config) => config,
            Err(error) => {
                let error = format!("{error:#}");
                warn!(error, "log.filter stays as it was, and so do all secrets");
                return;
            }
        };
        if let Err(error) = self.log_filter.set(&config) {
            warn!(error = format!("{error:#}"), "log.filter stays as it was");
        }
        if let Err(error) = self.providers.reload_secrets(&config) {
            warn!(error = format!("{error:#}"), "some secrets of providers stay as they were");
        }
        if let Err(error) = self.receivers.reload_secrets(&config) {
            warn!(error = format!("{error:#}"), "some secrets of receivers stay as they were");
        }
    }

    async fn read_certificate(&self) {
        let Some(certificates) = &self.certificates else { return };
        if let Err(error) = certificates.refresh().await {
            warn!(error = format!("{error:#}"), "{KEEPS_OLD}");
        }
    }
}
