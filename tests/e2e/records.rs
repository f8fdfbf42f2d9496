//! What becomes of a record after it was saved: listed, expired, revoked, removed.

pub(crate) mod clock;
mod expiry;
mod growth;
pub(crate) mod idempotency;
mod listing;
mod revocation;
