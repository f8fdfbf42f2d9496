//! The reasons why a caller gets no fresh tokens.
//!
//! Invariant: an error has no text of the provider, and nothing secret.

use model::{CauseKind, GrantCause};
use store::StoreError;

use super::intervals::{METADATA_PAUSE, seconds};
use crate::outgoing::SendError;

/// The reason why there are no fresh tokens.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum GrantError {
    /// The user has to connect again.
    #[error("the grant is dead: {0}")]
    Dead(GrantCause),
    /// A later refresh may succeed.
    #[error("the grant cannot be refreshed now: {cause}")]
    Failing {
        cause: GrantCause,
        /// In seconds.
        retry_after: u64,
    },
    /// The operator has to correct the configuration of the provider.
    #[error("the provider does not accept this server's client: {0}")]
    Blocked(GrantCause),
    /// Refreshes are paused, as in a copy of a database.
    #[error("refreshes are paused")]
    Paused,
    /// There are too many refreshes, or one takes too long.
    #[error("too many refreshes are under way, or this one takes too long")]
    Busy,
    /// The owner asked for too many refreshes.
    #[error("the owner asked for too many refreshes")]
    TooMany {
        /// The time until another one is allowed, in seconds.
        retry_after: u64,
    },
    /// New tokens arrived, and the database cannot store them yet.
    #[error("new tokens wait for the database")]
    Unsaved,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SendError> for GrantError {
    /// The provider's metadata cannot be fetched. The server retries after a minute.
    fn from(error: SendError) -> Self {
        if error.cause == CauseKind::InvalidClient {
            return Self::Blocked(error.cause.into());
        }
        Self::Failing { cause: error.cause.into(), retry_after: seconds(METADATA_PAUSE) }
    }
}
