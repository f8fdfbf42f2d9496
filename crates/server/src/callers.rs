//! Authentication of callers: client addresses, passwords, and the JWTs of a trusted issuer.
//!
//! Invariant: this module depends on no web framework and no HTTP answer. Requests come in as plain values, and
//! refusals go out as `CallerError`. The work and the memory that clients can cause here are bounded.

pub(crate) mod authenticate;
pub(crate) mod error;
pub(crate) mod forwarded;
pub(crate) mod hashing;
mod issue;
pub(crate) mod issuer;
pub(crate) mod logins;
pub(crate) mod proxy_trust;
pub(crate) mod renewals;
pub(crate) mod throttle;
