//! Secret text: tokens and claims.
//!
//! Invariant: a secret is never printed, serialised or compared with `==`. Only `expose` gives access to it, and its
//! memory is wiped on drop.

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
    /// Returns the text itself. Review every use of this.
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
