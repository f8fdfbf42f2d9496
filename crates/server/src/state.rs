//! What a running server has.
//!
//! Invariant: it is made once, at the start; what changes while the server runs is inside its parts. It knows no
//! web framework and no path.

use std::sync::Arc;

use model::Retrieval;
use negotiate::TimeZone;
use store::Store;

use crate::{
    callers::{authenticate::Authenticator, proxy_trust::ProxyTrust},
    config::{Limits, online::AgentAccessRule},
    grants::Grants,
};

/// The state that all workers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) authenticator: Authenticator,
    pub(crate) limits: Limits,
    /// The zone of dates, unless a request names another.
    pub(crate) base_time_zone: TimeZone,
    /// `http` or `https`, as clients see it unless a trusted proxy says otherwise.
    pub(crate) scheme: &'static str,
    /// Whether answers tell browsers to use HTTPS alone from now on (RFC 6797).
    pub(crate) sends_hsts: bool,
    pub(crate) proxy_trust: ProxyTrust,
    pub(crate) retrieval: Retrieval,
    /// The callers to whom the agents are open, in an Online installation.
    pub(crate) agent_access_rules: Vec<AgentAccessRule>,
    /// What refreshes tokens.
    pub(crate) grants: Arc<Grants>,
}
