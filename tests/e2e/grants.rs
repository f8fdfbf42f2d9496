//! Grants: codes that are exchanged and tokens that are refreshed, through crashes, outages and many callers.

mod connect;
mod crashes;
mod dumps;
pub(crate) mod exchange;
pub(crate) mod outages;
mod records;
pub(crate) mod scene;
pub(crate) mod single_flight;
