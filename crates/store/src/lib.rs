//! The store: users and sealed external tokens in a database, behind `Store`.
//!
//! Invariant: no token, claim or retrieval key reaches the database in the clear, and a save is
//! answered only after its transaction was committed.

mod applications;
mod backup;
mod checkpoint;
mod commit;
mod conn;
mod copy;
mod credentials;
mod database;
mod error;
mod external_tokens;
mod files;
mod following;
mod ids;
mod keyring;
mod keys;
mod lifecycle;
mod lifespan;
mod link;
mod lock;
mod lookups;
pub mod migrate;
mod outage;
mod pkcs11;
mod place;
mod postgres;
#[cfg(feature = "postgres-tls")]
mod postgres_certificates;
mod postgres_passfile;
mod postgres_pooler;
mod postgres_rows;
mod postgres_tls;
mod postgres_url;
mod quotas;
mod readers;
mod records;
mod reservations;
mod retirement;
mod rewrap;
mod ring;
mod rotation;
mod schema;
mod seal;
pub mod secret_file;
mod servers;
mod single_flight;
mod unreadable;
mod users;
mod uses;
mod verify;
mod wrapped_dek;
mod wraps;

use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use model::{
    Application, ApplicationName, CredentialId, CredentialKind, IdempotencyKey, IssuedCredential,
    Login, PasswordHash, Principal, RetrievalKey, SecretDigest, TenantId, TokenManagementInfo,
    User,
};
use tracing::{info, warn};

pub use crate::{
    backup::{backup, restore},
    copy::{Copied, copy},
    credentials::FoundCredential,
    database::Database,
    error::{CopyError, KeyError, OpenError, StoreError},
    external_tokens::SavedTokens,
    keys::{KeySource, Keys},
    lifespan::{Lifespan, Lifespans},
    pkcs11::Module,
    quotas::{Quota, Quotas},
    records::{Listing, Page, Position, RecordInfo},
    retirement::MasterKey,
    rotation::{Rewrapped, Rotation},
    single_flight::SingleFlight,
    uses::Life,
    verify::{Proof, verify},
};
use crate::{
    checkpoint::Log,
    commit::{Turn, Writer},
    conn::Conn,
    external_tokens::{TokenRow, Wanted},
    ids::Ids,
    keyring::Keyring,
    link::Link,
    lock::InstanceLock,
    outage::Outage,
    place::Place,
    quotas::Tallies,
    readers::Readers,
    reservations::Reservation,
    ring::Ring,
    seal::Repeats,
    servers::Presence,
    uses::Uses,
};

/// How long a check counts. Anybody may ask for one, and each writes to the disk.
const CHECK_COUNTS_FOR: Duration = Duration::from_secs(1);
/// How many callers may wait for a check.
const CHECKS_WAITING: usize = 1024;
/// A fresh id may be taken already: by another server, or before the clock was set back.
const ID_ATTEMPTS: usize = 4;

/// What `Store::open` needs to know.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Where the rows are.
    pub database: Database,
    /// Where the master keys are; the first one is made if the database is new.
    pub keys: Keys,
    /// Whether to bring the schema up to date, or to refuse a database that is behind.
    pub auto_migrate: bool,
    /// How many connections to take to a database on a server: one writes, the others read.
    pub connections: usize,
    /// How long records live.
    pub lifespans: Lifespans,
    /// How many rows a user may add.
    pub quotas: Quotas,
}

/// The only door to the database. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    readers: Readers,
    writer: Writer,
    ring: Ring,
    ids: Ids,
    lifespans: Lifespans,
    quotas: Quotas,
    tallies: Tallies,
    uses: Uses,
    /// Of a file.
    place: Option<Arc<Place>>,
    checks: SingleFlight<Result<(), StoreError>>,
    /// `None` beside a running server, which has it, and on a server's database.
    lock: Option<InstanceLock>,
    presence: Presence,
}

/// How the master keys of a database are loaded.
type LoadKeys = fn(&Keys, &mut Conn) -> Result<Option<Keyring>, OpenError>;

impl Inner {
    /// The row of a new record.
    fn seal(
        &self,
        owner: &Principal,
        carrier: &TokenManagementInfo,
        key: &RetrievalKey,
        keyring: &Keyring,
    ) -> TokenRow {
        external_tokens::seal(owner, carrier, key, keyring).with_end(&self.lifespans)
    }
}

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
    /// Opens the database: takes it for this process alone, migrates it if told to, and checks that
    /// every master key is there and is the right one. Blocks.
    ///
    /// # Errors
    /// Each says what to do, and no row and no table was changed but by migrations that succeeded.
    pub fn open(options: &OpenOptions) -> Result<Self, OpenError> {
        Self::open_with(options, Keyring::load)
    }

    fn open_with(options: &OpenOptions, load: LoadKeys) -> Result<Self, OpenError> {
        let (database, lock) = lock::take(&options.database)?;
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
        let place = Place::of(&database)?;
        migrate::refuse_newer(&mut conn)?;
        // Before the schema is touched: whoever lacks the right key may need the older version.
        let keyring = load(&options.keys, &mut conn)?;
        let has_room = no_room.is_none();
        if let (Some(error), Some(place)) = (no_room, &place) {
            // A key and a schema have to be written before there is anything to get.
            if keyring.is_none() || migrate::require_current(&mut conn).is_err() {
                return Err(error);
            }
            place.set_no_room(error);
        } else if options.auto_migrate {
            for name in migrate::run(&mut conn)? {
                info!(migration.name = name, "migrated the database");
            }
        } else {
            migrate::require_current(&mut conn)?;
        }
        let keyring = match keyring {
            Some(keyring) => keyring,
            None => Keyring::begin(&options.keys, &mut conn)?,
        };
        let mut log = Log::of(&database, place.clone());
        if let (Some(log), Some(_)) = (&mut log, &lock) {
            log.take_over();
        }
        let outage = Arc::new(Outage::default());
        Ok(Self(Arc::new(Inner {
            readers: Readers::new(
                &database,
                place.clone(),
                options.connections - 1,
                Arc::clone(&outage),
            ),
            writer: Writer::start(
                Link::writing(database, has_room.then_some(conn)).at(place.clone()),
                log,
                outage,
            ),
            ring: Ring::new(options.keys.clone(), keyring),
            ids: Ids::default(),
            lifespans: options.lifespans.clone(),
            quotas: options.quotas,
            tallies: Tallies::default(),
            uses: Uses::default(),
            place,
            checks: SingleFlight::new(CHECKS_WAITING),
            lock,
            presence: Presence::default(),
        })))
    }

    /// Seals and saves a carrier in the name of `owner`; returns once it is on disk.
    ///
    /// # Errors
    /// `Overloaded` when the queue is full, `QuotaReached` when the owner has as many records as it may:
    /// nothing was saved. `Unavailable` when the database did not confirm the save: without its key nobody can
    /// open what may have been saved.
    pub async fn save_external_tokens(
        &self,
        owner: &Principal,
        carrier: &TokenManagementInfo,
    ) -> Result<RetrievalKey, StoreError> {
        let inner = &self.0;
        inner.tallies.admit(owner, false, &inner.quotas)?;
        for _ in 0..ID_ATTEMPTS {
            let key = inner.ids.new_key();
            let save = async |keyring: &Keyring| {
                inner.writer.save(inner.seal(owner, carrier, &key, keyring)).await
            };
            match self.under_active_key(save).await {
                Err(StoreError::Conflict(_)) => continue,
                saved => {
                    saved?;
                    inner.tallies.saved(owner, false);
                    return Ok(key);
                }
            }
        }
        Err(StoreError::Conflict("record id"))
    }

    /// As `save_external_tokens`, but once for an idempotency key in 24 hours: when it is repeated, by
    /// whatever server and whatever became of the answer, the key is that of the first time.
    ///
    /// # Errors
    /// `OtherCarrier` when the idempotency key is that of another save of the caller; otherwise as
    /// `save_external_tokens`.
    pub async fn save_external_tokens_once(
        &self,
        owner: &Principal,
        carrier: &TokenManagementInfo,
        idempotency_key: &IdempotencyKey,
    ) -> Result<RetrievalKey, StoreError> {
        let inner = &self.0;
        let repeats = Repeats::of(owner, idempotency_key);
        let digest = repeats.digest();
        if let Err(refusal) = inner.tallies.admit(owner, true, &inner.quotas) {
            // A repeat adds nothing.
            let found = inner.readers.run(move |conn| reservations::find(conn, digest)).await?;
            let reservation = found.filter(Reservation::lives).ok_or(refusal)?;
            return reservation.open(&repeats, carrier);
        }
        for _ in 0..ID_ATTEMPTS {
            let key = inner.ids.new_key();
            let save = async |keyring: &Keyring| {
                let row = inner.seal(owner, carrier, &key, keyring);
                inner.writer.save_once(Reservation::new(&repeats, carrier, &key), row).await
            };
            match self.under_active_key(save).await {
                Err(StoreError::Conflict(_)) => {}
                Err(StoreError::Reserved) => {
                    let find = move |conn: &mut Conn| reservations::find(conn, digest);
                    if let Some(reservation) = inner.readers.run(find).await? {
                        return reservation.open(&repeats, carrier);
                    }
                }
                saved => {
                    saved?;
                    inner.tallies.saved(owner, true);
                    return Ok(key);
                }
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
        let wanted = Wanted::by(key);
        let find = async || self.0.readers.tokens(&wanted).await;
        let (row, keyring) = self.with_its_key(find().await?, find).await?;
        match row {
            Some(row) if row.is_to_end(tenant) => {
                self.end(key.record()).await;
                Ok(None)
            }
            Some(row) => row.open(tenant, key, &wanted, &keyring),
            None => Ok(None),
        }
    }

    /// The user with this login, disabled or not.
    pub async fn user(&self, tenant: &TenantId, login: &Login) -> Result<Option<User>, StoreError> {
        self.0.readers.user(tenant, login).await
    }

    /// Whether nobody can sign in yet.
    pub async fn has_no_users(&self) -> Result<bool, StoreError> {
        self.0.readers.run(|conn| users::count(conn).map(|count| count == 0)).await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// `Conflict` when the tenant has a user of that login.
    pub async fn add_user(&self, user: User) -> Result<(), StoreError> {
        self.0.writer.run(move |conn| users::insert(conn, &user)).await
    }

    /// The users of a tenant, or of all.
    pub async fn users(&self, tenant: Option<TenantId>) -> Result<Vec<User>, StoreError> {
        self.0.readers.run(move |conn| users::list(conn, tenant.as_ref())).await
    }

    /// Gives a user another password, and with it a new version.
    ///
    /// # Errors
    /// `NotFound` when there is no such user.
    pub async fn set_password(
        &self,
        tenant: TenantId,
        login: Login,
        hash: PasswordHash,
    ) -> Result<(), StoreError> {
        let turn = Turn::user(&tenant, &login);
        let change = move |conn: &mut Conn| users::set_password(conn, &tenant, &login, &hash);
        self.0.writer.run_in_turn(turn, change).await
    }

    /// Shuts a user out, or lets it in again; either makes a new version of it.
    ///
    /// # Errors
    /// `NotFound` when there is no such user.
    pub async fn set_user_disabled(
        &self,
        tenant: TenantId,
        login: Login,
        is_disabled: bool,
    ) -> Result<(), StoreError> {
        let turn = Turn::user(&tenant, &login);
        let change = move |conn: &mut Conn| users::set_disabled(conn, &tenant, &login, is_disabled);
        self.0.writer.run_in_turn(turn, change).await
    }

    /// Stores the password of `user` hashed anew, unless the user was changed meanwhile.
    pub async fn rehash(&self, user: User, hash: PasswordHash) -> Result<(), StoreError> {
        let turn = Turn::user(&user.tenant, &user.login);
        self.0.writer.run_in_turn(turn, move |conn| users::rehash(conn, &user, &hash)).await
    }

    /// Adds a credential that was issued. Of its user and kind at most `Quotas::credentials` live: those that
    /// were used longest ago end for it.
    ///
    /// # Errors
    /// `NotFound` when the credential that it was made from was revoked, `Conflict` when it is there already.
    pub async fn add_credential(&self, credential: IssuedCredential) -> Result<(), StoreError> {
        let most = self.0.quotas.credentials;
        let add = move |conn: &mut Conn| credentials::add(conn, &credential, most);
        self.0.writer.run_in_turn(Turn::Alone, add).await
    }

    /// Adds a session, and ends the former one, which may be over already: both or neither.
    pub async fn replace_session(
        &self,
        session: IssuedCredential,
        former: CredentialId,
    ) -> Result<(), StoreError> {
        let most = self.0.quotas.credentials;
        let replace = move |conn: &mut Conn| {
            // At most a few tokens that were made from it live.
            loop {
                match credentials::revoke(conn, CredentialKind::Session, &former, None) {
                    Ok(false) => {}
                    Ok(true) | Err(StoreError::NotFound(_)) => break,
                    Err(error) => return Err(error),
                }
            }
            credentials::add(conn, &session, most)
        };
        self.0.writer.run_in_turn(Turn::Alone, replace).await
    }

    /// The credential of this id, living or not, with its user.
    pub async fn credential(
        &self,
        id: &CredentialId,
    ) -> Result<Option<FoundCredential>, StoreError> {
        self.0.readers.credential(id).await
    }

    /// Removes a credential that expired, so that it stays expired if the clock is set back.
    pub async fn remove_expired_credential(&self, id: CredentialId) -> Result<(), StoreError> {
        let id = id.as_str().to_owned();
        let turn = Turn::Credential(id.clone());
        let remove = move |conn: &mut Conn| credentials::remove_expired(conn, slice::from_ref(&id));
        self.0.writer.run_in_turn(turn, remove).await
    }

    /// Lets a living credential live until `expires`, in microseconds since 1970 UTC.
    pub async fn renew_credential(&self, id: CredentialId, expires: i64) -> Result<(), StoreError> {
        let turn = Turn::Credential(id.as_str().to_owned());
        self.0.writer.run_in_turn(turn, move |conn| credentials::renew(conn, &id, expires)).await
    }

    /// The living credentials of a kind, the newest first: of a user, of a tenant, or of all.
    pub async fn credentials(
        &self,
        kind: CredentialKind,
        tenant: Option<TenantId>,
        login: Option<Login>,
        limit: i64,
    ) -> Result<Vec<IssuedCredential>, StoreError> {
        self.0
            .readers
            .run(move |conn| credentials::list(conn, kind, tenant.as_ref(), login.as_ref(), limit))
            .await
    }

    /// Ends a credential and what was made from it: that of `owner`, or anybody's.
    ///
    /// # Errors
    /// `NotFound` when there is none of that kind, or it is somebody else's.
    pub async fn revoke_credential(
        &self,
        kind: CredentialKind,
        id: CredentialId,
        owner: Option<(TenantId, Login)>,
    ) -> Result<(), StoreError> {
        let is_whole = Arc::new(AtomicBool::new(false));
        let outcome = Arc::clone(&is_whole);
        let revoke = move |conn: &mut Conn| {
            let owner = owner.as_ref().map(|(tenant, login)| (tenant, login));
            let is_whole = credentials::revoke(conn, kind, &id, owner)?;
            outcome.store(is_whole, Ordering::Relaxed);
            Ok(())
        };
        while !is_whole.load(Ordering::Relaxed) {
            self.0.writer.run_in_turn(Turn::Alone, revoke.clone()).await?;
        }
        Ok(())
    }

    /// Registers an application.
    ///
    /// # Errors
    /// `Conflict` when there is one of that name.
    pub async fn add_application(
        &self,
        application: Application,
        token: SecretDigest,
    ) -> Result<(), StoreError> {
        self.0.writer.run(move |conn| applications::insert(conn, &application, &token)).await
    }

    /// The application with this token, disabled or not.
    pub async fn application(
        &self,
        token: SecretDigest,
    ) -> Result<Option<Application>, StoreError> {
        self.0.readers.application(token).await
    }

    /// The application of this name, disabled or not.
    pub async fn application_named(
        &self,
        name: ApplicationName,
    ) -> Result<Option<Application>, StoreError> {
        self.0.readers.application_named(name).await
    }

    /// Every application.
    pub async fn applications(&self) -> Result<Vec<Application>, StoreError> {
        self.0.readers.run(applications::list).await
    }

    /// Shuts an application out, or lets it in again.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name.
    pub async fn set_application_disabled(
        &self,
        name: ApplicationName,
        is_disabled: bool,
    ) -> Result<(), StoreError> {
        let change = move |conn: &mut Conn| applications::set_disabled(conn, &name, is_disabled);
        self.0.writer.run(change).await
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
        let turn = Turn::MasterKey(kek.clone());
        self.0.writer.run_in_turn(turn, move |conn| keyring::touch(conn, &kek)).await
    }

    /// Commits what is queued, then refuses every further write. Blocks until the writer is done.
    pub fn close(&self) {
        self.0.writer.close();
    }
}
