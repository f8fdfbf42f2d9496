//! Validators for logins: credential text and known facts in, a verified caller or an `AuthError` out.
//!
//! Invariant: nothing here does I/O or reads a clock. The caller fetches the row and passes it in with the time.
#![doc = include_str!("../README.md")]

mod access_token;
mod app_token;
mod authorization;
mod basic;
mod bearer;
mod error;
mod issued;
mod jwks;
mod lifetime;
mod password;
mod policy;
mod random;
mod verified_logins;
mod webhook;

pub use access_token::{PasswordTokens, TokenRequest};
pub use app_token::ApplicationToken;
pub use authorization::Authorization;
pub use basic::{BasicCredentials, BasicEncoding};
pub use bearer::{Claims, JwtError, JwtVerifier, has_claim};
pub use error::{AuthError, MalformedCredentials};
pub use issued::Presented;
pub use jwks::{InvalidKeySet, KeySet};
pub use lifetime::Lifetime;
pub use password::{HashMemory, Password, WeakPassword, hash, is_outdated, verify};
pub use policy::{Installation, Policy, Scheme, Switches};
pub use verified_logins::VerifiedLogins;
pub use webhook::{InvalidWebhookSecret, WebhookSecret};
