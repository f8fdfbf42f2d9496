//! The audit log: one line of JSON for each event, chained by MACs, in a file or on standard error.
//!
//! Invariant: an event of a read is with the kernel, and an event of a change is on the disk, before `record` returns.
//! No event contains a token, a key, a password or any other secret.

mod chain;
mod event;
mod file;
mod line;
mod notes;
mod verify;
mod writer;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::Context as _;
use store::{AuditAnchor, AuditKey, FoundAnchor, Store};
use tokio::{sync::oneshot, time::timeout};
use tracing::{error, info};

use self::{
    chain::Chain,
    file::{AuditFile, Tail},
    writer::{Destination, Message, Shared, Writer},
};
pub(crate) use self::{
    event::{Action, Details, Event, Outcome},
    file::renamed_files,
    line::{ReadLine, read_line},
    notes::{in_call, note},
    verify::{Verified, verify_files},
};
use crate::config::audit::{Audit as Settings, AuditTarget, OnFailure};

/// The audit log of this process. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Audit(Option<Arc<Open>>);

struct Open {
    shared: Arc<Shared>,
    on_failure: OnFailure,
    wait: Duration,
}

/// The event could not be recorded, and the settings say that the call must fail then.
#[derive(Debug, thiserror::Error)]
#[error("the audit log cannot be written")]
pub(crate) struct Unrecorded;

impl Audit {
    /// Opens the audit log of a target, or none.
    ///
    /// # Errors
    /// Another process writes to the file, or it cannot be opened.
    pub(crate) async fn start(
        settings: &Settings,
        target: Option<AuditTarget>,
        store: &Store,
    ) -> anyhow::Result<Self> {
        let Some(target) = target else { return Ok(Self::default()) };
        let mut writer = writer(settings, target, store).await?;
        let last = writer.write_now(&[])?;
        // From now on a file without an anchor was cut, or its anchor was removed.
        store.anchor_audit(last).await.context("cannot anchor the audit log in the database")?;
        let shared = writer.start()?;
        let wait = Duration::from_secs(settings.wait_seconds.into());
        Ok(Self(Some(Arc::new(Open { shared, on_failure: settings.on_failure, wait }))))
    }

    /// Returns whether an audit log is kept.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns whether the log cannot be written at the moment.
    pub(crate) fn is_failing(&self) -> bool {
        self.0.as_ref().is_some_and(|open| open.shared.is_failing.load(Ordering::Relaxed))
    }

    /// Checks, before a call does anything, that its event could be recorded.
    ///
    /// # Errors
    /// The log cannot be written, and the settings say that calls fail then.
    pub(crate) fn admit(&self) -> Result<(), Unrecorded> {
        match &self.0 {
            Some(open) if open.on_failure == OnFailure::Refuse && self.is_failing() => {
                Err(Unrecorded)
            }
            _ => Ok(()),
        }
    }

    /// Records an event, and waits until it is safe.
    ///
    /// # Errors
    /// It was not recorded, and the settings say that the call must fail then.
    pub(crate) async fn record(&self, event: Event) -> Result<(), Unrecorded> {
        let Some(open) = &self.0 else { return Ok(()) };
        let (done, outcome) = oneshot::channel();
        let is_recorded = open.shared.send(Message::Event(event, Some(done)))
            && match timeout(open.wait, outcome).await {
                Ok(outcome) => outcome == Ok(true),
                Err(_elapsed) => {
                    open.shared.fail("the disk, or the reader of standard error, hangs");
                    false
                }
            };
        match open.on_failure {
            OnFailure::Refuse if !is_recorded => Err(Unrecorded),
            _ => Ok(()),
        }
    }

    /// Records an event without waiting.
    pub(crate) fn record_later(&self, event: Event) {
        if let Some(open) = &self.0 {
            open.shared.send(Message::Event(event, None));
        }
    }

    /// Signs the following lines with this key, if it is another one than before.
    pub(crate) fn follow_key(&self, key: AuditKey) {
        if let Some(open) = &self.0 {
            open.shared.send(Message::Key(key));
        }
    }

    /// Opens the file again if it was renamed or removed.
    pub(crate) fn reopen(&self) {
        if let Some(open) = &self.0 {
            open.shared.send(Message::Reopen);
        }
    }

    /// Brings all lines to the disk, and returns the last one. `None` without a log, or if it cannot be written.
    pub(crate) async fn synced(&self) -> Option<AuditAnchor> {
        let open = self.0.as_ref()?;
        let (done, last) = oneshot::channel();
        open.shared.send(Message::Sync(done));
        timeout(open.wait, last).await.ok()?.ok()?
    }
}

/// Records one event of a command in the file of commands, if an audit log is kept. Blocks for the disk.
///
/// # Errors
/// The event cannot be recorded.
pub(crate) async fn record_of_command(
    settings: &Settings,
    store: &Store,
    event: Event,
) -> anyhow::Result<()> {
    let Some(target) = settings.target_of_commands() else { return Ok(()) };
    let is_file = target != AuditTarget::Stderr;
    let last = writer(settings, target, store).await?.write_now(&[event])?;
    if !is_file {
        // The chain of a single line.
        return Ok(());
    }
    store.anchor_audit(last).await.context("cannot anchor the audit log in the database")
}

/// Opens the log.
async fn writer(settings: &Settings, target: AuditTarget, store: &Store) -> anyhow::Result<Writer> {
    let path = match target {
        AuditTarget::Stderr => {
            return Ok(Writer::new(Destination::stderr()?, Chain::begin(store.audit_key())));
        }
        AuditTarget::File(path) => path,
    };
    let opened = AuditFile::open(&path, settings.rotate_bytes, settings.keep_files);
    let mut file =
        opened.with_context(|| format!("cannot use the audit log {}", path.display()))?;
    let chain = continue_chain(&mut file, store).await?;
    Ok(Writer::new(Destination::File(file), chain))
}

/// Continues the chain of a file. If the file was cut or changed, sets it aside and begins another chain, so that the
/// anchor of the old one still shows it.
async fn continue_chain(file: &mut AuditFile, store: &Store) -> anyhow::Result<Chain> {
    let key = store.audit_key();
    let Some(tail) = file.tail()? else { return Ok(Chain::begin(key)) };
    match doubt_of(&tail, store).await? {
        None => {
            file.keep_complete(&tail)?;
            Ok(Chain::resume(&tail, key))
        }
        Some(doubt) => {
            let aside = file.set_aside()?;
            error!(
                file = %aside.display(),
                "{doubt}; the file was set aside, and a new chain begins; run `latchkey audit verify` on the file"
            );
            Ok(Chain::begin(key))
        }
    }
}

/// Returns why a file is not the whole log that a server wrote, if it is not.
async fn doubt_of(tail: &Tail, store: &Store) -> anyhow::Result<Option<&'static str>> {
    let keys = store.audit_keys().await?;
    let Some(last) = tail.signed_by(&keys) else {
        return Ok(Some("the last line of the audit log is not signed by a key of this database"));
    };
    Ok(match store.audit_anchor(last.chain.clone()).await? {
        FoundAnchor::Missing => Some("the database has no anchor of the audit log"),
        FoundAnchor::Forged => Some("the anchor of the audit log in the database was changed"),
        FoundAnchor::Found(anchor) if anchor.sequence > last.sequence => {
            Some("the end of the audit log was cut off")
        }
        FoundAnchor::Found(anchor)
            if anchor.sequence == last.sequence && anchor.mac != last.mac =>
        {
            Some("the last line of the audit log was changed")
        }
        FoundAnchor::Found(_earlier) => {
            info!(
                audit.chain = last.chain,
                audit.sequence = last.sequence,
                "continuing the audit log"
            );
            None
        }
    })
}
