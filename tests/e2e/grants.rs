//! Grants: codes that are exchanged and tokens that are refreshed, through crashes, outages and many callers.

pub(crate) mod connect;
mod crashes;
mod dumps;
pub(crate) mod exchange;
mod introspection;
pub(crate) mod outages;
mod records;
mod rekey;
pub(crate) mod revocation;
mod same_key;
pub(crate) mod scene;
pub(crate) mod single_flight;
pub(crate) mod token_endpoint;
