//! Text that must not be seen: tokens and claims.
//!
//! Invariant: a secret is never printed, serialised or compared with `==`; `expose` is the one door,
//! and the memory is wiped when the value goes.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

/// Any UTF-8 text that is kept secret.
///
/// ```
/// let token = model::SecretText::from("fugit");
/// assert_eq!(format!("{token:?}"), "SecretText(redacted)");
/// assert_eq!(token.expose(), "fugit");
/// ```
///
/// ```compile_fail
/// let token = model::SecretText::from("fugit");
/// let _ = token == token; // secrets are not compared with `==`
/// ```
#[derive(Clone)]
pub struct SecretText(SecretString);

impl SecretText {
    /// The text itself. Every use of this is a place to review.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}
