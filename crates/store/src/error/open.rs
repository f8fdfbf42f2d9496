//! Errors of opening a store.
//!
//! Invariant: each message says what to do.

use std::{error::Error, path::PathBuf};

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `database.url` names no kind of database that this build can open.
    #[error(
        "the database's URL is neither `sqlite:` and the path of a file nor like \
         `postgres://user:password@host:5432/database`"
    )]
    UnsupportedUrl,
    /// The PostgreSQL URL cannot be parsed.
    #[error("it cannot be read as the URL of a PostgreSQL database")]
    PostgresUrl(#[source] Box<dyn Error + Send + Sync>),
    /// The PostgreSQL URL asks for TLS, which this build lacks.
    #[error("the database's URL asks for TLS, which this build does not have")]
    NoTls,
    /// The database server cannot be reached, or rejects this user.
    #[error("the database server cannot be used; {remedy}")]
    Server {
        /// A possible remedy.
        remedy: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// PostgreSQL rejected a statement.
    #[error("PostgreSQL refuses it; {remedy}")]
    Refused {
        /// A possible remedy.
        remedy: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The connection pooler gives each transaction another connection.
    #[error(
        "the database's URL leads to a pooler that gives each transaction or statement another connection; \
         let it pool sessions (PgBouncer: pool_mode = session), or name PostgreSQL itself"
    )]
    Pooler,
    /// The database's encoding cannot hold every text.
    #[error(
        "the database has the encoding {0} and must have UTF8; make one by CREATE DATABASE latchkey ENCODING \
         'UTF8' LOCALE 'C' TEMPLATE template0"
    )]
    Encoding(String),
    /// The role may not create the tables.
    #[error(
        "this role may not create tables in the schema {0}; grant CREATE on the schema to this role, or make it \
         the owner of the database"
    )]
    MayNotCreate(String),
    /// Other users may read a file with a secret.
    #[error("{} can be read by other users; run `chmod 600` on it", .0.display())]
    SecretExposed(PathBuf),
    /// Another process has the database.
    #[error("another server is using the database {}", .0.display()
    )]
    InUse(PathBuf),
    /// A folder or file cannot be made, read or written.
    #[error("cannot {action} {}; check the path, and what this user may do there", path.display())]
    File {
        /// The attempted action.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file or its folder belongs to another user, and only that user, or root, may do this.
    #[error("cannot {action} {}, which belongs to another user, {owner}", path.display()
    )]
    OtherUser {
        /// The attempted action.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The owner.
        owner: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file with a secret cannot be read.
    #[error("cannot read {setting} = \"{}\"", path.display())]
    SecretFile {
        /// The setting that names the file.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be opened or read.
    #[error("cannot open it; {remedy}")]
    Database {
        /// A possible remedy.
        remedy: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file does not exist.
    #[error("there is no database at {}; check its path, or start a server there to make one", .0.display())]
    NotThere(PathBuf),
    /// The file is not a database of this server.
    #[error("it is no database of this server")]
    Foreign,
    /// The file has several hard links, and each name would have a write-ahead log of its own.
    #[error("it has {0} names (hard links), but may have only one; remove the others")]
    Linked(u64),
    /// The file's pages are inconsistent.
    #[error(
        "its pages or indexes do not fit together: the file is damaged, restore it from its backup"
    )]
    Unsound,
    /// The schema is outdated, and the options forbid migrating.
    #[error("the database lacks the migration {0}")]
    Behind(String),
    /// The schema is of a later version of this software.
    #[error(
        "the database was migrated by a newer version (migration {0} is unknown here); start that \
         version, or restore the backup from before the upgrade"
    )]
    Newer(String),
    /// A migration failed and was rolled back.
    #[error(
        "a migration failed and was rolled back; check that the disk has room, and that the \
         schema was not changed by hand"
    )]
    Migration(#[source] Box<dyn Error + Send + Sync>),
    /// The file of the master key that the database is sealed under is missing.
    #[error(
        "the database is sealed under the master key {id}, but {} is missing; restore that file \
         from its backup, because without it no stored token can be opened", path.display()
    )]
    KeyMissing {
        /// The key's id.
        id: String,
        /// The expected path of its file.
        path: PathBuf,
    },
    /// A master key is missing, but no record needs it.
    #[error("the master key {0} is missing, but no record is under it, so that it can be retired")]
    KeyNotNeeded(String),
    /// The file holds another key than the one that the database is sealed under.
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
        /// Its length in bytes.
        length: u64,
    },
    /// Other users may read the key.
    #[error("every user of this machine can read {}, or could replace it; run `chmod 600` on it, as its owner. If \
         its file system ignores `chmod`, keep the master key in a secret, whose rights the platform sets", .0.display()
    )]
    Exposed(PathBuf),
    /// A server of another version runs on the database.
    #[error("a server is running on the database {}, and its schema is not of this version", .0.display())]
    OtherVersion(PathBuf),
    /// The configured secret lacks the key that the database is sealed under.
    #[error(
        "the database is sealed under the master key {0}, which is not in the secret; add it behind the \
         others, because without it no stored token can be opened"
    )]
    SecretMissing(String),
    /// There is no secret, or no key in it.
    #[error("the secret for master keys has no key")]
    SecretEmpty,
    /// A part of the secret is no key.
    #[error(
        "the secret for master keys must have keys of 32 random bytes in Base64, with commas between"
    )]
    SecretMalformed,
    /// The file of the requested key is missing.
    #[error("there is no {}", .0.display())]
    NoKeyFile(PathBuf),
    /// A key is sealed by a hardware module, or the next one should be, and no module is configured.
    #[error("a master key is, or should be, sealed by a hardware module, and none is configured")]
    ModuleMissing,
    /// A hardware module is needed, which this build cannot use.
    #[error("this build cannot use hardware modules; build it with the feature `pkcs11`")]
    NoPkcs11,
    /// The hardware module has no such token.
    #[error("no token of the PKCS#11 module is called `{0}`")]
    ModuleToken(String),
    /// The token lacks the key that sealed the master key.
    #[error("the token `{token}` has no AES key called `{key}`")]
    ModuleKey {
        /// The token's label.
        token: String,
        /// The key's label.
        key: String,
    },
    /// The token rejects the PIN.
    #[error(
        "it is not the PIN of the token's user; mind that a token locks itself after some wrong ones"
    )]
    ModulePin,
    /// The library of the hardware module cannot be loaded.
    #[error("the PKCS#11 module {} cannot be loaded", path.display())]
    ModuleLibrary {
        /// The path of the library.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The hardware module does not work.
    #[error("the PKCS#11 module {} cannot be used; {remedy}", path.display())]
    Module {
        /// Its library.
        path: PathBuf,
        /// A possible remedy.
        remedy: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A key is kept in a source that this build does not know.
    #[error(
        "the database is sealed under the master key {id}, which is kept in \"{place}\"; this build knows \
         no such place"
    )]
    KeySource {
        /// The key's id.
        id: String,
        /// The source.
        place: String,
    },
    /// The id is not a valid key id.
    #[error("the id of a master key has 1 to 32 digits and lower-case letters")]
    KeyId,
    /// The file of a key has an invalid name.
    #[error(
        "{} is no name of a master key's file, which is like `kek-0123456789abcdef.key`: 1 to 32 digits and \
         lower-case letters between; rename it, or move it away", .0.display()
    )]
    KeyName(PathBuf),
    /// The database is new, and there is more than one key to choose from.
    #[error(
        "the database has no records yet but {} holds more than one master key; move away all but \
         the one to use", .0.display()
    )]
    KeyAmbiguous(PathBuf),
}
