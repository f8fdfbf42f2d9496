//! Why a caller is rejected.
//!
//! Invariant: no variant holds a part of the credential. An unknown user, a wrong password and a disabled user are the
//! same variant.

/// The fault of a Basic header (RFC 7617 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCredentials {
    /// The header is not text.
    #[error("it has bytes that are not text")]
    NotText,
    /// The credentials are not base64.
    #[error("the credentials are not base64")]
    NotBase64,
    /// The decoded credentials have a control character.
    #[error("the credentials hold a control character")]
    ControlCharacter,
    /// The decoded credentials have no colon.
    #[error("the credentials have no colon")]
    NoColon,
}

/// The request is not authenticated, or the caller lacks a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The request has no credential.
    #[error("this call needs a login")]
    Missing,
    /// The request has more than one credential.
    #[error("there is more than one credential")]
    TwoCredentials,
    /// The header breaks a rule of its scheme.
    #[error("the Authorization header is malformed: {0}")]
    Malformed(MalformedCredentials),
    /// The scheme is unknown or off.
    #[error("the Authorization scheme is not accepted here")]
    UnsupportedScheme,
    /// The login or the password is wrong, or the user is disabled.
    #[error("the user name or the password is wrong")]
    Refused,
    /// The ticket is malformed, unknown, expired or revoked.
    #[error("the ticket is not valid")]
    InvalidTicket,
    /// The bearer token is malformed, unknown, expired or revoked.
    #[error("the bearer token is not valid")]
    InvalidToken,
    /// The bearer token is from another issuer, and no issuer is trusted.
    #[error("bearer tokens of other issuers are not accepted here")]
    NoIssuer,
    /// The session cookie is malformed, unknown, expired or revoked.
    #[error("the session is over")]
    InvalidSession,
    /// `X-XSRF-TOKEN` is missing, or is that of another session.
    #[error("X-XSRF-TOKEN is missing or wrong")]
    Xsrf,
    /// The call needs an application token.
    #[error("SO-AppToken is required")]
    ApplicationRequired,
    /// The application is unknown or disabled.
    #[error("SO-AppToken is not that of an application")]
    InvalidApplication,
    /// The application may not act for this tenant.
    #[error("the application is not allowed for this tenant")]
    ApplicationNotAllowed,
    /// The credential is valid, but for another tenant.
    #[error("the credential is of another tenant")]
    OtherTenant,
}
