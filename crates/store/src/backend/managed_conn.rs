//! A connection that is reopened after it failed.
//!
//! Invariant: a connection on which a statement failed is never used again, because its state is unknown. While the
//! database server is away, connecting is retried with exponential back-off.

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

/// Idle time after which a connection is tested before use.
const IDLE_BEFORE_PROBE: Duration = Duration::from_secs(1);
/// Initial and maximum back-off after a failed attempt to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A function that opens a connection.
type Open = fn(&Database) -> Result<Conn, OpenError>;

/// A connection, used by one thread at a time.
pub(crate) struct ManagedConn {
    database: Database,
    open: Open,
    conn: Option<Conn>,
    used: Instant,
    database_file: Option<Arc<DatabaseFile>>,
    /// The write-ahead log that the connection writes to.
    log: Option<Identity>,
    /// The function that opens a connection while the disk has no room.
    open_without_room: Option<Open>,
    failure: Option<Failure>,
}

/// The last failure to connect.
struct Failure {
    cause: Source,
    pause: Duration,
    until: Instant,
}

impl ManagedConn {
    /// Creates a connection that may write. `conn` is the first one, unless the disk has no room.
    pub(crate) fn writing(database: Database, conn: Option<Conn>) -> Self {
        Self { conn, ..Self::new(database, Conn::writing) }
    }

    /// Creates a connection that only reads.
    pub(crate) fn reading(database: Database) -> Self {
        let open_without_room = Some(Conn::reading_alone as Open);
        Self { open_without_room, ..Self::new(database, Conn::reading) }
    }

    /// Creates a connection that checkpoints an SQLite file's log.
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

    /// Restricts the connection to this file, so that it never opens a replacement.
    pub(crate) fn at(self, database_file: Option<Arc<DatabaseFile>>) -> Self {
        Self { database_file, ..self }
    }

    /// Checks that the file is still in its place.
    ///
    /// # Errors
    /// As `DatabaseFile::check`.
    pub(crate) fn check_file(&self) -> Result<(), StoreError> {
        self.database_file.as_ref().map_or(Ok(()), |database_file| database_file.check())
    }

    /// Checks the file like `check_file`, and its write-ahead log. Call it after a commit.
    pub(crate) fn check_files(&mut self) -> Result<(), StoreError> {
        let Some(database_file) = &self.database_file else { return Ok(()) };
        database_file.check()?;
        database_file.check_log(&mut self.log)
    }

    /// Returns the result of the last check of the file.
    pub(crate) fn refuse_other_file(&self) -> Result<(), StoreError> {
        self.database_file.as_ref().map_or(Ok(()), |database_file| database_file.known())
    }

    /// Runs `work`. Closes the connection after an error, unless only a row was rejected. If the server did not answer,
    /// or went away, starts a back-off. A panic fails only this call.
    ///
    /// # Errors
    /// - `Unavailable`: there is no connection.
    /// - Otherwise the error of `work`.
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

    /// Returns whether the last attempt to connect failed.
    pub(crate) fn is_away(&self) -> bool {
        self.failure.is_some()
    }

    /// Returns the remaining back-off.
    pub(crate) fn pause(&self) -> Duration {
        let until = self.failure.as_ref().map(|failure| failure.until);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Closes the connection. The next one is opened when it is needed.
    pub(crate) fn disconnect(&mut self) {
        self.conn = None;
    }

    /// Returns the connection, if it is open, without any I/O.
    pub(crate) fn conn(&mut self) -> Option<&mut Conn> {
        self.conn.as_mut()
    }

    /// Tests a connection to PostgreSQL that was idle, because the server may have closed it.
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

    /// Starts a back-off, counted from now, because the attempt itself may have taken long.
    fn failed(&mut self, cause: Source) {
        let pause = match &self.failure {
            Some(last) => (last.pause * 2).min(PAUSES.1),
            None => PAUSES.0,
        };
        self.failure = Some(Failure { cause, pause, until: Instant::now() + pause });
    }
}
