//! The life of a record after it was saved: listing, expiry, revocation, removal.

pub(crate) mod clock;
mod expiry;
mod growth;
pub(crate) mod idempotency;
mod listing;
mod revocation;
