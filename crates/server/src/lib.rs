//! The server: HTTP, the wire's JSON, configuration and the command line, on top of the other crates.
//!
//! Invariant: only this crate knows HTTP and the wire's names; SQL and cryptography are in other crates.

mod audit;
mod callers;
mod certificates;
pub mod cli;
mod config;
mod error_text;
mod expiry;
mod exposure;
mod first_user;
mod grants;
mod greeting;
mod host;
mod http;
mod issuer_keys;
mod jobs;
pub mod memory;
mod metrics;
mod outgoing;
mod reload;
mod scrape;
mod serve;
mod signals;
mod state;
mod telemetry;
mod texts;
mod unprintable;
mod webhooks;
