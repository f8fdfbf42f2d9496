//! The validators: credential text and known facts in, a verified caller or an `AuthError` out.
//!
//! Invariant: nothing here does I/O or reads a clock. The server fetches the row, passes it in with
//! the time, and never grants anything that this crate refused.

mod basic;
mod error;
mod password;
mod verified_logins;

pub use basic::BasicCredentials;
pub use error::{AuthError, MalformedCredentials};
pub use password::{Password, hash, verify};
pub use verified_logins::VerifiedLogins;

/// The value of `WWW-Authenticate`: the schemes that are on, with realm and charset (RFC 7617 §2.1).
pub const CHALLENGE: &str = r#"Basic realm="Latchkey", charset="UTF-8""#;
