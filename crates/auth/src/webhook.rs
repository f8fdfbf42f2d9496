//! Signatures of webhooks (Standard Webhooks 1.0, "Symmetric signatures"). A receiver checks by them who sent an event
//! and when.
//!
//! Invariant: the secret can sign and is never shown.

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";

/// A secret that a receiver shares with the sender.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

/// The text is not a secret of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `whsec_` and the base64 of 24 to 64 random bytes")]
pub struct InvalidWebhookSecret;

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret")
    }
}

impl WebhookSecret {
    /// Reads a secret: `whsec_` and the base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// The text has another form or length.
    pub fn parse(text: &str) -> Result<Self, InvalidWebhookSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidWebhookSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_not_base64| InvalidWebhookSecret)?;
        let bytes = Zeroizing::new(bytes);
        if !(24..=64).contains(&bytes.len()) {
            return Err(InvalidWebhookSecret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// Signs a body with the headers `webhook-id` and `webhook-timestamp`, in seconds since 1970 UTC. Returns the value
    /// of `webhook-signature`.
    pub fn sign(&self, id: &str, time: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{time}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's reference libraries.
    #[test]
    fn a_signature_is_that_of_the_standards_libraries() {
        let secret =
            WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("secret");
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{secret:?}"), "WebhookSecret");
    }

    #[test]
    fn only_a_long_secret_in_base64_is_one() {
        let encoded = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
        assert!(WebhookSecret::parse(&encoded(24)).is_ok());
        assert!(WebhookSecret::parse(&encoded(64)).is_ok());
        for bad in
            ["", "whsec_", "secret", "whsec_?", &encoded(23), &encoded(65), &encoded(32)[6..]]
        {
            assert_eq!(WebhookSecret::parse(bad).map(drop), Err(InvalidWebhookSecret), "{bad}");
        }
    }
}
