//! The seal: keeps a row unreadable to anyone who has only the database, and to the server without the caller's key.
//!
//! Invariant: this room knows neither SQL nor the network.
//!
//! A record's random DEK is wrapped under the server's master key, the KEK (`kek`). The carrier is sealed under
//! HKDF-SHA-256(DEK ‖ retrieval key) (`carrier`). Both are AES-256-GCM (`format`). The carrier's AAD leaves out the KEK
//! id, so that a DEK can be re-wrapped without the caller. The wrap of the DEK binds it to its KEK.
//!
//! The record of an idempotency key is sealed under that key (`idempotency`). The state of an authorization is signed
//! under a key that is derived from the KEK (`state`), and so are the lines of the audit log (`audit`).

mod audit;
mod carrier;
pub(crate) mod format;
mod idempotency;
mod kek;
mod random;
mod state;

pub use self::{audit::AuditKey, random::random, state::StateBinding};
pub(crate) use self::{
    carrier::{key_digest, open, seal},
    idempotency::{IdempotencySeal, Repeatable},
    kek::{Dek, Kek, SealContext, kek_id},
    random::random_name,
    state::{is_right as is_right_state, sign as sign_state},
};
