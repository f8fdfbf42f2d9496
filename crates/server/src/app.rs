//! What a running server has, and the one list of its routes.
//!
//! Invariant: a route that is not in `configure` does not exist; every other path and method is
//! answered as CONTRACT 34 says.

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder,
    http::{Method, header::ALLOW},
    web::{self, ServiceConfig},
};
use auth::{Lifetime, PasswordTokens, Policy};
use model::{CredentialKind, Retrieval, TenantId};
use negotiate::TimeZone;
use store::Store;

use crate::{
    bearer::Bearer,
    clients::Clients,
    config::{Limits, access::Opening},
    extract::{Budget, Caller},
    hosts::{Hosts, Reached},
    logins::Logins,
    paths::{self, Paths},
    problem::{ACCEPT_POST, Problem, types_read},
    renewals::Renewals,
    routes::{account, api_index, api_viewer, external_tokens, health, principal, user_agent},
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
    pub(crate) clients: Clients,
    /// The hosts that requests may name.
    pub(crate) hosts: Hosts,
    /// The schemes that are on.
    pub(crate) policy: Policy,
    /// The tenant of an installation that has only one; without it paths name tenants.
    pub(crate) only_tenant: Option<TenantId>,
    pub(crate) retrieval: Retrieval,
    pub(crate) session_lifetime: Lifetime,
    /// For whom the User agent is open, in an Online installation.
    pub(crate) openings: Vec<Opening>,
    pub(crate) logins: Logins,
    pub(crate) renewals: Renewals,
    /// Makes the access tokens of callers with a password.
    pub(crate) password_tokens: PasswordTokens,
    /// The issuer whose JWTs are accepted, if there is one.
    pub(crate) bearer: Option<Arc<Bearer>>,
}

impl App {
    /// The name of the session's cookie; under TLS one that browsers keep to this host alone.
    pub(crate) fn session_cookie(&self, request: &HttpRequest) -> &'static str {
        if self.is_secure(request) { "__Host-latchkey-session" } else { "latchkey-session" }
    }

    /// Whether cookies are for TLS alone: by the configuration, or since the client sees TLS. No head of a
    /// request takes it back.
    pub(crate) fn is_secure(&self, request: &HttpRequest) -> bool {
        self.scheme == "https" || Reached::by(request, self).is_https
    }

    /// Where a request comes from, as far as it is known.
    pub(crate) fn client_address(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr().map(|peer| peer.ip());
        self.clients.address(peer, request.headers())
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
        let is_open = |opening: &Opening| opening.admits(&caller.principal.tenant, application);
        if !self.policy.is_online() || self.openings.iter().any(is_open) {
            Ok(())
        } else {
            Err(Problem::agent_is_closed())
        }
    }
}

/// The routes; their paths are those of `paths`, which alone get here.
pub(crate) fn configure(routes: &mut ServiceConfig) {
    routes
        .service(operation(paths::SAVE_EXTERNAL_TOKENS, user_agent::save))
        .service(operation(paths::GET_EXTERNAL_TOKENS, user_agent::get))
        .service(operation(paths::GET_ACCESS_TOKEN, principal::access_token))
        .service(operation(paths::LIST_EXTERNAL_TOKENS, external_tokens::list))
        .service(operation(paths::DESCRIBE_EXTERNAL_TOKENS, external_tokens::describe))
        .service(operation(paths::REVOKE_EXTERNAL_TOKENS, external_tokens::revoke))
        .service(get(paths::CURRENT_PRINCIPAL, principal::current_principal))
        .service(get(paths::CURRENT_TOKEN, principal::current_token))
        .service(
            serving(paths::SIGN_IN, "GET, HEAD, POST, OPTIONS")
                .route(web::get().to(account::sign_in_page))
                .route(web::head().to(account::sign_in_page))
                .route(web::post().to(account::sign_in)),
        )
        .service(form(paths::SIGN_OUT, account::sign_out))
        .service(get(paths::ACCOUNT, account::page))
        .service(form(paths::ACCOUNT_TICKETS, account::issue_ticket))
        .service(form(paths::ACCOUNT_TICKETS_REVOKE, account::revoke_ticket))
        .service(get(paths::HOME, api_index::to_index))
        .service(get(paths::API, api_index::versions))
        .service(get(paths::API_V1, api_index::routes))
        .service(get(paths::OPENAPI, api_viewer::document))
        .service(get(paths::DOCS, api_viewer::to_viewer))
        .service(get(&format!("{}/{{file:.*}}", paths::DOCS), api_viewer::viewer))
        .service(get(paths::HEALTH, health::alive))
        .service(get(paths::READINESS, health::ready))
        .service(serving(paths::SERVER, "GET, HEAD, POST, OPTIONS"))
        .default_service(web::to(async |request: HttpRequest, paths: web::Data<Paths>| {
            Err::<String, _>(Problem::no_such_path(paths.index(&request)))
        }));
}

/// An operation of an agent: POST runs it, GET describes it (CONTRACT O5).
fn operation<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    serving(path, "POST, GET, HEAD, OPTIONS")
        .route(web::post().to(handler))
        .route(web::get().to(api_index::describe))
        .route(web::head().to(api_index::describe))
}

/// A path to which a form of a page is sent.
fn form<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    serving(path, "POST, OPTIONS").route(web::post().to(handler))
}

/// A path that serves GET, and HEAD with it (RFC 9110 §9.3.2).
fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    let head = web::head().to(handler.clone());
    serving(path, "GET, HEAD, OPTIONS").route(web::get().to(handler)).route(head)
}

/// A path that answers OPTIONS, and refuses every method to which no route is added.
fn serving(path: &str, allowed: &'static str) -> Resource {
    let tell = move || async move { options(allowed) };
    let refuse = move || async move { Err::<String, _>(Problem::method_not_allowed(allowed)) };
    web::resource(path)
        .route(web::method(Method::OPTIONS).to(tell))
        .default_service(web::to(refuse))
}

/// What a path serves, and what it reads (RFC 9110 §9.3.7).
fn options(allowed: &'static str) -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((ALLOW, allowed));
    if allowed.contains("POST") {
        answer.insert_header((ACCEPT_POST, types_read()));
    }
    answer.finish()
}
