//! Providers of every kind: their answers, their addresses, and the consequences for a grant.
//!
//! Invariant: these tests do not depend on the database, so CI runs them on SQLite alone. Tests that do are in
//! `grants`.

mod addresses;
mod answers;
mod client_certificates;
mod client_keys;
pub(crate) mod interoperation;
mod mock;
mod verdicts;
