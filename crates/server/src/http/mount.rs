//! What stands before the paths of the server: a prefix, a tenant (CONTRACT 1).
//!
//! Invariant: a link to a path has before it what the client of the request wrote there.

use actix_web::{HttpMessage as _, HttpRequest};
use model::TenantId;

use super::paths::{API_V1, is_oauth};
use crate::config::tenants::Tenants;

/// Where the API is, for a request: below which path, and of which tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Prefix and tenant as the client writes them, such as `/SuperOffice/Cust12345`; may be empty.
    pub(crate) base: String,
    pub(crate) tenant: TenantId,
}

impl Mount {
    /// That of a request which was routed.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let found = request.extensions().get::<Self>().cloned();
        found.unwrap_or_else(|| Self { base: String::new(), tenant: TenantId::single() })
    }
}

/// What proxies took off the path, and clients write before it.
pub(super) struct StrippedPrefix(pub(super) String);

/// How paths are read.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// Empty, or a slash and one name or more.
    pub(crate) prefix: String,
    pub(crate) tenants: Tenants,
    /// The tenant of paths that name none.
    pub(crate) only_tenant: TenantId,
    pub(crate) has_token_endpoint: bool,
}

impl Paths {
    /// Whether a path of the list of routes is served.
    pub(crate) fn serves(&self, route: &str) -> bool {
        self.has_token_endpoint || !is_oauth(route)
    }

    /// Where the first user finds the API.
    pub(crate) fn first_base(&self) -> String {
        match self.tenants {
            Tenants::Single => self.prefix.clone(),
            Tenants::Path => format!("{}/{}", self.prefix, TenantId::single()),
        }
    }

    /// Where the index of the API is, for a client that does not find it.
    pub(crate) fn index(&self, request: &HttpRequest) -> String {
        let tenant = if self.tenants == Tenants::Path { "/{tenant}" } else { "" };
        format!("{}{tenant}{API_V1}", self.prefix_for(request))
    }

    /// What stands before every path of this server, if there is one tenant.
    pub(crate) fn only_base(&self, request: &HttpRequest) -> Option<String> {
        (self.tenants == Tenants::Single).then(|| self.prefix_for(request))
    }

    /// The prefix as the client writes it.
    fn prefix_for(&self, request: &HttpRequest) -> String {
        let extensions = request.extensions();
        let stripped = extensions.get().map_or("", |StrippedPrefix(prefix)| prefix);
        format!("{stripped}{}", self.prefix)
    }
}
