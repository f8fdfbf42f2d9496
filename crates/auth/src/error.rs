//! Why a caller is refused.
//!
//! Invariant: no variant holds a part of the credential, and an unknown user, a wrong password and a
//! disabled user are one variant.

/// What is wrong with an `Authorization` header of the scheme Basic (RFC 7617 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCredentials {
    /// The header is not text.
    #[error("it has bytes that are no text")]
    NotText,
    /// What follows the scheme is not base64.
    #[error("the credentials are not base64")]
    NotBase64,
    /// What was encoded is not UTF-8.
    #[error("the credentials are not UTF-8")]
    NotUtf8,
    /// What was encoded has a control character.
    #[error("the credentials hold a control character")]
    ControlCharacter,
    /// User name and password are not separated.
    #[error("the credentials have no colon")]
    NoColon,
}

/// The request is not authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no `Authorization` header.
    #[error("this call needs a login: send user name and password by Basic")]
    Missing,
    /// The header cannot be read; says which rule it breaks.
    #[error("the Authorization header is malformed: {0}")]
    Malformed(MalformedCredentials),
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
