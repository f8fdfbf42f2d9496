//! The queue of log lines before standard error, so that no request waits for the program that reads them.
//!
//! Invariant: adding a line never waits for standard error. The queue is bounded: lines beyond the bound are dropped
//! and counted, and the count is logged once lines are written again.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    mem,
    os::fd::AsFd as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use store::Counter;
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

/// The time that the writer waits for more lines, to write them in a batch.
const GATHER: Duration = Duration::from_millis(5);
/// The time that it waits when standard error does not block and is not ready.
const PAUSE: Duration = Duration::from_millis(10);
/// The maximum time that the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);
/// The capacity that an empty buffer keeps, in bytes.
const KEPT_BYTES: usize = 64 * 1024;

/// The lines that wait to be written.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// The maximum number of waiting bytes.
    limit: usize,
    writer: OnceLock<ThreadId>,
    /// The number of all lines that were dropped.
    lost: Arc<Counter>,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// The number of lines that were dropped since the number was last logged.
    dropped: u64,
    is_writing: bool,
    is_ending: bool,
}

impl Lines {
    /// Starts the thread that writes to standard error.
    ///
    /// # Errors
    /// The system provides no thread, or no handle of standard error.
    pub(super) fn start(limit: usize) -> io::Result<Self> {
        // Not Rust's own handle, because a writer that hangs would hold its lock.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            limit,
            writer: OnceLock::new(),
            lost: Arc::default(),
        });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(stderr))?;
        Ok(Self(shared))
    }

    /// Returns the counter of all lines that were dropped.
    pub(super) fn lost(&self) -> Arc<Counter> {
        Arc::clone(&self.0.lost)
    }

    /// Waits until everything is written, for at most `LAST_LINES`.
    pub(super) fn finish(&self) {
        let mut state = self.0.lock();
        state.is_ending = true;
        self.0.changed.notify_all();
        let is_left = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        drop(self.0.changed.wait_timeout_while(state, LAST_LINES, is_left));
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Lines {
    /// Queues one or more complete lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.waiting.len() + lines.len() > self.0.limit && !self.0.is_writer() {
            state.dropped += count(lines);
            self.0.lost.add(count(lines));
            return Ok(lines.len());
        }
        let was_empty = state.waiting.is_empty();
        state.waiting.extend_from_slice(lines);
        drop(state);
        if was_empty {
            self.0.changed.notify_all();
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether this is the writer's thread: its line about dropped lines is exempt from the limit.
    fn is_writer(&self) -> bool {
        self.writer.get() == Some(&thread::current().id())
    }

    /// Writes until the process ends.
    fn run(&self, mut stderr: File) {
        let _ = self.writer.set(thread::current().id());
        let mut batch = Vec::new();
        loop {
            self.take(&mut batch);
            let lost = write(&mut stderr, &batch);
            batch.clear();
            batch.shrink_to(KEPT_BYTES);
            let mut state = self.lock();
            state.dropped += lost;
            self.lost.add(lost);
            let dropped = if lost == 0 { mem::take(&mut state.dropped) } else { 0 };
            drop(state);
            if dropped > 0 {
                warn!(
                    lines.dropped = dropped,
                    "lines of the log were dropped: standard error did not take them"
                );
            }
        }
    }

    /// Waits for lines, then for more of them, and returns them as a batch.
    fn take(&self, batch: &mut Vec<u8>) {
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        let is_idle = |state: &mut State| state.waiting.is_empty();
        state = self.changed.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner);
        let is_running = |state: &mut State| !state.is_ending;
        let waited = self.changed.wait_timeout_while(state, GATHER, is_running);
        (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut state.waiting, batch);
        state.is_writing = true;
    }
}

/// Writes a batch, and returns the number of lost lines.
fn write(stderr: &mut File, mut batch: &[u8]) -> u64 {
    while !batch.is_empty() {
        match stderr.write(batch) {
            Ok(0) => return count(batch),
            Ok(written) => batch = &batch[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another program that shares the pipe or terminal may have made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(_) => return count(batch),
        }
    }
    0
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}
