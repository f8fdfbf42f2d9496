//! Why a caller is refused.
//!
//! Invariant: no variant holds a part of the credential, and an unknown user, a wrong password and a
//! disabled user are one variant.

/// The request is not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no `Authorization` header.
    #[error("this call needs a login: send user name and password by Basic")]
    Missing,
    /// The header cannot be read; says which rule it breaks.
    #[error("the Authorization header is malformed: {0}")]
    Malformed(&'static str),
    /// The scheme is not one that this server has on.
    #[error("the Authorization scheme is not accepted here: send user name and password by Basic")]
    UnsupportedScheme,
    /// The credential is well-formed but does not let anybody in.
    #[error("the user name or the password is wrong")]
    Refused,
    /// The ticket does not let anybody in.
    #[error("the ticket is not valid")]
    InvalidTicket,
}
