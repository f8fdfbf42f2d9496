//! Why a caller is refused, or could not be authenticated.
//!
//! Invariant: no variant says anything about HTTP; `http::problem` decides what each is on the wire.

use auth::AuthError;
use store::StoreError;

/// Why there is no caller, or why the caller does not get what it asks for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallerError {
    /// What `auth` refuses: the credential, its tenant or its application.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The user or the network had too many wrong passwords; the next one may be tried after `seconds`.
    #[error("too many wrong passwords; the next may be tried in {seconds} seconds")]
    Throttled { seconds: u64 },
    /// The queue of passwords that wait to be hashed is full.
    #[error("too many passwords wait to be hashed")]
    TooManyPasswordsWait,
    /// The thread that hashed the password panicked.
    #[error(transparent)]
    HashingPanicked(tokio::task::JoinError),
    /// The key of a JWT is unknown, and the issuer's keys could not be fetched.
    #[error("the keys of the issuer are unavailable")]
    IssuerKeysUnavailable,
    /// The header and the body name two applications.
    #[error("the header and the body name two applications")]
    TwoApplications,
    /// The caller is known only by a JWT, or its user was removed or disabled meanwhile.
    #[error("the caller is no user of this server")]
    NotAUser,
    /// The caller asks for an access token, but the scheme Bearer is off.
    #[error("the scheme Bearer is off")]
    BearerIsOff,
    /// The database refuses, or cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}
