//! A connection that is opened anew after it broke.
//!
//! Invariant: a connection on which something failed is never used again, for what state that left
//! behind is not to be guessed; and a server that is away is not asked in a storm.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection as _;

use crate::{
    Database, OpenError, StoreError,
    conn::Conn,
    error::{Panicked, Source},
};

/// How long a connection may rest before it is tried out.
const REST: Duration = Duration::from_secs(1);
/// The pause after a connection that could not be opened: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A connection of one thread at a time.
pub(crate) struct Link {
    database: Database,
    open: fn(&Database) -> Result<Conn, OpenError>,
    conn: Option<Conn>,
    used: Instant,
    failure: Option<Failure>,
}

/// Why there is no connection.
struct Failure {
    cause: Source,
    pause: Duration,
    until: Instant,
}

impl Link {
    /// One that may write; the first connection is there already.
    pub(crate) fn writing(database: Database, conn: Conn) -> Self {
        Self { conn: Some(conn), ..Self::new(database, Conn::writing) }
    }

    /// One that only reads.
    pub(crate) fn reading(database: Database) -> Self {
        Self::new(database, Conn::reading)
    }

    /// One that copies an SQLite file's log.
    pub(crate) fn copying(database: Database) -> Self {
        Self::new(database, Conn::copying)
    }

    fn new(database: Database, open: fn(&Database) -> Result<Conn, OpenError>) -> Self {
        Self { database, open, conn: None, used: Instant::now(), failure: None }
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
        self.try_out();
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

    /// The connection, if it is there without asking anybody.
    pub(crate) fn conn(&mut self) -> Option<&mut Conn> {
        self.conn.as_mut()
    }

    /// A connection to a server may have ended while it rested.
    fn try_out(&mut self) {
        let Some(Conn::Postgres(session)) = &mut self.conn else { return };
        if self.used.elapsed() > REST && session.batch_execute("SELECT 1").is_err() {
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
        (self.open)(&self.database).map_err(|error| {
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
