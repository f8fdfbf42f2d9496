//! What a running server reads again when it gets SIGHUP.
//!
//! Invariant: whatever the files hold then, the server runs on; what is no use keeps in force what was there, and
//! the log names the setting.

use std::{io, path::PathBuf, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::{
    callers::issuer::Issuer,
    certificates::{Certificates, STAYS},
    config::Config,
    telemetry::LogFilter,
};

/// The signals that neither stop the server nor kill it, from the moment that they are listened for.
pub(crate) struct Hangups {
    hangup: Signal,
    /// Which do nothing.
    _ignored: [Signal; 2],
}

impl Hangups {
    /// Listens; in a runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        let ignored = [SignalKind::user_defined1(), SignalKind::user_defined2()];
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            _ignored: [signal(ignored[0])?, signal(ignored[1])?],
        })
    }
}

/// What is read again. Whatever else comes from a file that may be replaced belongs here too.
pub(crate) struct Reload {
    /// What `--config` named.
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) log_filter: LogFilter,
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) issuer: Option<Arc<Issuer>>,
}

impl Reload {
    /// Reads all of it at each SIGHUP, until the server ends.
    pub(crate) async fn run(self, mut hangups: Hangups) {
        while hangups.hangup.recv().await.is_some() {
            info!("SIGHUP: reading certificate, keys of bearer tokens and log.filter again");
            self.read_filter();
            self.read_certificate().await;
            if let Some(issuer) = &self.issuer {
                // It logs what comes of it.
                issuer.fetch_soon();
            }
        }
    }

    fn read_filter(&self) {
        let config = Config::load(self.config_file.as_deref());
        if let Err(error) = config.and_then(|config| self.log_filter.set(&config)) {
            warn!(error = format!("{error:#}"), "log.filter stays as it was");
        }
    }

    async fn read_certificate(&self) {
        let Some(certificates) = &self.certificates else { return };
        if let Err(error) = certificates.refresh().await {
            warn!(error = format!("{error:#}"), "{STAYS}");
        }
    }
}
