//! `SO-AppToken`: the secret that identifies a partner application.
//!
//! Invariant: a token has 128 random bits. The database stores only its digest.

use aws_lc_rs::digest;
use model::{SecretDigest, SecretText};

use crate::{
    AuthError,
    random::{hexadecimal, random},
};

/// An application's token: 32 hexadecimal digits.
#[derive(Clone, Debug)]
pub struct ApplicationToken(SecretText);

impl ApplicationToken {
    /// Generates a token.
    pub fn generate() -> Self {
        Self(hexadecimal(&*random::<16>()).into())
    }

    /// Reads the value of the header.
    ///
    /// # Errors
    /// `InvalidApplication`: the text is not 32 hexadecimal digits.
    pub fn parse(raw: &[u8]) -> Result<Self, AuthError> {
        let text = str::from_utf8(raw).map_err(|_no_text| AuthError::InvalidApplication)?.trim();
        if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(AuthError::InvalidApplication)
        }
    }

    /// The digest by which the database finds the application.
    pub fn digest(&self) -> SecretDigest {
        let text = format!("latchkey application 1 {}", self.0.expose());
        SecretDigest::new(digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec())
    }

    /// The text, to show once.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONTRACT 30.
    #[test]
    fn a_token_is_32_hexadecimal_digits() {
        let token = ApplicationToken::generate();
        let upper = ApplicationToken::parse(token.expose().to_ascii_uppercase().as_bytes());
        assert_eq!(upper.expect("token").digest().as_bytes(), token.digest().as_bytes());
        let other = ApplicationToken::generate();
        assert_ne!(other.digest().as_bytes(), token.digest().as_bytes());
        for bad in ["", "x", &token.expose()[1..], &"g".repeat(32), "å"] {
            let refused = ApplicationToken::parse(bad.as_bytes());
            assert!(matches!(refused, Err(AuthError::InvalidApplication)), "{bad}");
        }
    }
}
