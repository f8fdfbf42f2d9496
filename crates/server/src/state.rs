//! The state of a running server.
//!
//! Invariant: it is built once, at the start; only the inside of its parts changes while the server runs. It knows no
//! web framework and no path.

use std::sync::Arc;

use model::Retrieval;
use negotiate::TimeZone;
use store::Store;

use crate::{
    audit::Audit,
    callers::{authenticate::Authenticator, proxy_trust::ProxyTrust},
    config::{Limits, online::AgentAccessRule},
    grants::Grants,
    metrics::Metrics,
};

/// The state that all workers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) authenticator: Authenticator,
    pub(crate) limits: Limits,
    /// The time zone of dates, unless a request names another.
    pub(crate) base_time_zone: TimeZone,
    /// `http` or `https`, as clients see it unless a trusted proxy says otherwise.
    pub(crate) scheme: &'static str,
    /// Whether answers make browsers use only HTTPS from then on (RFC 6797).
    pub(crate) sends_hsts: bool,
    pub(crate) proxy_trust: ProxyTrust,
    pub(crate) retrieval: Retrieval,
    /// The callers who may call the agents, in an Online installation.
    pub(crate) agent_access_rules: Vec<AgentAccessRule>,
    /// Records every call.
    pub(crate) audit: Audit,
    /// Refreshes tokens.
    pub(crate) grants: Arc<Grants>,
    pub(crate) metrics: Arc<Metrics>,
}
