//! What can go wrong: at the start (`OpenError`) and while serving (`StoreError`).
//!
//! Invariant: no message holds a value of a row, and each start refusal says what to do.

use std::{error::Error, path::PathBuf, sync::Arc};

use model::RecordId;
use tokio_postgres::error::SqlState;

use crate::backend::postgres::Refusal;

use crate::Quota;

use crate::backend::sqlite::place::Replaced;

/// What went wrong below; shared, since one failed commit fails every caller in it.
pub(crate) type Source = Arc<dyn Error + Send + Sync>;

/// A call to the store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Such a row exists.
    #[error("this {0} already exists")]
    Conflict(&'static str),
    /// There is no such row to change.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The idempotency key is that of another save, of the same carrier or not; never leaves the store.
    #[error("the idempotency key was used before")]
    Reserved,
    /// The idempotency key is that of the save of another carrier.
    #[error("the idempotency key was used to save another carrier")]
    OtherCarrier,
    /// The row of an idempotency key does not open: it was changed outside of this server.
    #[error("the row of an idempotency key is damaged")]
    DamagedReservation,
    /// The user has as many rows as it may have; nothing was saved.
    #[error("the user has reached its quota: {0:?}")]
    QuotaReached(Quota),
    /// The writer's queue is full; nothing was saved. Trying again soon helps.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The database cannot be read or written now, or did not say in time that it was.
    #[error("the database is unavailable")]
    Unavailable(#[source] Source),
    /// The store was closed; nothing was saved.
    #[error("the store is closed")]
    Closed,
    /// The row is there but its seal does not open: it was changed outside of this server.
    #[error("record {0} is damaged")]
    Damaged(RecordId),
    /// The master key's sentinel is gone or does not open.
    #[error("the master key's sentinel does not open")]
    Sentinel,
    /// The database knows a master key that this process does not have.
    #[error(
        "this server lacks the master key {0} of the database; put it where the others are (the log \
         says where)"
    )]
    KeyMissing(String),
    /// The key that something was sealed under was retired meanwhile; nothing was saved.
    #[error("the master key {0} is retired")]
    KeyRetired(String),
    /// The active key has wrapped as often as a key may; nothing was saved.
    #[error(
        "the master key {0} has wrapped as often as it may; run `latchkey keys rotate` (the log says why \
         the server could not)"
    )]
    KeyUsedUp(String),
    /// The database refused a query, or the query panicked.
    #[error("a query failed")]
    Query(#[source] Source),
}

impl StoreError {
    /// Whether a write found, before it changed anything, that it has nothing to change: then nothing has to
    /// be rolled back, and others in its transaction go on.
    pub(crate) fn changed_nothing(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::Reserved | Self::KeyUsedUp(_))
    }

    /// Whether a row was refused by itself: others may be written, also on this connection.
    pub(crate) fn refuses_a_row(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::KeyRetired(_))
    }

    /// Whether another file took the place of the database's, or none is there.
    pub fn is_of_another_file(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if cause.is::<Replaced>())
    }

    /// Whether the disk of the database is full, or does not work.
    pub fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if tells_of_a_disk(&told(&**cause)))
    }

    /// Why, if the database cannot be reached at all: any other write would fail as well.
    pub(crate) fn is_away(&self) -> Option<Source> {
        use diesel::result::{DatabaseErrorKind as Kind, Error as Diesel};
        let Self::Unavailable(cause) = self else { return None };
        match cause.downcast_ref() {
            Some(Diesel::DatabaseError(Kind::Unknown, _) | Diesel::QueryBuilderError(_)) => None,
            _ => Some(Arc::clone(cause)),
        }
    }
}

/// An error with its causes, for the log.
pub(crate) fn told(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

impl From<diesel::result::Error> for StoreError {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind as Kind, Error as Diesel};
        match error {
            Diesel::DatabaseError(Kind::UniqueViolation, _) => Self::Conflict("row"),
            // Another server was faster; whoever tries again finds what it wrote.
            Diesel::DatabaseError(Kind::SerializationFailure, _) => Self::Overloaded,
            Diesel::DatabaseError(
                Kind::Unknown
                | Kind::ClosedConnection
                | Kind::UnableToSendCommand
                | Kind::ReadOnlyTransaction,
                _,
            )
            | Diesel::BrokenTransactionManager
            | Diesel::RollbackErrorOnCommit { .. }
            | Diesel::AlreadyInTransaction
            | Diesel::NotInTransaction => Self::Unavailable(Arc::new(error)),
            // No other try makes PostgreSQL take what it refuses for its data.
            Diesel::QueryBuilderError(_)
                if Refusal::of(&error).is_some_and(|it| !it.is_of_data()) =>
            {
                Self::Unavailable(Arc::new(error))
            }
            _ => Self::Query(Arc::new(error)),
        }
    }
}

/// The source of an error that is a panic; its message went to the panic hook.
#[derive(Debug, thiserror::Error)]
#[error("it panicked")]
pub(crate) struct Panicked;

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `database.url` is of no kind that this build can open.
    #[error(
        "database.url must be `sqlite:` and the path of a file, such as `sqlite:data/latchkey.db`, or \
         like `postgres://user:password@host:5432/database`"
    )]
    UnsupportedUrl,
    /// A PostgreSQL URL with something in it that is not understood.
    #[error("database.url cannot be read as the URL of a PostgreSQL database")]
    PostgresUrl(#[source] Box<dyn Error + Send + Sync>),
    /// A PostgreSQL URL that asks for TLS, which this build does not have.
    #[error(
        "database.url asks for TLS, which this build does not have; build it with the feature \
         `postgres-tls`, or add `sslmode=disable` where the network is trusted"
    )]
    NoTls,
    /// The server of the database cannot be reached, or does not let this user in.
    #[error("the database server cannot be used; {remedy}")]
    Server {
        /// What may help.
        remedy: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// PostgreSQL refused a statement.
    #[error("PostgreSQL refuses it; {remedy}")]
    Refused {
        /// What may help.
        remedy: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A connection pooler gives each transaction another connection.
    #[error(
        "database.url leads to a pooler that gives each transaction or statement another connection; let it \
         pool sessions (PgBouncer: pool_mode = session), or name PostgreSQL itself"
    )]
    Pooler,
    /// The database cannot hold every text.
    #[error(
        "the database has the encoding {0} and must have UTF8; make one by CREATE DATABASE latchkey ENCODING \
         'UTF8' LOCALE 'C' TEMPLATE template0"
    )]
    Encoding(String),
    /// The role may not make the tables.
    #[error(
        "this role may not create tables in the schema {0}; grant CREATE on the schema to this role, or make it \
         the owner of the database"
    )]
    MayNotCreate(String),
    /// Others than the owner may read a file with a secret.
    #[error("{} can be read by other users; run `chmod 600` on it", .0.display())]
    SecretExposed(PathBuf),
    /// Another process has the database.
    #[error(
        "another server is using the database {}; stop it, or set data_directory to \
         another place", .0.display()
    )]
    InUse(PathBuf),
    /// A folder or file cannot be made, read or written.
    #[error("cannot {action} {}; check the path, and what this user may do there", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Another user has the file or its folder, and only that user, or root, may do this.
    #[error(
        "cannot {action} {}, which belongs to another user; run this command as that user: \
         `sudo -u '{owner}' latchkey …`", path.display()
    )]
    OtherUser {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The user.
        owner: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A file with a secret in it cannot be read.
    #[error("cannot read {setting} = \"{}\"", path.display())]
    SecretFile {
        /// What names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be opened or read.
    #[error("cannot open it; {remedy}")]
    Database {
        /// What may help.
        remedy: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no file.
    #[error("there is no database at {}; check its path, or start a server there to make one", .0.display())]
    NotThere(PathBuf),
    /// The file is not a database of this server.
    #[error("it is no database of this server; set database.url to another file, or move it away")]
    Foreign,
    /// The file has several names, and each would have a write-ahead log of its own.
    #[error("it has {0} names (hard links), but may have only one; remove the others")]
    Linked(u64),
    /// The file's pages do not fit together.
    #[error(
        "its pages or indexes do not fit together: the file is damaged, restore it from its backup"
    )]
    Unsound,
    /// The schema is behind and the store was told not to migrate.
    #[error(
        "the database lacks the migration {0}; run `latchkey migrate`, or set \
         database.auto_migrate = true"
    )]
    Behind(String),
    /// The schema is of a later version of this software.
    #[error(
        "the database was migrated by a newer version (migration {0} is unknown here); start that \
         version, or restore the backup from before the upgrade"
    )]
    Newer(String),
    /// A migration failed and was rolled back.
    #[error(
        "a migration failed and was rolled back; check that the disk has room, and that nobody \
         changed the schema by hand"
    )]
    Migration(#[source] Box<dyn Error + Send + Sync>),
    /// The database is sealed under a key that is not there.
    #[error(
        "the database is sealed under the master key {id}, but {} is missing; restore that file \
         from its backup, for without it no stored token can be opened", path.display()
    )]
    KeyMissing {
        /// The key's id.
        id: String,
        /// Where its file should be.
        path: PathBuf,
    },
    /// A master key is not there, but no record needs it.
    #[error(
        "the master key {0} is missing, but no record is under it; run `latchkey keys retire {0}`"
    )]
    KeyNotNeeded(String),
    /// The file does not hold the key that the database is sealed under.
    #[error(
        "{0} is not the master key that the database is sealed under; restore the right one from \
         its backup"
    )]
    KeyWrong(String),
    /// The file holds no usable key.
    #[error(
        "{} is no master key: it has {length} bytes and must have 32 random ones; restore it from \
         its backup", path.display()
    )]
    KeyMalformed {
        /// The file.
        path: PathBuf,
        /// How many bytes it has.
        length: u64,
    },
    /// Others than the owner may read the key.
    #[error(
        "every user of this machine can read {}, or could replace it; run `chmod 600` on it, as its owner. If \
         its file system ignores `chmod`, keep the master key in a secret: keys.source = \"secret\", with \
         keys.secret_file, whose rights the platform sets", .0.display()
    )]
    Exposed(PathBuf),
    /// A server runs on it, of another version.
    #[error("a server is running on the database {}, and its schema is not of this version; use the \
             `latchkey` of the version that is running", .0.display())]
    OtherVersion(PathBuf),
    /// The database is sealed under a key that the configured secret lacks.
    #[error(
        "the database is sealed under the master key {0}, which is not in keys.secret; add it behind the \
         others, for without it no stored token can be opened"
    )]
    SecretMissing(String),
    /// There is no secret, or no key in it.
    #[error(
        "keys.source is \"secret\", but keys.secret has no key; set it to what \
         `openssl rand -base64 32` prints"
    )]
    SecretEmpty,
    /// A part of the secret is no key.
    #[error(
        "keys.secret must have keys of 32 random bytes in Base64, as `openssl rand -base64 32` prints \
         them, with commas between"
    )]
    SecretMalformed,
    /// There is no file of a key that should be taken up.
    #[error("there is no {}; `latchkey keys new` makes such a file, and tells its id", .0.display())]
    NoKeyFile(PathBuf),
    /// A key is sealed by a hardware module, or the next one should be, and there is none.
    #[error(
        "keys.source is \"pkcs11\", or a master key of the database is sealed so; set keys.pkcs11 to its \
         library, the token, the key and the PIN"
    )]
    ModuleMissing,
    /// A hardware module is needed, which this build cannot use.
    #[error("this build cannot use hardware modules; build it with the feature `pkcs11`")]
    NoPkcs11,
    /// The hardware module has no such token.
    #[error(
        "no token of the PKCS#11 module is called `{0}`; see that it is there, and check keys.pkcs11.token"
    )]
    ModuleToken(String),
    /// The token lacks the key that sealed the master key.
    #[error(
        "the token `{token}` has no AES key called `{key}`; check keys.pkcs11.token and keys.pkcs11.key, or \
         restore the token from its backup"
    )]
    ModuleKey {
        /// The token's label.
        token: String,
        /// The key's label.
        key: String,
    },
    /// The token does not let in.
    #[error(
        "keys.pkcs11.pin is not the PIN of the token's user; mind that a token locks itself after some wrong \
         ones"
    )]
    ModulePin,
    /// The hardware module does not work.
    #[error("the PKCS#11 module {} cannot be used; {remedy}", path.display())]
    Module {
        /// Its library.
        path: PathBuf,
        /// What may help.
        remedy: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A key is kept where this build knows no way to.
    #[error(
        "the database is sealed under the master key {id}, which is kept in \"{place}\"; this build knows \
         no such place"
    )]
    KeySource {
        /// The key's id.
        id: String,
        /// Where it is kept.
        place: String,
    },
    /// No key is called so.
    #[error(
        "the id of a master key has 1 to 32 digits and lower-case letters; `keys new` prints it"
    )]
    KeyId,
    /// The file of a key has a name that no key has.
    #[error(
        "{} is no name of a master key's file, which is like `kek-0123456789abcdef.key`: 1 to 32 digits and \
         lower-case letters between; rename it, or move it away", .0.display()
    )]
    KeyName(PathBuf),
    /// A new database, and more than one key to choose from.
    #[error(
        "the database has no records yet but {} holds more than one master key; move away all but \
         the one to use", .0.display()
    )]
    KeyAmbiguous(PathBuf),
}

impl OpenError {
    /// SQLite's message decides what may help; diesel keeps nothing else of it.
    pub(crate) fn database(source: Box<dyn Error + Send + Sync>) -> Self {
        let message = source.to_string();
        let says = |part: &str| message.contains(part);
        let remedy = if says("locked") {
            "another program has locked it: let that program end"
        } else if tells_of_a_disk(&message) {
            "make room on its disk, or mend it"
        } else if says("readonly") || says("unable to open") {
            "let this user write the file and its folder"
        } else {
            "if it is damaged, restore it from its backup"
        };
        Self::Database { remedy, source }
    }

    /// Whether SQLite could not write, for the disk is full or a quota is, or does not work.
    pub(crate) fn is_for_want_of_room(&self) -> bool {
        matches!(self, Self::Database { source, .. } if tells_of_a_disk(&source.to_string()))
    }
}

/// Whether this is what SQLite or PostgreSQL says of a disk that is full, or does not work.
fn tells_of_a_disk(message: &str) -> bool {
    ["disk is full", "disk I/O error", "No space left on device"]
        .iter()
        .any(|part| message.contains(part))
}

impl OpenError {
    /// Of a server that cannot be reached.
    pub(crate) fn server(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let remedy = "see that it runs, and that database.url is right";
        Self::Server { remedy, source: source.into() }
    }

    /// Of a server that did not let in; why decides what may help.
    pub(crate) fn refused(source: tokio_postgres::Error) -> Self {
        match source.code().and_then(remedy) {
            Some(remedy) => Self::Server { remedy, source: source.into() },
            None => Self::server(source),
        }
    }

    /// Of a migration that failed and was rolled back; `refused` is why, on PostgreSQL.
    pub(crate) fn migration(
        source: Box<dyn Error + Send + Sync>,
        refused: Option<&SqlState>,
    ) -> Self {
        match refused {
            Some(state) => Self::Refused { remedy: remedy(state).unwrap_or(SEE_WHY), source },
            None => Self::Migration(source),
        }
    }
}

/// What helps against the rest.
const SEE_WHY: &str = "see why in what it says, and in its log";

impl OpenError {
    /// Whether it would fail again: somebody must do something about it.
    pub(crate) fn lasts(&self) -> bool {
        match self {
            Self::MayNotCreate(_) => true,
            Self::Refused { remedy, .. } => *remedy != SEE_WHY,
            _ => false,
        }
    }
}

/// What may help, by the SQLSTATE.
fn remedy(state: &SqlState) -> Option<&'static str> {
    Some(match *state {
        SqlState::TOO_MANY_CONNECTIONS => {
            "it has no connection left for this server, which takes as many as database.connections says: \
             raise max_connections of PostgreSQL, or close what others have open"
        }
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "check the user and the password of database.url, and pg_hba.conf of PostgreSQL"
        }
        SqlState::INVALID_CATALOG_NAME => "make the database, or name another in database.url",
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "grant this role what it lacks on the schema and its tables, or make it their owner"
        }
        SqlState::DISK_FULL => "make room on the disk of PostgreSQL",
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            "this PostgreSQL only reads: name the primary, or several hosts and \
             target_session_attrs=read-write"
        }
        _ => return None,
    })
}

impl From<diesel::ConnectionError> for OpenError {
    fn from(error: diesel::ConnectionError) -> Self {
        Self::database(error.into())
    }
}

impl From<diesel::result::Error> for OpenError {
    fn from(error: diesel::result::Error) -> Self {
        match Refusal::of(&error).map(|refusal| remedy(refusal.state()).unwrap_or(SEE_WHY)) {
            Some(remedy) => Self::Refused { remedy, source: error.into() },
            None => Self::database(error.into()),
        }
    }
}

/// A change of the master keys was refused, and nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The next key cannot be made or read.
    #[error(transparent)]
    Key(#[from] OpenError),
    /// The database cannot be used, or lacks a key.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database knows the key that should be the next one.
    #[error(
        "the database knows the master key {0} already; put a new key in front of it in keys.secret, where \
         keys are in a secret, or name another file with --key"
    )]
    Known(String),
    /// The key was retired, and must not come back.
    #[error("the master key {0} was retired; put a new key in its place")]
    Retired(String),
    /// There is nothing to retire any more.
    #[error("the master key {0} was retired already")]
    RetiredAlready(String),
    /// A rotation to another key is not over.
    #[error(
        "records are still to be moved to the master key {0}; let `latchkey keys rotate` finish that \
         first"
    )]
    Unfinished(String),
    /// A running server lacks the key that was announced.
    #[error(
        "the master key {id} is not in use yet, because these running servers lack it: {}; the log of each says why \
         (is the key's file there, and can the server's user read it?); give them the key, or stop them, and run \
         `latchkey keys rotate` again; `latchkey keys retire {id}` gives the key up",
        servers.join(", ")
    )]
    Unconfirmed {
        /// The key's id.
        id: String,
        /// The servers' names.
        servers: Vec<String>,
    },
    /// The database knows no such key.
    #[error("the database knows no master key {0}; `latchkey keys status` lists them")]
    Unknown(String),
    /// New records are sealed under the key.
    #[error("the master key {0} is in use; `latchkey keys rotate` puts another in its place")]
    Active(String),
    /// Records need the key.
    #[error(
        "{records} records are still under the master key {id}; `latchkey keys rotate` moves them, and \
         names those that it cannot open"
    )]
    InUse {
        /// The key's id.
        id: String,
        /// How many.
        records: i64,
    },
}

/// A copy was not made, or a database not proved.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A database, its keys or a file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A row cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing has a seal that could be proved.
    #[error("nothing was ever sealed in it; start a server on it first, or name another database")]
    Nothing,
    /// On a server.
    #[error(
        "a database on PostgreSQL is backed up and restored by PostgreSQL's own tools, such as pg_dump; run \
         `latchkey verify` on what they restored"
    )]
    OnServer,
    /// A copy is never written over anything.
    #[error("{} is there already; name another file, or move that one away", .0.display())]
    Exists(PathBuf),
    /// A database is never restored over another.
    #[error(
        "there is a database: {}; if it is not needed, stop its server and move it away with its files \
         ending in -wal and -shm, or else set database.url to another place", .0.display()
    )]
    Occupied(PathBuf),
    /// Another process makes the same copy.
    #[error("another process is writing {}; let it end", .0.display())]
    Busy(PathBuf),
    /// There is no seal at the end.
    #[error("{} is no whole backup: it was cut off, or is something else; take another", .0.display())]
    NoBackup(PathBuf),
    /// The seal does not fit what is before it.
    #[error(
        "{} is damaged, or was made by another installation: its seal does not open; take another",
        .0.display()
    )]
    BrokenSeal(PathBuf),
    /// The target is neither new nor an earlier copy.
    #[error(
        "{0} is not a copy of the source: it has keys, users, applications or records that the source lacks, \
         or newer ones, so it is another installation's, or has been used since, or the source has removed \
         records since; name a new database"
    )]
    NotACopy(String),
    /// One side of a copy cannot be used.
    #[error("the {0} cannot be used")]
    Side(&'static str, #[source] Box<Self>),
    /// What should be a file is written as a folder.
    #[error("{} names a folder; add the name of a file", .0.display())]
    NoName(PathBuf),
    /// Both sides are not the same at the end.
    #[error(
        "both sides differ in {0} after all; stop every server that uses one of them, and run the same \
         command again"
    )]
    Differs(&'static str),
}

impl From<diesel::result::Error> for CopyError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Open(error.into())
    }
}
