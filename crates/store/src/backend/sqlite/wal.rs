//! The write-ahead log (WAL) of an SQLite file, and how it is kept short while saves go on.
//!
//! Invariant: a separate thread checkpoints: it copies the log into the file. The writer blocks for a checkpoint in
//! three cases only:
//!
//! - Little is left to copy. After that the log restarts at its beginning.
//! - The log is at its bound.
//! - Secrets were erased. Their old pages stay in the file and in the log until the log is truncated.

use std::{
    sync::{
        Arc, Mutex, PoisonError, TryLockError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use diesel::{
    QueryableByName, RunQueryDsl as _, SqliteConnection, connection::SimpleConnection as _,
    sql_query, sql_types::Integer,
};
use tracing::warn;

use crate::{
    Database, StoreError,
    backend::{
        conn::{BUSY_TIMEOUT, Conn, PAGE_SIZE},
        managed_conn::ManagedConn,
        sqlite::database_file::DatabaseFile,
    },
    error::error_chain,
};

/// A page and its header, in bytes; those of older files are smaller.
const FRAME: i32 = PAGE_SIZE + 24;
/// Frames left to copy at which the thread is woken.
const COPY_AT_FRAMES: i32 = (4 << 20) / FRAME;
/// Length of the log at which it restarts once little is left to copy.
const RESTART_AT_FRAMES: i32 = (16 << 20) / FRAME;
const RESTART_LEFT_FRAMES: i32 = (2 << 20) / FRAME;
/// Length of the log at which the writer blocks until all of it is copied.
const BLOCK_AT_FRAMES: i32 = (64 << 20) / FRAME;
/// Commits, and bytes in them, between two checks of the log's length.
const COMMITS_BETWEEN_CHECKS: u32 = 8;
const BYTES_BETWEEN_CHECKS: usize = 512 << 10;
/// How long a checkpoint of the writer waits for readers that need the log.
const READERS_TIMEOUT: Duration = Duration::from_millis(20);
/// The pause after a reader needed the log for longer. Such a reader is another program.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long erased secrets may stay in the file and in the log, unless a reader needs the log for longer.
const ERASED_WITHIN: Duration = Duration::from_secs(2);
/// The pause after the thread was found copying.
const RETRY_WHILE_COPYING: Duration = Duration::from_millis(50);
/// How long the writer waits while no truncation is due.
const IDLE: Duration = Duration::from_secs(3600);

/// The log, as the writer sees it.
pub(crate) struct WriteAheadLog {
    wake: SyncSender<()>,
    /// Held while the thread copies.
    copying: Arc<Mutex<()>>,
    thread: JoinHandle<()>,
    commits: u32,
    bytes: usize,
    pause_until: Option<Instant>,
    /// Due time of the next truncation, if secrets were erased.
    truncate_at: Option<Instant>,
    /// Whether the last truncation failed, which was logged.
    is_blocked: bool,
}

/// The result of `PRAGMA wal_checkpoint`: frames in the log, and copied frames.
#[derive(QueryableByName)]
struct Frames {
    #[diesel(sql_type = Integer)]
    busy: i32,
    #[diesel(sql_type = Integer)]
    log: i32,
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

impl WriteAheadLog {
    /// Starts the checkpoint thread. Returns `None` for PostgreSQL, which has a log of its own.
    pub(crate) fn of(
        database: &Database,
        database_file: Option<Arc<DatabaseFile>>,
    ) -> Option<Self> {
        let Database::Sqlite(_) = database else { return None };
        let (wake, woken) = sync_channel(1);
        let copying = Arc::new(Mutex::new(()));
        let (held, managed) =
            (Arc::clone(&copying), ManagedConn::copying(database.clone()).at(database_file));
        let thread = thread::Builder::new()
            .name("latchkey-log".to_owned())
            .spawn(move || copy(managed, &woken, &held))
            .expect("the system can start a thread");
        Some(Self {
            wake,
            copying,
            thread,
            commits: 0,
            bytes: 0,
            pause_until: None,
            truncate_at: None,
            is_blocked: false,
        })
    }

    /// Makes a truncation due at once: the last process may have ended before its own, or the file was moved away from
    /// its log.
    pub(crate) fn schedule_truncate(&mut self) {
        self.truncate_at = Some(Instant::now());
    }

    /// Checkpoints or truncates the log if that is due. The writer calls it after each commit. `bytes` is roughly the
    /// size of that commit.
    pub(crate) fn after_commit(&mut self, managed: &mut ManagedConn, bytes: usize, erases: bool) {
        if erases {
            self.truncate_at.get_or_insert_with(|| Instant::now() + ERASED_WITHIN);
        }
        if self.truncate_due_in().is_zero() {
            self.truncate(managed);
        }
        self.commits += 1;
        self.bytes += bytes;
        if self.commits < COMMITS_BETWEEN_CHECKS && self.bytes < BYTES_BETWEEN_CHECKS {
            return;
        }
        (self.commits, self.bytes) = (0, 0);
        // The next write reports the problem with the file.
        let Some(Conn::Sqlite(conn)) = managed.conn() else { return };
        let Ok(Frames { log, checkpointed, .. }) = checkpoint(conn, "NOOP") else { return };
        let left = log - checkpointed;
        let is_long = log >= RESTART_AT_FRAMES && left <= RESTART_LEFT_FRAMES;
        if (is_long || log >= BLOCK_AT_FRAMES) && !self.is_pausing() {
            let _no_copying = match self.copying.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::WouldBlock) if log < BLOCK_AT_FRAMES => return,
                Err(_) => self.copying.lock().unwrap_or_else(PoisonError::into_inner),
            };
            let restarted = checkpoint_blocking(conn, "RESTART");
            if !matches!(restarted, Ok(Frames { busy: 0, .. })) {
                self.pause_until = Some(Instant::now() + RETRY_AFTER);
            }
            match restarted {
                Ok(Frames { busy: 0, .. }) => {}
                Ok(_) => warn!("another program keeps the write-ahead log from being shortened"),
                Err(error) => warn!(%error, "the write-ahead log cannot be shortened"),
            }
        } else if left >= COPY_AT_FRAMES {
            // A full channel means that the thread was woken already.
            let _ = self.wake.try_send(());
        }
    }

    /// Returns how long the writer may wait before it truncates the log.
    pub(crate) fn truncate_due_in(&self) -> Duration {
        self.truncate_at.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Copies the rest of the log into the file and truncates the log, if secrets were erased.
    pub(crate) fn truncate(&mut self, managed: &mut ManagedConn) {
        if self.truncate_at.is_none() {
            return;
        }
        // The writer does not wait for the thread.
        let _no_copying = match self.copying.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.truncate_at = Some(Instant::now() + RETRY_WHILE_COPYING);
                return;
            }
        };
        let truncated = managed.run(|conn| match conn {
            Conn::Sqlite(conn) => Ok(checkpoint_blocking(conn, "TRUNCATE")?),
            Conn::Postgres(_) => Err(StoreError::Closed),
        });
        let is_truncated = matches!(truncated, Ok(Frames { busy: 0, .. }));
        match truncated {
            _ if is_truncated || self.is_blocked => {}
            Err(error) => {
                warn!(error = error_chain(&error), "the write-ahead log cannot be truncated")
            }
            Ok(_) => warn!("another program keeps erased data in the write-ahead log"),
        }
        self.is_blocked = !is_truncated;
        self.truncate_at = (!is_truncated).then(|| Instant::now() + ERASED_WITHIN);
    }

    fn is_pausing(&self) -> bool {
        self.pause_until.is_some_and(|until| Instant::now() < until)
    }

    /// Moves the whole log into the file, unless another process uses the database.
    pub(crate) fn checkpoint_and_close(self, managed: &mut ManagedConn) {
        drop(self.wake);
        // The panic hook logged a panic of the thread.
        let _ = self.thread.join();
        let Some(Conn::Sqlite(conn)) = managed.conn() else { return };
        if let Err(error) = checkpoint(conn, "TRUNCATE") {
            warn!(%error, "the write-ahead log is left to the next start");
        }
    }
}

/// Copies the log whenever it is woken, until the log is closed.
fn copy(mut managed: ManagedConn, woken: &Receiver<()>, copying: &Mutex<()>) {
    while woken.recv().is_ok() {
        let _held = copying.lock().unwrap_or_else(PoisonError::into_inner);
        let copied = managed.run(|conn| match conn {
            Conn::Sqlite(conn) => Ok(checkpoint(conn, "PASSIVE")?),
            Conn::Postgres(_) => Err(StoreError::Closed),
        });
        if let Err(error) = copied {
            warn!(error = error_chain(&error), "the write-ahead log cannot be copied");
        }
    }
}

/// Copies the rest and waits for readers, so that the log restarts with the next commit, or is truncated now.
fn checkpoint_blocking(conn: &mut SqliteConnection, mode: &str) -> diesel::QueryResult<Frames> {
    let wait = |time: Duration| format!("PRAGMA busy_timeout = {};", time.as_millis());
    conn.batch_execute(&wait(READERS_TIMEOUT))?;
    let frames = checkpoint(conn, mode);
    conn.batch_execute(&wait(BUSY_TIMEOUT))?;
    frames
}

fn checkpoint(conn: &mut SqliteConnection, mode: &str) -> diesel::QueryResult<Frames> {
    sql_query(format!("PRAGMA wal_checkpoint({mode})")).get_result(conn)
}
