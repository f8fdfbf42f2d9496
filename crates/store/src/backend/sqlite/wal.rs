//! The write-ahead log of an SQLite file, and how it is kept short while saves go on.
//!
//! Invariant: a thread of its own copies the log into the file. The writer does so itself, and nobody is
//! answered meanwhile, only when little is left to copy, after which the log begins anew, or when the log
//! is at its bound, or when secrets were erased: until the log is cut off, both have what was there before.

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
        sqlite::place::Place,
    },
    error::error_chain,
};

/// A page and its header, in bytes; those of older files are smaller.
const FRAME: i32 = PAGE_SIZE + 24;
/// So much is left before the thread copies it.
const STEP: i32 = (4 << 20) / FRAME;
/// From here on the log is begun anew as soon as so little is left to copy.
const LONG: i32 = (16 << 20) / FRAME;
const LITTLE: i32 = (2 << 20) / FRAME;
/// Here the writer waits until all of it is copied.
const BOUND: i32 = (64 << 20) / FRAME;
/// Commits, and bytes in them, from one look at the log to the next.
const COMMITS: u32 = 8;
const BYTES: usize = 512 << 10;
/// How long the writer waits for readers that need the log.
const READERS_WAIT: Duration = Duration::from_millis(20);
/// When it tries again after some reader, which must be another program, needed the log for longer.
const PAUSE: Duration = Duration::from_secs(1);
/// How long what was erased may stay in the file and in the log, unless some reader keeps the log for longer.
const ERASED_WITHIN: Duration = Duration::from_secs(2);
/// When it is tried again after the thread was found copying.
const COPYING: Duration = Duration::from_millis(50);
/// How long the writer waits when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// The log, in the writer's hands.
pub(crate) struct WriteAheadLog {
    wake: SyncSender<()>,
    /// Held while the thread copies.
    copying: Arc<Mutex<()>>,
    thread: JoinHandle<()>,
    commits: u32,
    bytes: usize,
    pause_until: Option<Instant>,
    /// When it is to be cut off, for something was erased.
    cut_at: Option<Instant>,
    /// Whether that could not be done the last time, and was told.
    is_kept: bool,
}

/// What `PRAGMA wal_checkpoint` tells: frames in the log, and how many of them were copied.
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
    /// Starts the thread that copies; `None` for a database that looks after its log itself.
    pub(crate) fn of(database: &Database, place: Option<Arc<Place>>) -> Option<Self> {
        let Database::Sqlite(_) = database else { return None };
        let (wake, woken) = sync_channel(1);
        let copying = Arc::new(Mutex::new(()));
        let (held, link) = (Arc::clone(&copying), ManagedConn::copying(database.clone()).at(place));
        let thread = thread::Builder::new()
            .name("latchkey-log".to_owned())
            .spawn(move || copy(link, &woken, &held))
            .expect("the system can start a thread");
        let (pause_until, cut_at, is_kept) = (None, None, false);
        Some(Self { wake, copying, thread, commits: 0, bytes: 0, pause_until, cut_at, is_kept })
    }

    /// Has the log cut off at once: the process before may have ended too early for it, or the file was moved
    /// away from its log.
    pub(crate) fn take_over(&mut self) {
        self.cut_at = Some(Instant::now());
    }

    /// Looks after the log; to be called by the writer after each commit, of about so many bytes.
    pub(crate) fn tend(&mut self, link: &mut ManagedConn, bytes: usize, erases: bool) {
        if erases {
            self.cut_at.get_or_insert_with(|| Instant::now() + ERASED_WITHIN);
        }
        if self.cut_is_due_in().is_zero() {
            self.cut(link);
        }
        self.commits += 1;
        self.bytes += bytes;
        if self.commits < COMMITS && self.bytes < BYTES {
            return;
        }
        (self.commits, self.bytes) = (0, 0);
        // What is wrong with the file, the next write tells.
        let Some(Conn::Sqlite(conn)) = link.conn() else { return };
        let Ok(Frames { log, checkpointed, .. }) = checkpoint(conn, "NOOP") else { return };
        let left = log - checkpointed;
        let is_long = log >= LONG && left <= LITTLE;
        if (is_long || log >= BOUND) && !self.is_pausing() {
            let _nobody_copies = match self.copying.try_lock() {
                Ok(guard) => guard,
                Err(TryLockError::WouldBlock) if log < BOUND => return,
                Err(_) => self.copying.lock().unwrap_or_else(PoisonError::into_inner),
            };
            let restarted = begin_anew(conn, "RESTART");
            if !matches!(restarted, Ok(Frames { busy: 0, .. })) {
                self.pause_until = Some(Instant::now() + PAUSE);
            }
            match restarted {
                Ok(Frames { busy: 0, .. }) => {}
                Ok(_) => warn!("another program keeps the write-ahead log from being shortened"),
                Err(error) => warn!(%error, "the write-ahead log cannot be shortened"),
            }
        } else if left >= STEP {
            // Full means that it was woken already.
            let _ = self.wake.try_send(());
        }
    }

    /// How long the writer may wait before it cuts the log off.
    pub(crate) fn cut_is_due_in(&self) -> Duration {
        self.cut_at.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Copies all that is left into the file and gives up the rest, if something was erased.
    pub(crate) fn cut(&mut self, link: &mut ManagedConn) {
        if self.cut_at.is_none() {
            return;
        }
        // The writer has better to do than to wait for it.
        let _nobody_copies = match self.copying.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.cut_at = Some(Instant::now() + COPYING);
                return;
            }
        };
        let cut = link.run(|conn| match conn {
            Conn::Sqlite(conn) => Ok(begin_anew(conn, "TRUNCATE")?),
            Conn::Postgres(_) => Err(StoreError::Closed),
        });
        let is_cut = matches!(cut, Ok(Frames { busy: 0, .. }));
        match cut {
            _ if is_cut || self.is_kept => {}
            Err(error) => {
                warn!(error = error_chain(&error), "the write-ahead log cannot be cut off")
            }
            Ok(_) => warn!("another program keeps what was erased in the write-ahead log"),
        }
        self.is_kept = !is_cut;
        self.cut_at = (!is_cut).then(|| Instant::now() + ERASED_WITHIN);
    }

    fn is_pausing(&self) -> bool {
        self.pause_until.is_some_and(|until| Instant::now() < until)
    }

    /// Leaves a database that is whole in its one file, as far as nobody is using it.
    pub(crate) fn settle(self, link: &mut ManagedConn) {
        drop(self.wake);
        // A panic of the thread was told by the panic hook.
        let _ = self.thread.join();
        let Some(Conn::Sqlite(conn)) = link.conn() else { return };
        if let Err(error) = checkpoint(conn, "TRUNCATE") {
            warn!(%error, "the write-ahead log is left to the next start");
        }
    }
}

/// Copies whenever it is woken, until nobody is left to wake it.
fn copy(mut link: ManagedConn, woken: &Receiver<()>, copying: &Mutex<()>) {
    while woken.recv().is_ok() {
        let _held = copying.lock().unwrap_or_else(PoisonError::into_inner);
        let copied = link.run(|conn| match conn {
            Conn::Sqlite(conn) => Ok(checkpoint(conn, "PASSIVE")?),
            Conn::Postgres(_) => Err(StoreError::Closed),
        });
        if let Err(error) = copied {
            warn!(error = error_chain(&error), "the write-ahead log cannot be copied");
        }
    }
}

/// Copies what is left, so that the log begins anew: with the next commit, or cut off now.
fn begin_anew(conn: &mut SqliteConnection, mode: &str) -> diesel::QueryResult<Frames> {
    let wait = |time: Duration| format!("PRAGMA busy_timeout = {};", time.as_millis());
    conn.batch_execute(&wait(READERS_WAIT))?;
    let frames = checkpoint(conn, mode);
    conn.batch_execute(&wait(BUSY_TIMEOUT))?;
    frames
}

fn checkpoint(conn: &mut SqliteConnection, mode: &str) -> diesel::QueryResult<Frames> {
    sql_query(format!("PRAGMA wal_checkpoint({mode})")).get_result(conn)
}
