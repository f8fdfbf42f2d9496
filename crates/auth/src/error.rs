//! Why a caller is refused.
//!
//! Invariant: no variant holds a part of the credential, and an unknown user, a wrong password and a
//! disabled user are one variant.

/// What is wrong with an `Authorization` header of the scheme Basic (RFC 7617 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCredentials {
    /// The header is not text.
    #[error("it has bytes that are not text")]
    NotText,
    /// What follows the scheme is not base64.
    #[error("the credentials are not base64")]
    NotBase64,
    /// What was encoded has a control character.
    #[error("the credentials hold a control character")]
    ControlCharacter,
    /// User name and password are not separated.
    #[error("the credentials have no colon")]
    NoColon,
}

/// The request is not authenticated, or its caller may not do this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no credential.
    #[error("this call needs a login")]
    Missing,
    /// There is more than one credential.
    #[error("there is more than one credential")]
    TwoCredentials,
    /// The header cannot be read; says which rule it breaks.
    #[error("the Authorization header is malformed: {0}")]
    Malformed(MalformedCredentials),
    /// The scheme is not one that this server has on.
    #[error("the Authorization scheme is not accepted here")]
    UnsupportedScheme,
    /// The credential is well-formed but does not let anybody in.
    #[error("the user name or the password is wrong")]
    Refused,
    /// The ticket does not let anybody in.
    #[error("the ticket is not valid")]
    InvalidTicket,
    /// The bearer token does not let anybody in.
    #[error("the bearer token is not valid")]
    InvalidToken,
    /// The bearer token is none of this server, and no issuer of others is trusted.
    #[error("bearer tokens of other issuers are not accepted here")]
    NoIssuer,
    /// The session's cookie does not let anybody in.
    #[error("the session is over")]
    InvalidSession,
    /// The session's cookie came without `X-XSRF-TOKEN`, or with that of another session.
    #[error("X-XSRF-TOKEN is missing or wrong")]
    Xsrf,
    /// The caller must say which application it is.
    #[error("SO-AppToken is required")]
    ApplicationRequired,
    /// There is no such application, or it is disabled.
    #[error("SO-AppToken is not that of an application")]
    InvalidApplication,
    /// The application may not act for this tenant.
    #[error("the application is not allowed for this tenant")]
    ApplicationNotAllowed,
    /// The credential is good, but for another tenant.
    #[error("the credential is of another tenant")]
    OtherTenant,
}
