//! The server: HTTP, the wire's JSON, configuration and the command line, over the other crates.
//!
//! Invariant: only this crate knows HTTP and the wire's names; SQL and cryptography are not in it.

mod answer;
mod app;
mod bearer;
mod certificates;
pub mod cli;
mod clients;
mod config;
mod connections;
mod expiry;
mod exposure;
mod extract;
mod first_user;
mod forwarded;
mod hashing;
mod hosts;
mod logins;
pub mod memory;
mod openapi;
mod origins;
mod pages;
mod paths;
mod problem;
mod reload;
mod renewals;
mod routes;
mod serve;
mod telemetry;
mod texts;
mod throttle;
mod upkeep;
