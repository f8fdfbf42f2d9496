//! What a running server has.
//!
//! Invariant: it is made once, at the start; what changes while the server runs is inside its parts.

use std::{net::IpAddr, sync::Arc};

use actix_web::HttpRequest;
use auth::{Lifetime, PasswordTokens, Policy};
use model::{CredentialKind, Retrieval, TenantId};
use negotiate::TimeZone;
use store::Store;

use crate::{
    callers::{issuer::Issuer, logins::Logins, proxy_trust::ProxyTrust, renewals::Renewals},
    config::{Limits, access::AgentAccessRule},
    http::{
        extract::{Budget, Caller},
        hosts::{Hosts, PublicOrigin},
        problem::Problem,
    },
};

/// The state that all workers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    /// What the bodies of all requests may hold.
    pub(crate) bodies: Budget,
    /// The zone of dates, unless a request names another.
    pub(crate) base_time_zone: TimeZone,
    /// `http` or `https`, as clients see it unless a trusted proxy says otherwise.
    pub(crate) scheme: &'static str,
    /// Whether browsers are to come back by HTTPS alone.
    pub(crate) is_strict: bool,
    pub(crate) proxy_trust: ProxyTrust,
    /// The hosts that requests may name.
    pub(crate) hosts: Hosts,
    /// The schemes that are on.
    pub(crate) policy: Policy,
    /// The tenant of an installation that has only one; without it paths name tenants.
    pub(crate) only_tenant: Option<TenantId>,
    pub(crate) retrieval: Retrieval,
    pub(crate) session_lifetime: Lifetime,
    /// For whom the User agent is open, in an Online installation.
    pub(crate) agent_access_rules: Vec<AgentAccessRule>,
    pub(crate) logins: Logins,
    pub(crate) renewals: Renewals,
    /// Makes the access tokens of callers with a password.
    pub(crate) password_tokens: PasswordTokens,
    /// The issuer whose JWTs are accepted, if there is one.
    pub(crate) issuer: Option<Arc<Issuer>>,
}

impl App {
    /// The name of the session's cookie; under TLS one that browsers keep to this host alone.
    pub(crate) fn session_cookie(&self, request: &HttpRequest) -> &'static str {
        if self.is_secure(request) { "__Host-latchkey-session" } else { "latchkey-session" }
    }

    /// Whether cookies are for TLS alone: by the configuration, or since the client sees TLS. No head of a
    /// request takes it back.
    pub(crate) fn is_secure(&self, request: &HttpRequest) -> bool {
        self.scheme == "https" || PublicOrigin::of(request, self).is_https
    }

    /// Where a request comes from, as far as it is known.
    pub(crate) fn client_address(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr().map(|peer| peer.ip());
        self.proxy_trust.address(peer, request.headers())
    }

    /// The tenant that a credential or a row of the database names: an only one by the name that it is shown by.
    pub(crate) fn tenant(&self, named: &TenantId) -> TenantId {
        match &self.only_tenant {
            Some(only) if named == only || named.is_named_as(only) => only.clone(),
            _ => named.clone(),
        }
    }

    /// How long credentials of a kind live.
    pub(crate) fn lifetime(&self, kind: CredentialKind) -> Lifetime {
        match kind {
            CredentialKind::Ticket => Lifetime::TICKET,
            CredentialKind::AccessToken => Lifetime::ACCESS_TOKEN,
            CredentialKind::Session => self.session_lifetime,
        }
    }

    /// Online the User agent is closed unless it was opened (CONTRACT 31).
    ///
    /// # Errors
    /// 403 where it is closed.
    pub(crate) fn admit_to_user_agent(&self, caller: &Caller) -> Result<(), Problem> {
        let application = caller.application.as_ref().map(|application| &application.name);
        let is_open = |rule: &AgentAccessRule| rule.admits(&caller.principal.tenant, application);
        if !self.policy.is_online() || self.agent_access_rules.iter().any(is_open) {
            Ok(())
        } else {
            Err(Problem::agent_is_closed())
        }
    }
}
