//! Client assertions: JWTs that a client signs in place of sending a secret (RFC 7523 §2.2, OpenID Connect Core §9).
//!
//! Invariant: a private key leaves this module only as a signature. An assertion is for one provider and one request:
//! it has an audience and a unique identifier, and lives for a minute.

use std::fmt;

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
        RsaEncoding,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::SecretText;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

/// The type of an assertion that is a JWT (RFC 7523 §2.2).
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The lifetime of an assertion in seconds. Providers reject long ones, for example Auth0 above five minutes.
const LIFETIME: i64 = 60;

/// The algorithm of a signature (RFC 7518 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum AssertionAlgorithm {
    /// ECDSA with the curve P-256 and SHA-256.
    ES256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
}

impl AssertionAlgorithm {
    fn name(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
            Self::PS256 => "PS256",
        }
    }
}

/// Why a private key cannot sign assertions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidKey {
    /// The kind of key is not supported.
    #[error("the key is neither of the curve P-256 nor an RSA key of 2048 to 8192 bits")]
    Kind,
    /// The key does not fit the algorithm.
    #[error("the algorithm {} is not for this key, which signs {}", .asked.name(), .able)]
    Algorithm {
        /// The requested algorithm.
        asked: AssertionAlgorithm,
        /// The algorithms that fit the key.
        able: &'static str,
    },
    /// A test signature failed, so the numbers of the key are inconsistent.
    #[error("the key cannot sign")]
    Useless,
}

/// A private key and the header by which the provider finds the public key.
pub struct AssertionKey {
    signer: Signer,
    key_id: Option<String>,
    certificate_digest: Option<String>,
}

enum Signer {
    Ecdsa(EcdsaKeyPair),
    Rsa(rsa::KeyPair, &'static dyn RsaEncoding, AssertionAlgorithm),
}

/// Shows no key.
impl fmt::Debug for AssertionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssertionKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl AssertionKey {
    /// Reads a key in DER: PKCS#8 (RFC 5958), SEC1 (RFC 5915) or PKCS#1 (RFC 8017 §A.1.2). Without an `algorithm` an
    /// RSA key signs `RS256`.
    ///
    /// # Errors
    /// The key is unsupported, or does not fit the algorithm.
    pub fn from_der(der: &[u8], algorithm: Option<AssertionAlgorithm>) -> Result<Self, InvalidKey> {
        let signer = Signer::new(der, algorithm)?;
        let key = Self { signer, key_id: None, certificate_digest: None };
        key.signer.sign(b"").ok_or(InvalidKey::Useless)?;
        Ok(key)
    }

    /// Sets the `kid` by which the provider finds the public key (RFC 7515 §4.1.4).
    #[must_use]
    pub fn with_id(mut self, key_id: Option<&str>) -> Self {
        self.key_id = key_id.map(str::to_owned);
        self
    }

    /// Sets `x5t#S256` from a certificate in DER, by which the provider finds it (RFC 7515 §4.1.8).
    #[must_use]
    pub fn with_certificate(mut self, certificate: &[u8]) -> Self {
        self.certificate_digest = Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate)));
        self
    }

    /// Makes an assertion of this client for an audience (RFC 7523 §3). `issued` is in seconds since 1970.
    ///
    /// A key of [`Self::from_der`] has passed a test signature. If signing still fails, the assertion has no signature
    /// and the provider rejects it.
    pub(crate) fn sign(
        &self,
        client_id: &str,
        audience: &str,
        issued: i64,
        id: &str,
    ) -> SecretText {
        let mut header = json!({ "alg": self.signer.algorithm().name(), "typ": "JWT" });
        for (name, value) in [("kid", &self.key_id), ("x5t#S256", &self.certificate_digest)] {
            if let Some(value) = value {
                header[name] = Value::from(value.as_str());
            }
        }
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": id,
            "iat": issued,
            "exp": issued.saturating_add(LIFETIME),
        });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let mut jwt = Zeroizing::new(format!("{header}.{claims}"));
        let signature = self.signer.sign(jwt.as_bytes()).unwrap_or_default();
        jwt.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut jwt);
        SecretText::from(jwt.as_str())
    }
}

impl Signer {
    fn new(der: &[u8], asked: Option<AssertionAlgorithm>) -> Result<Self, InvalidKey> {
        let of_curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(of_curve, der) {
            return match asked {
                None | Some(AssertionAlgorithm::ES256) => Ok(Self::Ecdsa(pair)),
                Some(asked) => Err(InvalidKey::Algorithm { asked, able: "ES256" }),
            };
        }
        let pair = rsa::KeyPair::from_pkcs8(der).or_else(|_other| rsa::KeyPair::from_der(der));
        let pair = pair.map_err(|_other| InvalidKey::Kind)?;
        let asked = asked.unwrap_or(AssertionAlgorithm::RS256);
        let encoding: &'static dyn RsaEncoding = match asked {
            AssertionAlgorithm::RS256 => &RSA_PKCS1_SHA256,
            AssertionAlgorithm::PS256 => &RSA_PSS_SHA256,
            AssertionAlgorithm::ES256 => {
                return Err(InvalidKey::Algorithm { asked, able: "RS256 or PS256" });
            }
        };
        Ok(Self::Rsa(pair, encoding, asked))
    }

    fn algorithm(&self) -> AssertionAlgorithm {
        match self {
            Self::Ecdsa(_) => AssertionAlgorithm::ES256,
            Self::Rsa(_, _, algorithm) => *algorithm,
        }
    }

    /// Signs a message. The library chooses the salt or nonce.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Self::Rsa(pair, encoding, _) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
