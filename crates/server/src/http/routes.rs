//! The list of routes.
//!
//! Invariant: only the paths in `ROUTES` are served. Every other path and method is answered as CONTRACT 34 says. The
//! allowed paths of requests, `Allow` and the OpenAPI document follow from the list.

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder,
    http::{Method, header::ALLOW},
    web::{self, ServiceConfig},
};
use negotiate::MediaType;
use utoipa::OpenApi;

use super::{
    handlers::{
        account, api_index, api_viewer, authorize, exchange, external_tokens, health,
        introspection, principal, refresh, rekey, replace, revocation, token, user_agent,
    },
    mount::Paths,
    paths,
    problem::{ACCEPT_POST, Problem, types_read},
};
use crate::audit::Action;

/// A served path.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    resource: fn() -> Resource,
    /// The audited action of a POST, or of a GET if the route has no POST.
    audits: Option<Action>,
    has_post: bool,
}

/// The number of the route of a request: its index in `ROUTES`.
pub(crate) struct RouteNumber(pub(crate) usize);

/// Makes the list of routes, and the part of the OpenAPI document that describes their handlers.
///
/// Each line is the name of a path, the kind of the route, one handler for each method of that kind, and the action in
/// the audit log, if the route is audited.
macro_rules! routes {
    ($($path:ident: $kind:ident($($module:ident::$handler:ident),+) $(=> $effect:ident $action:literal)?;)+) => {
        /// Every served path, in the order of the OpenAPI document.
        pub(crate) const ROUTES: &[Route] = &[$(Route {
            path: paths::$path,
            resource: || $kind(paths::$path, $($module::$handler),+),
            audits: routes!(@action $($effect $action)?),
            has_post: !matches!(stringify!($kind).as_bytes(), b"get" | b"files"),
        }),+];

        #[derive(OpenApi)]
        #[openapi(paths($($($module::$handler),+),+))]
        struct Documented;
    };
    (@action) => { None };
    (@action $effect:ident $action:literal) => { Some(Action::$effect($action)) };
}

routes! {
    SAVE_EXTERNAL_TOKENS: operation(user_agent::save) => change "tokens.save";
    GET_EXTERNAL_TOKENS: operation(user_agent::get) => read "tokens.get";
    AUTHORIZE: operation(authorize::authorize) => read "grant.authorize";
    EXCHANGE_CODE: operation(exchange::exchange) => change "grant.exchange";
    LIST_EXTERNAL_TOKENS: operation(external_tokens::list) => read "record.list";
    DESCRIBE_EXTERNAL_TOKENS: operation(external_tokens::describe) => read "record.describe";
    REVOKE_EXTERNAL_TOKENS: operation(revocation::revoke) => change "record.revoke";
    REFRESH_EXTERNAL_TOKENS: operation(refresh::refresh) => change "tokens.refresh";
    REVOKE_GRANT: operation(revocation::revoke_grant) => change "grant.revoke";
    INTROSPECT_EXTERNAL_TOKENS: operation(introspection::introspect) => read "grant.introspect";
    REKEY_EXTERNAL_TOKENS: operation(rekey::rekey) => change "record.rekey";
    REPLACE_EXTERNAL_TOKENS: operation(replace::replace) => change "tokens.replace";
    CURRENT_PRINCIPAL: get(principal::current_principal) => read "principal.get";
    CURRENT_TOKEN: get(principal::current_token) => change "access_token.issue";
    GET_ACCESS_TOKEN: operation(principal::access_token) => change "access_token.issue";
    TOKEN: oauth_form(token::exchange) => read "tokens.exchange";
    SIGN_IN: page_with_form(account::sign_in_page, account::sign_in) => change "session.begin";
    SIGN_OUT: form(account::sign_out) => change "session.end";
    ACCOUNT: get(account::page) => read "account.get";
    ACCOUNT_TICKETS: form(account::issue_ticket) => change "ticket.issue";
    ACCOUNT_TICKETS_REVOKE: form(account::revoke_ticket) => change "ticket.revoke";
    HOME: get(api_index::to_index);
    API: get(api_index::versions);
    API_V1: get(api_index::routes);
    OPENAPI: get(api_index::document);
    DOCS: get(api_viewer::to_viewer);
    DOCS_FILE: files(api_viewer::viewer);
    HEALTH: get(health::alive);
    READINESS: get(health::ready);
}

/// Returns the action of a request in the audit log, if it has one. `path` is one of the list.
pub(crate) fn audits(path: &str, method: &Method) -> Option<Action> {
    let route = ROUTES.iter().find(|route| route.path == path)?;
    let is_read = *method == Method::GET || *method == Method::HEAD;
    let is_audited = if route.has_post { *method == Method::POST } else { is_read };
    route.audits.filter(|_| is_audited)
}

/// Returns the OpenAPI documentation of the handlers.
pub(crate) fn documented() -> utoipa::openapi::OpenApi {
    Documented::openapi()
}

/// Registers the routes, and the answer to all other requests.
pub(crate) fn configure(services: &mut ServiceConfig) {
    for (number, route) in ROUTES.iter().enumerate() {
        services.service((route.resource)().app_data(RouteNumber(number)));
    }
    services.service(serving(paths::SERVER, "GET, HEAD, POST, OPTIONS")).default_service(web::to(
        async |request: HttpRequest, paths: web::Data<Paths>| {
            Err::<String, _>(Problem::no_such_path(paths.index(&request)))
        },
    ));
}

/// Makes the route of an agent's operation: POST runs it, GET describes it (CONTRACT O5).
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

/// Makes a route that serves a page and receives its form.
fn page_with_form<P, PageArgs, F, FormArgs>(path: &str, page: P, form: F) -> Resource
where
    P: Handler<PageArgs, Output: Responder + 'static>,
    PageArgs: FromRequest + 'static,
    F: Handler<FormArgs, Output: Responder + 'static>,
    FormArgs: FromRequest + 'static,
{
    serving(path, "GET, HEAD, POST, OPTIONS")
        .route(web::get().to(page.clone()))
        .route(web::head().to(page))
        .route(web::post().to(form))
}

/// Makes a route that receives a form of a page.
fn form<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    serving(path, "POST, OPTIONS").route(web::post().to(handler))
}

/// Makes a route that receives only forms of OAuth clients.
fn oauth_form<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    let allowed = "POST, OPTIONS";
    serving_types(path, allowed, || MediaType::Form.essence().to_owned())
        .route(web::post().to(handler))
}

/// Makes a route that serves GET and HEAD (RFC 9110 §9.3.2).
fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    let head = web::head().to(handler.clone());
    serving(path, "GET, HEAD, OPTIONS").route(web::get().to(handler)).route(head)
}

/// Makes a route whose last part may have any number of segments.
fn files<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    get(&path.replace('}', ":.*}"), handler)
}

/// Makes a route that answers OPTIONS, and rejects every method without a handler.
fn serving(path: &str, allowed: &'static str) -> Resource {
    serving_types(path, allowed, types_read)
}

/// Like `serving`, for a path whose POST reads these types.
fn serving_types(path: &str, allowed: &'static str, types: fn() -> String) -> Resource {
    let tell = move || async move { options(allowed, types) };
    let refuse = move || async move { Err::<String, _>(Problem::method_not_allowed(allowed)) };
    web::resource(path)
        .route(web::method(Method::OPTIONS).to(tell))
        .default_service(web::to(refuse))
}

/// Answers OPTIONS with the methods that a path serves and the types that it reads (RFC 9110 §9.3.7).
fn options(allowed: &'static str, types: fn() -> String) -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((ALLOW, allowed));
    if allowed.contains("POST") {
        answer.insert_header((ACCEPT_POST, types()));
    }
    answer.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::tenants;

    /// Each route has the path that its handlers document.
    #[test]
    fn every_route_is_documented_under_its_path() {
        let served: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
        let documented = documented().paths.paths;
        let documented: Vec<&str> = documented.keys().map(String::as_str).collect();
        assert_eq!(served, documented);
    }

    /// CONTRACT 1: no tenant has the name of a path.
    #[test]
    fn the_first_segments_of_paths_are_reserved() {
        let segments = ROUTES.iter().filter_map(|route| route.path.split('/').nth(1));
        let segments: BTreeSet<&str> = segments.filter(|segment| !segment.is_empty()).collect();
        assert_eq!(BTreeSet::from(tenants::RESERVED), segments);
    }
}
