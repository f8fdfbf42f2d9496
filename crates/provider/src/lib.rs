//! OAuth 2.0 for a client of any provider: what to send, and what the answer says.
//!
//! Invariant: nothing here does I/O or reads a clock, and random is only what is within a signature. An answer is read leniently and judged
//! strictly: tokens that came are never thrown away for a fault of form, and a grant is called dead only if the
//! provider said so. Tokens, secrets and codes are in types that cannot be printed.
//!
//! ```
//! use model::SecretText;
//! use provider::{Answer, ClientAuth, Endpoints, Proof, RefusalClass, Registration};
//!
//! let endpoints = Endpoints::of_token("https://login.example/token");
//! let registration = Registration::new(endpoints, "latchkey", ClientAuth::Basic);
//! let secret = SecretText::from("secret");
//! let request = registration.refresh(&SecretText::from("r-1"), Proof::Secret(&secret));
//! assert_eq!(request.body.expose(), "grant_type=refresh_token&refresh_token=r-1");
//!
//! let mut answer = Answer {
//!     status: 200,
//!     content_type: Some("application/json"),
//!     retry_after: None,
//!     body: br#"{"access_token": "a-2", "expires_in": "3600"}"#,
//!     received: 1_790_000_000,
//! };
//! let tokens = registration.read_tokens(&answer)?;
//! assert_eq!((tokens.access_token.expose(), tokens.expires_in), ("a-2", Some(3600)));
//!
//! answer = Answer { status: 403, body: b"<h1>Firewall</h1>", ..answer };
//! let refusal = registration.read_tokens(&answer).expect_err("no tokens");
//! assert_eq!(refusal.class, RefusalClass::Other);
//! # Ok::<(), provider::Refusal>(())
//! ```

mod answer;
mod assertion;
mod form;
mod introspection;
mod json;
mod metadata;
mod parameters;
pub mod pkce;
pub mod presets;
mod registration;
mod request;
mod retry_after;
mod revocation;
mod verdict;

pub use answer::{Answer, GrantedTokens};
pub use assertion::{AssertionAlgorithm, AssertionKey, InvalidKey};
pub use introspection::Introspection;
pub use metadata::{InvalidMetadata, Metadata, MtlsEndpoints, metadata_urls};
pub use parameters::{
    InvalidParameter, InvalidTemplate, Parameter, Parameters, Pattern, fill as fill_url,
};
pub use presets::Preset;
pub use registration::{
    AnswerRules, Audience, BodyFormat, ClientAuth, Endpoints, ErrorWords, Registration,
    RequestRules, TimeUnit, client_digest, code_digest,
};
pub use request::{AuthorizationRequest, CodeExchange, Proof, ProviderRequest, TokenKind};
pub use retry_after::retry_after;
pub use revocation::Revocation;
pub use verdict::{Refusal, RefusalClass};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
