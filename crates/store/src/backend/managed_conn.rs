//! A connection that is opened again after it failed.
//!
//! Invariant: a connection on which a statement failed is never used again, because its state is unknown. While the
//! database server is away, it is tried with exponential back-off.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection as _;

use crate::{
    Database, OpenError, StoreError,
    backend::{
        conn::Conn,
        sqlite::database_file::{DatabaseFile, Identity},
    },
    error::{Panicked, Source},
};

/// How long a connection may rest before it is tried out.
const IDLE_BEFORE_PROBE: Duration = Duration::from_secs(1);
/// The pause after a connection that could not be opened: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How a connection is opened.
type Open = fn(&Database) -> Result<Conn, OpenError>;

/// A connection of one thread at a time.
pub(crate) struct ManagedConn {
    database: Database,
    open: Open,
    conn: Option<Conn>,
    used: Instant,
    database_file: Option<Arc<DatabaseFile>>,
    /// Which write-ahead log the connection writes to.
    log: Option<Identity>,
    /// What is opened while the disk has no room.
    open_without_room: Option<Open>,
    failure: Option<Failure>,
}

/// Why there is no connection.
struct Failure {
    cause: Source,
    pause: Duration,
    until: Instant,
}

impl ManagedConn {
    /// One that may write; the first connection is there already, unless the disk has no room.
    pub(crate) fn writing(database: Database, conn: Option<Conn>) -> Self {
        Self { conn, ..Self::new(database, Conn::writing) }
    }

    /// One that only reads.
    pub(crate) fn reading(database: Database) -> Self {
        let open_without_room = Some(Conn::reading_alone as Open);
        Self { open_without_room, ..Self::new(database, Conn::reading) }
    }

    /// One that copies an SQLite file's log.
    pub(crate) fn copying(database: Database) -> Self {
        Self::new(database, Conn::copying)
    }

    fn new(database: Database, open: Open) -> Self {
        Self {
            database,
            open,
            conn: None,
            used: Instant::now(),
            database_file: None,
            log: None,
            open_without_room: None,
            failure: None,
        }
    }

    /// To the file of this place, and to no other that comes there.
    pub(crate) fn at(self, database_file: Option<Arc<DatabaseFile>>) -> Self {
        Self { database_file, ..self }
    }

    /// Looks whether the file is still in its place.
    ///
    /// # Errors
    /// As `DatabaseFile::check`.
    pub(crate) fn check_file(&self) -> Result<(), StoreError> {
        self.database_file.as_ref().map_or(Ok(()), |database_file| database_file.check())
    }

    /// As `check_file`, and looks at the write-ahead log as well; to be called after a commit.
    pub(crate) fn check_files(&mut self) -> Result<(), StoreError> {
        let Some(database_file) = &self.database_file else { return Ok(()) };
        database_file.check()?;
        database_file.check_log(&mut self.log)
    }

    /// As `check_file`, by what is known.
    pub(crate) fn refuse_other_file(&self) -> Result<(), StoreError> {
        self.database_file.as_ref().map_or(Ok(()), |database_file| database_file.known())
    }

    /// Runs `work`. Unless it succeeds or a row is refused, the connection is given up; a server that did
    /// not answer, or went away, is left alone for a while. A panic fails this work and no other.
    ///
    /// # Errors
    /// `Unavailable` without a connection; what `work` returns.
    pub(crate) fn run<T>(
        &mut self,
        work: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.probe_if_idle();
        if self.conn.is_none() {
            self.conn = Some(self.connect()?);
        }
        let conn = self.conn.as_mut().expect("it was opened");
        let outcome = catch_unwind(AssertUnwindSafe(|| work(conn)))
            .unwrap_or_else(|_panic| Err(StoreError::Query(Arc::new(Panicked))));
        match &outcome {
            Err(error) if !error.changed_nothing() && !error.refuses_a_row() => {
                self.conn = None;
                if let (Database::Postgres(_), Some(cause)) = (&self.database, error.is_away()) {
                    self.failed(cause);
                }
            }
            _ => self.failure = None,
        }
        outcome
    }

    /// Whether the server is away, as far as is known.
    pub(crate) fn is_away(&self) -> bool {
        self.failure.is_some()
    }

    /// How long it is left alone from now on.
    pub(crate) fn pause(&self) -> Duration {
        let until = self.failure.as_ref().map(|failure| failure.until);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Gives the connection up; the next one is opened when there is work.
    pub(crate) fn disconnect(&mut self) {
        self.conn = None;
    }

    /// The connection, if it is there without asking anybody.
    pub(crate) fn conn(&mut self) -> Option<&mut Conn> {
        self.conn.as_mut()
    }

    /// A connection to a server may have ended while it rested.
    fn probe_if_idle(&mut self) {
        let Some(Conn::Postgres(session)) = &mut self.conn else { return };
        if self.used.elapsed() > IDLE_BEFORE_PROBE && session.batch_execute("SELECT 1").is_err() {
            self.conn = None;
        }
        self.used = Instant::now();
    }

    fn connect(&mut self) -> Result<Conn, StoreError> {
        if let Some(Failure { cause, until, .. }) = &self.failure
            && Instant::now() < *until
        {
            return Err(StoreError::Unavailable(Arc::clone(cause)));
        }
        self.check_file()?;
        let no_room = self.database_file.as_ref().and_then(|database_file| database_file.no_room());
        let open = match (no_room, self.open_without_room) {
            (Some(cause), None) => return Err(StoreError::Unavailable(cause)),
            (Some(_), Some(open)) => open,
            (None, _) => self.open,
        };
        self.log = None;
        open(&self.database).map_err(|error| {
            let cause: Source = Arc::new(error);
            self.failed(Arc::clone(&cause));
            StoreError::Unavailable(cause)
        })
    }

    /// Nobody asks again before a pause, counted from now: the attempt itself may have taken long.
    fn failed(&mut self, cause: Source) {
        let pause = match &self.failure {
            Some(last) => (last.pause * 2).min(PAUSES.1),
            None => PAUSES.0,
        };
        self.failure = Some(Failure { cause, pause, until: Instant::now() + pause });
    }
}
