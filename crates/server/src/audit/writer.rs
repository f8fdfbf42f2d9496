//! The thread that writes the audit log.
//!
//! Invariant: an event is confirmed only after its line was written, and for a change only after the line is on the
//! disk. After a failure the log is failing until a line is written again; that line says how many events are missing.

use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    mem,
    os::fd::AsFd as _,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use store::{AuditAnchor, AuditKey};
use tokio::sync::oneshot;
use tracing::{error, info};

use super::{Action, Details, Event, Outcome, chain::Chain, file::AuditFile};

/// The most messages that may wait. Calls wait for their events, so this is only reached while the disk hangs.
const MOST_WAITING: usize = 1 << 16;
/// The time between two attempts to write again.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// The time between two attempts on a standard error that does not block and is not ready.
const PAUSE: Duration = Duration::from_millis(10);
/// The capacity that an empty buffer keeps, in bytes.
const KEPT_BYTES: usize = 1 << 16;

/// A request to the thread.
#[expect(clippy::large_enum_variant, reason = "nearly all messages are events")]
pub(super) enum Message {
    /// Write an event, and confirm it if a call waits.
    Event(Event, Option<oneshot::Sender<bool>>),
    /// Bring everything to the disk, and return the last line.
    Sync(oneshot::Sender<Option<AuditAnchor>>),
    /// Sign the following lines with this key.
    Key(AuditKey),
    /// Look whether the file is still at its path.
    Reopen,
}

/// The state that calls and the thread share.
#[derive(Default)]
pub(super) struct Shared {
    waiting: Mutex<Vec<Message>>,
    changed: Condvar,
    pub(super) is_failing: AtomicBool,
    /// The number of events that were not written since the last line.
    missing: AtomicU64,
}

impl Shared {
    /// Queues a message. Returns false, and drops it, if too many wait.
    pub(super) fn send(&self, message: Message) -> bool {
        let mut waiting = self.lock();
        if waiting.len() >= MOST_WAITING {
            if matches!(message, Message::Event(..)) {
                self.missing.fetch_add(1, Ordering::Relaxed);
            }
            return false;
        }
        waiting.push(message);
        drop(waiting);
        self.changed.notify_one();
        true
    }

    /// Notes, and logs, that the log cannot be written.
    pub(super) fn fail(&self, error: &str) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            error!(error, "the audit log cannot be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for messages, or while the log is failing for the next attempt.
    fn take(&self, batch: &mut Vec<Message>) {
        let waiting = self.lock();
        let is_idle = |waiting: &mut Vec<Message>| waiting.is_empty();
        let mut waiting = if self.is_failing.load(Ordering::Relaxed) {
            let waited = self.changed.wait_timeout_while(waiting, RETRY_PERIOD, is_idle);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            self.changed.wait_while(waiting, is_idle).unwrap_or_else(PoisonError::into_inner)
        };
        mem::swap(&mut *waiting, batch);
    }
}

/// Where lines go.
pub(super) enum Destination {
    File(AuditFile),
    Stderr(File),
}

impl Destination {
    /// Standard error. Not Rust's own handle, because a reader that hangs would hold its lock.
    pub(super) fn stderr() -> io::Result<Self> {
        Ok(Self::Stderr(File::from(io::stderr().as_fd().try_clone_to_owned()?)))
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.append(lines),
            Self::Stderr(stderr) => write_all(stderr, lines),
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync(),
            Self::Stderr(_) => Ok(()),
        }
    }
}

/// Writes everything, also if another program has made the pipe non-blocking.
fn write_all(stderr: &mut File, mut lines: &[u8]) -> io::Result<()> {
    while !lines.is_empty() {
        match stderr.write(lines) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => lines = &lines[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The thread's own state.
pub(super) struct Writer {
    destination: Destination,
    chain: Chain,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    /// Whether to look at the file's path before the next lines.
    reopens: bool,
    /// Whether a sync failed: the system may have dropped lines, so another file begins.
    is_spoiled: bool,
}

impl Writer {
    /// A writer that continues a chain.
    pub(super) fn new(destination: Destination, chain: Chain) -> Self {
        let (shared, buffer) = (Arc::default(), Vec::new());
        Self { destination, chain, shared, buffer, reopens: false, is_spoiled: false }
    }

    /// Writes events to the disk, and returns the last line.
    pub(super) fn write_now(&mut self, events: &[Event]) -> anyhow::Result<AuditAnchor> {
        self.write(events).context("cannot write the audit log")?;
        self.destination.sync().context("cannot write the audit log to the disk")?;
        Ok(self.chain.last())
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// The system provides no thread.
    pub(super) fn start(self) -> io::Result<Arc<Shared>> {
        let shared = Arc::clone(&self.shared);
        let writer = self;
        thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run())?;
        Ok(shared)
    }

    /// Runs until the process ends.
    fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            self.shared.take(&mut batch);
            self.handle(&mut batch);
        }
    }

    fn handle(&mut self, batch: &mut Vec<Message>) {
        let (mut events, mut waiting, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
        for message in batch.drain(..) {
            match message {
                Message::Event(event, done) => {
                    waiting.extend(done.map(|done| (event.needs_disk(), done)));
                    events.push(event);
                }
                Message::Sync(done) => syncs.push(done),
                Message::Key(key) => self.chain.follow_key(key),
                Message::Reopen => self.reopens = true,
            }
        }
        let was_failing = self.shared.is_failing.load(Ordering::Relaxed);
        let needs_disk = was_failing || !syncs.is_empty() || events.iter().any(Event::needs_disk);
        let mut outcome = self.write(&events);
        if outcome.is_ok() {
            // Reads do not wait for the disk.
            for (_, done) in waiting.extract_if(.., |(needs_disk, _)| !*needs_disk) {
                let _ = done.send(true);
            }
            if needs_disk {
                outcome = self.destination.sync().context("cannot write it to the disk");
                self.is_spoiled = outcome.is_err();
            }
        } else {
            self.shared.missing.fetch_add(events.len() as u64, Ordering::Relaxed);
        }
        self.note(&outcome);
        for (_, done) in waiting {
            let _ = done.send(outcome.is_ok());
        }
        for done in syncs {
            let _ = done.send(outcome.is_ok().then(|| self.chain.last()));
        }
    }

    /// Writes the lines of events. After an error nothing was written.
    fn write(&mut self, events: &[Event]) -> anyhow::Result<()> {
        let before = self.chain.clone();
        let outcome = self.try_write(events);
        if outcome.is_err() {
            // A part of the lines may be on standard error, so that their numbers must not come again.
            self.chain = match self.destination {
                Destination::File(_) => before,
                Destination::Stderr(_) => self.chain.another(),
            };
        }
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        outcome
    }

    fn try_write(&mut self, events: &[Event]) -> anyhow::Result<()> {
        let reopens = mem::take(&mut self.reopens);
        if let Destination::File(file) = &mut self.destination
            && (mem::take(&mut self.is_spoiled) || file.must_rotate(reopens))
        {
            file.rotate()?;
        }
        if let Destination::File(file) = &self.destination
            && file.is_empty()
        {
            self.chain.begin_file();
        }
        self.chain.append_link(&mut self.buffer);
        let missing = self.shared.missing.load(Ordering::Relaxed);
        if missing > 0 {
            let details = Details {
                reason: Some(format!("{missing} events are missing")),
                ..Details::default()
            };
            let (action, outcome) = (Action::change("audit.gap"), Outcome::Failed);
            let event = Event { action, outcome, details };
            self.chain.append(&mut self.buffer, &event);
        }
        for event in events {
            self.chain.append(&mut self.buffer, event);
        }
        self.destination.append(&self.buffer)?;
        self.shared.missing.fetch_sub(missing, Ordering::Relaxed);
        Ok(())
    }

    /// Logs the first failure, and the success that ends it.
    fn note(&self, outcome: &anyhow::Result<()>) {
        match outcome {
            Err(error) => self.shared.fail(&format!("{error:#}")),
            Ok(()) if self.shared.is_failing.swap(false, Ordering::Relaxed) => {
                info!("the audit log is written again");
            }
            Ok(()) => {}
        }
    }
}
