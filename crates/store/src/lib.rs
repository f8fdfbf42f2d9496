//! The store: users and sealed external tokens in a database, behind `Store`.
//!
//! Invariant: no token, claim or retrieval key reaches the database in the clear, and a save is
//! answered only after its transaction was committed.

mod commit;
mod conn;
mod error;
mod external_tokens;
mod ids;
mod keyring;
mod lock;
pub mod migrate;
mod schema;
mod seal;
mod users;

use std::{path::PathBuf, sync::Arc};

use diesel::r2d2::{Pool, PooledConnection};
use model::{Login, Principal, RetrievalKey, TenantId, TokenManagementInfo, User};
use tracing::info;

use crate::{
    commit::Writer,
    conn::{Conn, Manager},
    ids::Ids,
    keyring::Keyring,
    lock::InstanceLock,
};
pub use crate::{
    conn::Database,
    error::{OpenError, StoreError},
    external_tokens::SavedTokens,
};

/// Connections that read at the same time; each read takes microseconds.
const READERS: u32 = 4;
/// A fresh id may be taken already by another server that saved in the same microsecond.
const ID_ATTEMPTS: usize = 4;

/// What `Store::open` needs to know.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Where the rows are.
    pub database: Database,
    /// Where the master keys are; created with one key in it if the database is new.
    pub keys_directory: PathBuf,
    /// Whether to bring the schema up to date, or to refuse a database that is behind.
    pub auto_migrate: bool,
}

/// The only door to the database. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    readers: Pool<Manager>,
    writer: Writer,
    keyring: Keyring,
    ids: Ids,
    _lock: InstanceLock,
}

impl Store {
    /// Opens the database: takes it for this process alone, migrates it if told to, and checks that
    /// every master key is there and is the right one. Blocks.
    ///
    /// # Errors
    /// Any of these stops the start with a message that says what to do, and changes nothing.
    pub fn open(options: &OpenOptions) -> Result<Self, OpenError> {
        let lock = InstanceLock::take(&options.database)?;
        let mut conn = options.database.connect()?;
        if options.auto_migrate {
            for name in migrate::run(&mut conn)? {
                info!(migration.name = name, "migrated the database");
            }
        } else {
            migrate::require_current(&mut conn)?;
        }
        let keyring = Keyring::open(&options.keys_directory, &mut conn)?;
        let readers = Pool::builder()
            .max_size(READERS)
            .min_idle(Some(1))
            .test_on_check_out(false)
            .build(Manager { database: options.database.clone() })
            .map_err(|error| OpenError::Database(error.into()))?;
        let writer = Writer::start(options.database.clone(), conn);
        Ok(Self(Arc::new(Inner { readers, writer, keyring, ids: Ids::default(), _lock: lock })))
    }

    /// Seals and saves a carrier in the name of `owner`; returns once it is on disk.
    ///
    /// # Errors
    /// `Overloaded` when the queue is full, `Unavailable` when the database cannot write; in both
    /// cases nothing was saved.
    pub async fn save_external_tokens(
        &self,
        owner: &Principal,
        carrier: &TokenManagementInfo,
    ) -> Result<RetrievalKey, StoreError> {
        let inner = &self.0;
        for _ in 0..ID_ATTEMPTS {
            let key = inner.ids.new_key();
            let row = external_tokens::seal(owner, carrier, &key, &inner.keyring);
            match inner.writer.save(row).await {
                Err(StoreError::Conflict(_)) => continue,
                saved => return saved.map(|()| key),
            }
        }
        Err(StoreError::Conflict("record id"))
    }

    /// What `key` retrieves in this tenant; `None` if it retrieves nothing, whatever the reason.
    ///
    /// # Errors
    /// `Damaged` when the record is there but does not open, `Unavailable` when it cannot be read.
    pub async fn external_tokens(
        &self,
        tenant: &TenantId,
        key: &RetrievalKey,
    ) -> Result<Option<SavedTokens>, StoreError> {
        let (store, tenant, key) = (self.clone(), tenant.clone(), key.clone());
        self.read(move |conn| external_tokens::open(conn, &tenant, &key, &store.0.keyring)).await
    }

    /// The user with this login, disabled or not.
    pub async fn user(&self, tenant: &TenantId, login: &Login) -> Result<Option<User>, StoreError> {
        let (tenant, login) = (tenant.clone(), login.clone());
        self.read(move |conn| users::find(conn, &tenant, &login)).await
    }

    /// Whether nobody can sign in yet.
    pub async fn has_no_users(&self) -> Result<bool, StoreError> {
        self.read(|conn| users::count(conn).map(|count| count == 0)).await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict` when the tenant has a user of that login.
    pub async fn add_user(&self, user: User) -> Result<(), StoreError> {
        self.0.writer.run(move |conn| users::insert(conn, &user)).await
    }

    /// Checks that the database answers and that the master key in use still opens its sentinel.
    pub async fn check(&self) -> Result<(), StoreError> {
        let store = self.clone();
        self.read(move |conn| store.0.keyring.check(conn)).await
    }

    /// Commits what is queued, then refuses every further write. Blocks until the writer is done.
    pub fn close(&self) {
        self.0.writer.close();
    }

    async fn read<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    {
        let pool = self.0.readers.clone();
        tokio::task::spawn_blocking(move || {
            let mut conn: PooledConnection<Manager> =
                pool.get().map_err(|error| StoreError::Unavailable(error.into()))?;
            query(&mut conn)
        })
        .await
        .map_err(|error| StoreError::Unavailable(error.into()))?
    }
}
