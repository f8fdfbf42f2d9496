//! Mapping of database errors to the store's errors.
//!
//! Invariant: an error is `Unavailable` or `Overloaded` if and only if a retry may succeed.

use std::{error::Error, sync::Arc};

use tokio_postgres::error::SqlState;

use super::{postgres::Refusal, sqlite::database_file::Replaced};
use crate::{
    CopyError, OpenError, StoreError,
    error::{Source, error_chain},
};

impl From<diesel::result::Error> for StoreError {
    fn from(error: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind as Kind, Error as Diesel};
        match error {
            Diesel::DatabaseError(Kind::UniqueViolation, _) => Self::Conflict("row"),
            // Another server wrote first; a retry finds its rows.
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
            // A retry cannot make PostgreSQL accept rejected data.
            Diesel::QueryBuilderError(_)
                if Refusal::of(&error).is_some_and(|it| !it.is_of_data()) =>
            {
                Self::Unavailable(Arc::new(error))
            }
            _ => Self::Query(Arc::new(error)),
        }
    }
}

impl StoreError {
    /// Returns whether the database's file was replaced or removed.
    pub fn is_of_another_file(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if cause.is::<Replaced>())
    }

    /// Returns whether the database's disk is full or broken.
    pub fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if tells_of_a_disk(&error_chain(&**cause)))
    }

    /// Returns the cause if the database cannot be reached at all, so that every other write would fail as well.
    pub(crate) fn is_away(&self) -> Option<Source> {
        use diesel::result::{DatabaseErrorKind as Kind, Error as Diesel};
        let Self::Unavailable(cause) = self else { return None };
        match cause.downcast_ref() {
            Some(Diesel::DatabaseError(Kind::Unknown, _) | Diesel::QueryBuilderError(_)) => None,
            _ => Some(Arc::clone(cause)),
        }
    }
}

impl OpenError {
    /// Creates the error of a failed SQLite call. The remedy is chosen by SQLite's message, because diesel keeps only
    /// that.
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

    /// Returns whether SQLite could not write because a disk or quota is full, or the disk is broken.
    pub(crate) fn is_for_want_of_room(&self) -> bool {
        matches!(self, Self::Database { source, .. } if tells_of_a_disk(&source.to_string()))
    }
}

/// Returns whether SQLite's or PostgreSQL's message says that a disk is full or broken.
fn tells_of_a_disk(message: &str) -> bool {
    ["disk is full", "disk I/O error", "No space left on device"]
        .iter()
        .any(|part| message.contains(part))
}

impl OpenError {
    /// Creates the error of a server that cannot be reached.
    pub(crate) fn server(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let remedy = "see that it runs, and that its URL is right";
        Self::Server { remedy, source: source.into() }
    }

    /// Creates the error of a server that rejected the connection. The cause decides the remedy.
    pub(crate) fn refused(source: tokio_postgres::Error) -> Self {
        match source.code().and_then(remedy) {
            Some(remedy) => Self::Server { remedy, source: source.into() },
            None => Self::server(source),
        }
    }

    /// Creates the error of a migration that failed and was rolled back. `refused` is PostgreSQL's cause.
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

/// The remedy for all other causes.
const SEE_WHY: &str = "see why in what it says, and in its log";

impl OpenError {
    /// Returns whether a retry would fail too, so that an operator must act.
    pub(crate) fn lasts(&self) -> bool {
        match self {
            Self::MayNotCreate(_) => true,
            Self::Refused { remedy, .. } => *remedy != SEE_WHY,
            _ => false,
        }
    }
}

/// Returns the remedy for an SQLSTATE.
fn remedy(state: &SqlState) -> Option<&'static str> {
    Some(match *state {
        SqlState::TOO_MANY_CONNECTIONS => {
            "it has no connection left for this server, which takes as many as it is configured to: \
             raise max_connections of PostgreSQL, or close what others have open"
        }
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "check the user and the password of its URL, and pg_hba.conf of PostgreSQL"
        }
        SqlState::INVALID_CATALOG_NAME => "make the database, or name another in its URL",
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

impl From<diesel::result::Error> for CopyError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Open(error.into())
    }
}
