//! Errors of authentication.
//!
//! Invariant: no variant depends on HTTP; `http::problem` decides its status and text on the wire.

use auth::AuthError;
use store::StoreError;

use crate::metrics::sign_ins::SignIn;

/// The reason why a caller is not authenticated, or is refused a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallerError {
    /// `auth` rejects the credential, its tenant or its application.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The user or the network has had too many wrong passwords. The next attempt is possible in `seconds` seconds.
    #[error("too many wrong passwords; the next may be tried in {seconds} seconds")]
    Throttled { seconds: u64 },
    /// The queue of passwords to hash is full.
    #[error("too many passwords wait to be hashed")]
    TooManyPasswordsWait,
    /// The thread that hashed the password panicked.
    #[error(transparent)]
    HashingPanicked(tokio::task::JoinError),
    /// The key of a JWT is unknown, and the issuer's keys could not be fetched.
    #[error("the keys of the issuer are unavailable")]
    IssuerKeysUnavailable,
    /// The header and the body name different applications.
    #[error("the header and the body name two applications")]
    TwoApplications,
    /// The caller is known only by a JWT, or its user has since been removed or disabled.
    #[error("the caller is no user of this server")]
    NotAUser,
    /// The caller requests an access token, but the scheme Bearer is off.
    #[error("the scheme Bearer is off")]
    BearerIsOff,
    /// The database rejects the statement, or is unavailable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CallerError {
    /// Returns the outcome of the authentication that failed so.
    pub(crate) fn sign_in(&self) -> SignIn {
        match self {
            Self::Auth(_) | Self::TwoApplications | Self::NotAUser | Self::BearerIsOff => {
                SignIn::Refused
            }
            Self::Throttled { .. } => SignIn::Throttled,
            Self::TooManyPasswordsWait
            | Self::HashingPanicked(_)
            | Self::IssuerKeysUnavailable
            | Self::Store(_) => SignIn::Unavailable,
        }
    }
}
