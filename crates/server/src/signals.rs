//! The signals of a running server.
//!
//! Invariant: from `listen` on, a signal has only the effect that is described here, never the system's default.

use std::io;

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// SIGHUP and the ignored signals, from the call of `listen` on.
pub(crate) struct ReloadSignals {
    hangup: Signal,
    /// SIGUSR1 and SIGUSR2, because otherwise they would end the process.
    _ignored: [Signal; 2],
}

impl ReloadSignals {
    /// Starts listening. Call it in a runtime.
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

    /// Waits for the next SIGHUP; false if none will come.
    pub(crate) async fn reload(&mut self) -> bool {
        self.hangup.recv().await.is_some()
    }
}

/// SIGTERM and SIGINT, from the call of `listen` on.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Starts listening. Call it in a runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Starts a graceful stop of the server at the first signal, and returns at the second.
    pub(crate) async fn stop(mut self, server: ServerHandle) {
        self.next().await;
        info!("stopping: finishing the requests under way");
        actix_web::rt::spawn(server.stop(true));
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
