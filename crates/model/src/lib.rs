//! Latchkey's domain: external tokens, the keys that retrieve them, the callers who may read them.
//!
//! Invariant: every parsed type holds valid values only. Nothing in this crate does I/O or knows HTTP, JSON or SQL.
#![doc = include_str!("../README.md")]

mod application;
mod base62;
mod code;
mod credential;
mod event;
mod grant;
mod idempotency_key;
mod principal;
mod retrieval_key;
mod rights;
mod secret;
mod stack;
mod token_management_info;
mod user;

pub use application::{Application, ApplicationName, InvalidApplicationName};
pub use code::CodeToExchange;
pub use credential::{
    CredentialId, CredentialKind, InvalidCredentialId, IssuedCredential, SecretDigest,
};
pub use event::EventKind;
pub use grant::{CauseKind, GrantCause, GrantDetails, GrantState};
pub use idempotency_key::{IdempotencyKey, InvalidIdempotencyKey};
pub use principal::{InvalidLogin, InvalidTenant, Login, Principal, TenantId};
pub use retrieval_key::{MalformedKey, RecordId, RetrievalKey};
pub use rights::{Access, FieldMask, Retrieval, TableMask};
pub use secret::SecretText;
pub use stack::wiping_stack;
pub use token_management_info::{
    Field, InvalidCarrier, PROVIDER_MAX_CHARS, Provider, TokenManagementInfo, Violation,
};
pub use user::{PasswordHash, User};
