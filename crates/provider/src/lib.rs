//! OAuth 2.0 for a client of any provider: requests to send, and the meaning of answers.
//!
//! Invariant: nothing here does I/O or reads a clock, and only signatures use randomness. Answers are parsed leniently
//! and judged strictly. Tokens are never dropped for an error of form, and a grant is dead only if the provider says so.
//! Tokens, secrets and codes have types that cannot be printed.
#![doc = include_str!("../README.md")]

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
