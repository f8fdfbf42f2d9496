//! Providers of every kind: what they answer, where they are, and what follows for a grant.
//!
//! Invariant: what is here does not depend on the database, so that CI runs it on SQLite alone; `grants` has what does.

mod addresses;
mod answers;
mod client_certificates;
mod client_keys;
pub(crate) mod interoperation;
mod mock;
mod verdicts;
