//! Reads: on SQLite at once, on the calling thread; on PostgreSQL batched, on few connections.
//!
//! Invariant: no read waits for a write. On SQLite no read waits for another thread's read while there are connections
//! for all.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use model::{Application, ApplicationName, CredentialId, Login, SecretDigest, TenantId, User};

use crate::{
    Database, FoundCredential, StoreError,
    backend::{
        conn::Conn,
        managed_conn::ManagedConn,
        outage::{Access, Outage},
        sqlite::database_file::DatabaseFile,
    },
    figures::ReadFigures,
    read::lookups::{Lookup, Lookups},
    tables::{
        applications, credentials,
        external_tokens::{self, TokenLookup, TokenRow},
        users,
    },
};

/// The connections that read.
pub(crate) enum Readers {
    /// SQLite. A read takes microseconds, less than a thread hop.
    File(FileReaders),
    /// PostgreSQL.
    Server(Lookups),
}

impl Readers {
    /// Creates the readers. They connect at the first read.
    pub(crate) fn new(
        database: &Database,
        database_file: Option<Arc<DatabaseFile>>,
        connections: usize,
        outage: Arc<Outage>,
    ) -> Self {
        match database {
            Database::Sqlite(_) => {
                Self::File(FileReaders::new(database, database_file.as_ref(), outage))
            }
            Database::Postgres(_) => Self::Server(Lookups::start(database, connections, outage)),
        }
    }

    /// Returns the user with this login, disabled or not.
    pub(crate) async fn user(
        &self,
        tenant: &TenantId,
        login: &Login,
    ) -> Result<Option<User>, StoreError> {
        match self {
            Self::File(readers) => readers.run(|conn| users::find(conn, tenant, login)),
            Self::Server(lookups) => {
                lookups.find((tenant.clone(), login.clone()), Lookup::User).await
            }
        }
    }

    /// Returns the credential of this id, living or not, with its user.
    pub(crate) async fn credential(
        &self,
        id: &CredentialId,
    ) -> Result<Option<FoundCredential>, StoreError> {
        match self {
            Self::File(readers) => readers.run(|conn| credentials::find(conn, id)),
            Self::Server(lookups) => lookups.find(id.clone(), Lookup::Credential).await,
        }
    }

    /// Returns the application with this token, disabled or not.
    pub(crate) async fn application(
        &self,
        token: SecretDigest,
    ) -> Result<Option<Application>, StoreError> {
        match self {
            Self::File(readers) => readers.run(|conn| applications::find(conn, &token)),
            Self::Server(lookups) => {
                lookups.find(token.as_bytes().to_vec(), Lookup::Application).await
            }
        }
    }

    /// Returns the application of this name, disabled or not.
    pub(crate) async fn application_named(
        &self,
        name: ApplicationName,
    ) -> Result<Option<Application>, StoreError> {
        match self {
            Self::File(readers) => readers.run(|conn| applications::find_named(conn, &name)),
            Self::Server(lookups) => {
                lookups.find(name.as_str().to_owned(), Lookup::ApplicationNamed).await
            }
        }
    }

    /// Returns the matching row, if there is one.
    pub(crate) async fn tokens(
        &self,
        wanted: &TokenLookup,
    ) -> Result<Option<TokenRow>, StoreError> {
        match self {
            Self::File(readers) => readers.run(|conn| external_tokens::find(conn, wanted)),
            Self::Server(lookups) => lookups.find(wanted.clone(), Lookup::Tokens).await,
        }
    }

    /// Runs any other read.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Self::File(readers) => readers.run(query),
            Self::Server(lookups) => lookups.run(query).await,
        }
    }

    /// Runs a read of many rows.
    pub(crate) async fn run_slowly<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Self::File(readers) => readers.run(query),
            Self::Server(lookups) => lookups.run_slowly(query).await,
        }
    }
}

impl Readers {
    /// Returns the reads so far.
    pub(crate) fn figures(&self) -> &ReadFigures {
        match self {
            Self::File(readers) => &readers.figures,
            Self::Server(lookups) => lookups.figures(),
        }
    }

    /// Returns whether a writing connection can be opened after all of these are closed. They reopen at the next read.
    pub(crate) fn is_room(&self, database: &Database) -> bool {
        let Self::File(readers) = self else { return true };
        let lock = |managed| Mutex::lock(managed).unwrap_or_else(PoisonError::into_inner);
        let mut conns: Vec<_> = readers.conns.iter().map(lock).collect();
        conns.iter_mut().for_each(|managed| managed.disconnect());
        Conn::writing(database).is_ok()
    }
}

/// A connection for each thread that reads, and two more.
pub(crate) struct FileReaders {
    conns: Box<[Mutex<ManagedConn>]>,
    outage: Arc<Outage>,
    figures: ReadFigures,
}

thread_local! {
    /// The connection that a thread tries first.
    static HOME: Cell<Option<usize>> = const { Cell::new(None) };
}

impl FileReaders {
    fn new(
        database: &Database,
        database_file: Option<&Arc<DatabaseFile>>,
        outage: Arc<Outage>,
    ) -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from) + 2;
        let managed =
            || Mutex::new(ManagedConn::reading(database.clone()).at(database_file.cloned()));
        let conns = std::iter::repeat_with(managed).take(count).collect();
        Self { conns, outage, figures: ReadFigures::default() }
    }

    fn run<T>(
        &self,
        query: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let outcome = self.run_on_some(query);
        self.figures.read(begun, outcome.is_ok());
        self.outage.watch(Access::Read, outcome)
    }

    fn run_on_some<T>(
        &self,
        query: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let run = |managed: &mut ManagedConn| {
            managed.refuse_other_file()?;
            managed.run(query)
        };
        let home = home();
        let (before, after) = self.conns.split_at(home % self.conns.len());
        for managed in after.iter().chain(before) {
            match managed.try_lock() {
                Ok(mut managed) => return run(&mut managed),
                Err(TryLockError::Poisoned(managed)) => return run(&mut managed.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let managed = self.conns[home % self.conns.len()].lock();
        run(&mut managed.unwrap_or_else(PoisonError::into_inner))
    }
}

fn home() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    HOME.with(|home| {
        home.get().unwrap_or_else(|| {
            let number = THREADS.fetch_add(1, Ordering::Relaxed);
            home.set(Some(number));
            number
        })
    })
}
