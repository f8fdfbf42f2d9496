//! Who is calling: where a request comes from, how a password is tried, and whose JWTs are accepted.
//!
//! Invariant: what others can make the server compute or keep for them is bounded.

pub(crate) mod forwarded;
pub(crate) mod hashing;
pub(crate) mod issuer;
pub(crate) mod logins;
pub(crate) mod proxy_trust;
pub(crate) mod renewals;
pub(crate) mod throttle;
