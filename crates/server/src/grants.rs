//! Grants: the right to get new tokens of a provider.
//!
//! Invariant: it knows no web framework and no HTTP answer. Nothing that a caller says leads a request to a place that
//! is not configured, or that a configured issuer does not name.

mod discovery;
mod id_tokens;
pub(crate) mod providers;
