//! The HTTP layer: connections, requests, answers.
//!
//! Invariant: every error answer is made by `problem`, and every served path is in `routes`.

pub(crate) mod answer;
mod audited;
mod call_metrics;
pub(crate) mod client;
pub(crate) mod connections;
pub(crate) mod extract;
pub(crate) mod handlers;
pub(crate) mod hosts;
pub(crate) mod mount;
pub(crate) mod normalize;
pub(crate) mod openapi;
pub(crate) mod origins;
pub(crate) mod pages;
pub(crate) mod paths;
pub(crate) mod preferences;
pub(crate) mod problem;
pub(crate) mod request_identity;
mod request_log;
pub(crate) mod routes;
pub(crate) mod secret_headers;
pub(crate) mod server;
pub(crate) mod single_headers;
