//! The operator's work: start the server, administer it, verify its records, read its log.

mod administration;
mod audit;
mod grants;
mod import;
mod import_guide;
mod log_sweep;
mod metrics;
mod pause;
mod records;
mod start;
mod users;
mod verify;
