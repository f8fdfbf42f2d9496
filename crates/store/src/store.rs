//! `Store`: how a database is opened, checked and closed. Each of its subjects has a file in this room.
//!
//! Invariant: a save is answered only after its transaction was committed.

mod applications;
mod credentials;
mod deliveries;
mod exchanges;
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
    grants::{GrantFacts, NewTokens},
    migrator::Migrator,
    rekey::Rekeyed,
    retirement::KekStatus,
    rewrapping::Rewrapped,
    rotation::Rotation,
    tokens::{TokenEnd, TokensToSave},
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

/// How long a check counts. Anybody may ask for one, and each writes to the disk.
const CHECK_COUNTS_FOR: Duration = Duration::from_secs(1);
/// How many callers may wait for a check.
const CHECKS_WAITING: usize = 1024;

/// What `Store::open` needs to know.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Where the rows are.
    pub database: Database,
    /// Where the master keys are; the first one is made if the database is new.
    pub keys: KekSources,
    /// Whether to bring the schema up to date, or to refuse a database that is behind.
    pub auto_migrate: bool,
    /// How many connections to take to a database on a server: one writes, the others read.
    pub connections: usize,
    /// Tells the time.
    pub clock: Clock,
    /// How long records live.
    pub expiry_policy: ExpiryPolicy,
    /// How many rows a user may add.
    pub quotas: Quotas,
    /// The folder where new tokens wait while the database cannot take them.
    pub unsaved_directory: PathBuf,
    /// What receivers of webhooks are sent.
    pub outbox: OutboxOptions,
}

#[cfg(test)]
impl OpenOptions {
    /// A new database of a test, in this folder.
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
    /// Of a file.
    pub(crate) database_file: Option<Arc<DatabaseFile>>,
    pub(crate) checks: SingleFlight<Result<(), StoreError>>,
    /// `None` beside a running server, which has it, and on a server's database.
    pub(crate) lock: Option<InstanceLock>,
    pub(crate) presence: Presence,
    pub(crate) outage: Arc<Outage>,
    pub(crate) unsaved: Unsaved,
    pub(crate) leases: Arc<Leases>,
    pub(crate) outbox: Arc<Outbox>,
    /// The connection on which leases are renewed; it is opened when there is one.
    pub(crate) renewals: Mutex<ManagedConn>,
}

/// How the master keys of a database are loaded.
type LoadKeys = fn(&KekSources, &mut Conn) -> Result<Option<Keyring>, OpenError>;

/// A connection to what this process has for itself alone, or is used beside a server: one that writes, or, if the
/// disk has no room for that, one that reads, and why.
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
    /// Opens the database: takes it for this process alone, migrates it if the options say so, and checks that
    /// every master key is there and is the right one. Blocks.
    ///
    /// # Errors
    /// Each says what to do, and no row and no table was changed but by migrations that succeeded.
    pub fn open(options: &OpenOptions) -> Result<Self, OpenError> {
        Self::open_with(options, Keyring::load)
    }

    fn open_with(options: &OpenOptions, load: LoadKeys) -> Result<Self, OpenError> {
        let (database, lock) = instance_lock::take(&options.database)?;
        Self::prepare(options, database, lock, load)
    }

    /// As `open`, also while a server is running on the database; then nothing is migrated. For
    /// commands that change a few rows, which SQLite lets several processes do. Blocks.
    ///
    /// # Errors
    /// As `open`, and `OtherVersion` if the server that is running has another schema.
    pub fn open_beside(options: &OpenOptions) -> Result<Self, OpenError> {
        Self::open_beside_with(options, Keyring::load)
    }

    /// As `open_beside`, also if master keys are not there or wrong, as long as one is right: for looking at
    /// master keys, and for retiring them. Blocks.
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
                "sslmode=require encrypts, but does not see who answers; name a file of certificates as \
                 sslrootcert, or take verify-full"
            );
        }
        let (mut conn, no_room) = connect(&database, lock.is_some())?;
        let database_file = DatabaseFile::of(&database)?;
        migrate::refuse_newer(&mut conn)?;
        // Before the schema is touched, because an operator without the right key may need the older version.
        let keyring = load(&options.keys, &mut conn)?;
        let has_room = no_room.is_none();
        if let (Some(error), Some(database_file)) = (no_room, &database_file) {
            // A key and a schema have to be written before there is anything to get.
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

    /// Checks that the database can be read and written, that none of its master keys is missing here, and
    /// that the one in use still opens its sentinel. Looks at most once a second.
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

    /// Commits what is queued, then refuses every further write. Blocks until the writer is done.
    pub fn close(&self) {
        self.0.writer.close();
    }
}
