//! Grants: codes that are exchanged and tokens that are refreshed, against a provider that misbehaves.

mod addresses;
mod answers;
mod crashes;
mod dumps;
pub(crate) mod exchange;
mod interoperation;
mod mock;
pub(crate) mod outages;
mod records;
pub(crate) mod scene;
pub(crate) mod single_flight;
mod verdicts;
