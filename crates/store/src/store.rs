//! `Store`: opening, checking and closing a database. Each subject has a file in this room.
//!
//! Invariant: every save is answered only after its transaction was committed.

mod applications;
mod audit;
mod credentials;
mod deliveries;
mod exchanges;
mod figures;
mod following;
mod grants;
mod migrator;
mod provider_pauses;
mod records;
mod rekey;
mod replacing;
mod retirement;
mod retry;
mod rewrapping;
mod rotation;
mod servers;
mod several;
mod sweep;
mod tokens;
mod unsaved;
mod users;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tracing::{info, warn};

use self::servers::Presence;
pub use self::{
    audit::FoundAnchor,
    figures::{Counts, KeyCounts},
    grants::{GrantFacts, NewTokens},
    migrator::Migrator,
    rekey::Rekeyed,
    retirement::KekStatus,
    rewrapping::Rewrapped,
    rotation::Rotation,
    tokens::{TokenEnd, TokensToSave},
    users::{UserChange, UserRemoval},
};
use crate::{
    Clock, Database, ExpiryPolicy, KekSources, OpenError, OutboxOptions, Quotas, SingleFlight,
    StoreError,
    backend::{
        conn::Conn,
        managed_conn::ManagedConn,
        migrate,
        outage::Outage,
        sqlite::{
            database_file::DatabaseFile,
            instance_lock::{self, InstanceLock},
            wal::WriteAheadLog,
        },
    },
    keys::{
        keyring::{self, Keyring},
        live::LiveKeyring,
    },
    quotas::RecordCounts,
    read::{readers::Readers, use_buffer::UseBuffer},
    record_ids::RecordIds,
    tables::{database_identity, deliveries::Outbox, grants::lease::Leases},
    unsaved::Unsaved,
    write::{
        lock_order::{LockOrder, Write},
        writer::Writer,
    },
};

/// How long a check's outcome is reused. Any client may ask for a check, and each check writes to the disk.
const CHECK_COUNTS_FOR: Duration = Duration::from_secs(1);
/// The most callers that may wait for a check.
const CHECKS_WAITING: usize = 1024;

/// Options of `Store::open`.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The database.
    pub database: Database,
    /// The sources of master keys. A new database gets its first key from them.
    pub keys: KekSources,
    /// Whether to migrate an outdated schema, or to reject it.
    pub auto_migrate: bool,
    /// Number of connections to a database server: one writes, the others read.
    pub connections: usize,
    /// The source of the time.
    pub clock: Clock,
    /// Expiry limits of records.
    pub expiry_policy: ExpiryPolicy,
    /// Quotas of each user.
    pub quotas: Quotas,
    /// The folder for new tokens that the database cannot take at the moment.
    pub unsaved_directory: PathBuf,
    /// Which events are sent to receivers of webhooks.
    pub outbox: OutboxOptions,
}

#[cfg(test)]
impl OpenOptions {
    /// Options for a new database of a test, in this folder.
    pub(crate) fn of_test(folder: &std::path::Path) -> Self {
        Self {
            database: Database::Sqlite(folder.join("test.db")),
            keys: KekSources {
                source: crate::KeySource::Directory,
                directory: folder.join("keys"),
                secret: None,
                module: None,
            },
            auto_migrate: true,
            connections: 2,
            clock: Clock::SYSTEM,
            expiry_policy: ExpiryPolicy::default(),
            quotas: Quotas { credentials: 500, records: 1000, idempotency_keys: 1000 },
            unsaved_directory: folder.join("unsaved"),
            outbox: OutboxOptions::default(),
        }
    }
}

/// The only door to the database. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) readers: Readers,
    pub(crate) writer: Writer,
    pub(crate) keyring: LiveKeyring,
    pub(crate) clock: Clock,
    pub(crate) ids: RecordIds,
    pub(crate) expiry_policy: ExpiryPolicy,
    pub(crate) quotas: Quotas,
    pub(crate) counts: RecordCounts,
    pub(crate) uses: UseBuffer,
    /// The SQLite file.
    pub(crate) database_file: Option<Arc<DatabaseFile>>,
    pub(crate) checks: SingleFlight<Result<(), StoreError>>,
    /// `None` next to a running server, which holds the lock, and on PostgreSQL.
    pub(crate) lock: Option<InstanceLock>,
    pub(crate) presence: Presence,
    pub(crate) outage: Arc<Outage>,
    pub(crate) unsaved: Unsaved,
    pub(crate) leases: Arc<Leases>,
    pub(crate) outbox: Arc<Outbox>,
    /// The connection that renews leases; opened with the first lease.
    pub(crate) renewals: Mutex<ManagedConn>,
}

/// A function that loads the master keys of a database.
type LoadKeys = fn(&KekSources, &mut Conn) -> Result<Option<Keyring>, OpenError>;

/// Opens the writing connection. If the disk is too full for that, and no other process has the database, opens a
/// reading connection and returns the error with it.
fn connect(database: &Database, is_alone: bool) -> Result<(Conn, Option<OpenError>), OpenError> {
    match Conn::writing(database) {
        Err(error) if is_alone && error.is_for_want_of_room() => {
            match Conn::reading_alone(database) {
                Ok(conn) => Ok((conn, Some(error))),
                Err(_reads_neither) => Err(error),
            }
        }
        opened => Ok((opened?, None)),
    }
}

impl Store {
    /// Opens the database for this process alone, migrates it if the options say so, and checks every master key.
    /// Blocks.
    ///
    /// # Errors
    /// Each message says what to do. After an error, successful migrations are the only change.
    pub fn open(options: &OpenOptions) -> Result<Self, OpenError> {
        Self::open_with(options, Keyring::load)
    }

    fn open_with(options: &OpenOptions, load: LoadKeys) -> Result<Self, OpenError> {
        let (database, lock) = instance_lock::take(&options.database)?;
        Self::prepare(options, database, lock, load)
    }

    /// Opens the database like `open`, but also while a server is running on it; migrates nothing. For commands that
    /// change a few rows, which SQLite allows from several processes. Blocks.
    ///
    /// # Errors
    /// As `open`, and `OtherVersion`: the running server has another schema.
    pub fn open_beside(options: &OpenOptions) -> Result<Self, OpenError> {
        Self::open_beside_with(options, Keyring::load)
    }

    /// Opens the database like `open_beside`, but needs only one right master key: for looking at keys and for retiring
    /// them. Blocks.
    ///
    /// # Errors
    /// As `open_beside`.
    pub fn open_for_keys(options: &OpenOptions) -> Result<Self, OpenError> {
        Self::open_beside_with(options, Keyring::load_some)
    }

    fn open_beside_with(options: &OpenOptions, load: LoadKeys) -> Result<Self, OpenError> {
        match Self::open_with(options, load) {
            Err(OpenError::InUse(path)) => {
                let running = OpenOptions { auto_migrate: false, ..options.clone() };
                let database = Database::Sqlite(path.clone());
                Self::prepare(&running, database, None, load).map_err(|error| match error {
                    OpenError::Behind(_) | OpenError::Newer(_) => OpenError::OtherVersion(path),
                    other => other,
                })
            }
            opened => opened,
        }
    }

    fn prepare(
        options: &OpenOptions,
        database: Database,
        lock: Option<InstanceLock>,
        load: LoadKeys,
    ) -> Result<Self, OpenError> {
        if let Database::Postgres(url) = &database
            && url.trusts_anybody()
        {
            warn!(
                "sslmode=require encrypts, but does not verify the server; name a file of certificates as \
                 sslrootcert, or use verify-full"
            );
        }
        let (mut conn, no_room) = connect(&database, lock.is_some())?;
        let database_file = DatabaseFile::of(&database)?;
        migrate::refuse_newer(&mut conn)?;
        // Keys are loaded before migrating, because an operator without the right key may need the older version.
        let keyring = load(&options.keys, &mut conn)?;
        let has_room = no_room.is_none();
        if let (Some(error), Some(database_file)) = (no_room, &database_file) {
            // The database has nothing to read before a key and a schema are written.
            if keyring.is_none() || migrate::require_current(&mut conn).is_err() {
                return Err(error);
            }
            database_file.set_no_room(error);
        } else if options.auto_migrate {
            for name in migrate::run(&mut conn)? {
                info!(migration.name = name, "migrated the database");
            }
        } else {
            migrate::require_current(&mut conn)?;
        }
        let keyring = match keyring {
            Some(keyring) => keyring,
            None => Keyring::begin(&options.keys, &mut conn, options.clock.now())?,
        };
        if let Some(before) = database_identity::follow(&mut conn, options.clock.now())? {
            warn!(
                before,
                "the database was restored or copied to another place on PostgreSQL: it is paused, and no token is \
                 refreshed"
            );
        }
        let mut log = WriteAheadLog::of(&database, database_file.clone());
        if let (Some(log), Some(_)) = (&mut log, &lock) {
            log.schedule_truncate();
        }
        let outage = Arc::new(Outage::default());
        let unsaved = Unsaved::of(&options.unsaved_directory)?;
        Ok(Self(Arc::new(Inner {
            readers: Readers::new(
                &database,
                database_file.clone(),
                options.connections - 1,
                Arc::clone(&outage),
            ),
            renewals: Mutex::new(ManagedConn::writing(database.clone(), None)),
            writer: Writer::start(
                ManagedConn::writing(database, has_room.then_some(conn)).at(database_file.clone()),
                log,
                Arc::clone(&outage),
            ),
            keyring: LiveKeyring::new(options.keys.clone(), keyring),
            clock: options.clock,
            ids: RecordIds::default(),
            expiry_policy: options.expiry_policy.clone(),
            quotas: options.quotas,
            counts: RecordCounts::default(),
            uses: UseBuffer::default(),
            database_file,
            checks: SingleFlight::new(CHECKS_WAITING),
            lock,
            presence: Presence::default(),
            outage,
            unsaved,
            leases: Arc::default(),
            outbox: Arc::new(Outbox::new(options.outbox.clone())),
        })))
    }

    /// Checks that the database can be read and written, and that this process has all its master keys. The active key
    /// must still open its sentinel. Looks at most once a second.
    pub async fn check(&self) -> Result<(), StoreError> {
        let now = Instant::now();
        let seen = now.checked_sub(CHECK_COUNTS_FOR).unwrap_or(now);
        let store = self.clone();
        let check = move || async move { store.check_now().await };
        let outcome = self.0.checks.since(seen, CHECK_COUNTS_FOR, check).await;
        outcome.unwrap_or(Err(StoreError::Overloaded))
    }

    async fn check_now(&self) -> Result<(), StoreError> {
        let (keyring, _rows) = self.load_keyring().await?;
        if let Some(missing) = keyring.missing().next() {
            return Err(StoreError::KeyMissing(missing.id.clone()));
        }
        let kek = keyring.active().id().to_owned();
        self.0.readers.run(move |conn| keyring.check(conn)).await?;
        let order = LockOrder::Kek(kek.clone());
        self.0.writer.run(Write::of(order), move |conn| keyring::touch(conn, &kek)).await
    }

    /// Commits the queued writes and rejects further ones. Blocks until the writer is done.
    pub fn close(&self) {
        self.0.writer.close();
    }
}
