//! Handlers and their wire structs, one file per resource.
//!
//! Invariant: a handler extracts, calls and converts. Any further logic is in another crate.

pub(crate) mod account;
pub(crate) mod api_index;
pub(crate) mod api_viewer;
pub(crate) mod authorize;
mod carrier;
pub(crate) mod exchange;
pub(crate) mod external_tokens;
pub(crate) mod health;
pub(crate) mod introspection;
mod members;
pub(crate) mod principal;
pub(crate) mod refresh;
pub(crate) mod rekey;
pub(crate) mod replace;
mod retrieval;
pub(crate) mod revocation;
pub(crate) mod token;
pub(crate) mod user_agent;
