//! The tables: rows and statements, a file for each subject.
//!
//! Invariant: every secret in this room is sealed or digested.

pub(crate) mod applications;
pub(crate) mod audit;
pub(crate) mod credentials;
pub(crate) mod database_identity;
pub(crate) mod deliveries;
pub(crate) mod exchanges;
pub(crate) mod external_tokens;
pub(crate) mod grants;
pub(crate) mod idempotency_keys;
pub(crate) mod keks;
pub(crate) mod provider_states;
pub(crate) mod records;
pub(crate) mod rewrap;
pub(crate) mod schema;
pub(crate) mod several;
pub(crate) mod unreadable;
pub(crate) mod users;
pub(crate) mod wrapped_dek;
