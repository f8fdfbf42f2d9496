//! Faults, on either database: kills, outages, disconnects, overload.

mod disconnects;
mod durability;
mod fail_closed;
pub(crate) mod memory;
mod outage_log;
mod overload;
pub(crate) mod shutdown;
