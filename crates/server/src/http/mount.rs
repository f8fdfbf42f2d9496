//! The part of a URL before the server's own paths: a prefix, a tenant (CONTRACT 1).
//!
//! Invariant: every link begins with the prefix and the tenant as the client of the request wrote them.

use actix_web::{HttpMessage as _, HttpRequest};
use model::TenantId;

use super::paths::{API_V1, is_oauth};
use crate::config::tenants::Tenants;

/// The place of the API for a request: its base path and its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Prefix and tenant as the client writes them, such as `/SuperOffice/Cust12345`. May be empty.
    pub(crate) base: String,
    pub(crate) tenant: TenantId,
}

impl Mount {
    /// Returns the mount of a routed request.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let found = request.extensions().get::<Self>().cloned();
        found.unwrap_or_else(|| Self { base: String::new(), tenant: TenantId::single() })
    }
}

/// The part of the path that proxies stripped, and that clients write before it.
pub(super) struct StrippedPrefix(pub(super) String);

/// The settings by which paths are read.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// Empty, or one or more segments, each after a slash.
    pub(crate) prefix: String,
    pub(crate) tenants: Tenants,
    /// The tenant of paths that name none.
    pub(crate) only_tenant: TenantId,
    pub(crate) has_token_endpoint: bool,
}

impl Paths {
    /// Returns whether a path of the list of routes is served.
    pub(crate) fn serves(&self, route: &str) -> bool {
        self.has_token_endpoint || !is_oauth(route)
    }

    /// Returns the base path of the API for the first user.
    pub(crate) fn first_base(&self) -> String {
        match self.tenants {
            Tenants::Single => self.prefix.clone(),
            Tenants::Path => format!("{}/{}", self.prefix, TenantId::single()),
        }
    }

    /// Returns the path of the API's index, for a client that requested an unknown path.
    pub(crate) fn index(&self, request: &HttpRequest) -> String {
        let tenant = if self.tenants == Tenants::Path { "/{tenant}" } else { "" };
        format!("{}{tenant}{API_V1}", self.prefix_for(request))
    }

    /// Returns the part before every path of this server, if there is only one tenant.
    pub(crate) fn only_base(&self, request: &HttpRequest) -> Option<String> {
        (self.tenants == Tenants::Single).then(|| self.prefix_for(request))
    }

    /// Returns the prefix as the client writes it.
    fn prefix_for(&self, request: &HttpRequest) -> String {
        let extensions = request.extensions();
        let stripped = extensions.get().map_or("", |StrippedPrefix(prefix)| prefix);
        format!("{stripped}{}", self.prefix)
    }
}
