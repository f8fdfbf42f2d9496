//! Who is calling: where a request comes from, how a password is tried, and whose JWTs are accepted.
//!
//! Invariant: it knows no web framework and no HTTP answer: requests come in as plain values, and refusals go
//! out as `CallerError`. What clients can make the server compute or keep for them is bounded.

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
