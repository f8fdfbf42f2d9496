//! The one list of routes.
//!
//! Invariant: a route that is not in `configure` does not exist; every other path and method is
//! answered as CONTRACT 34 says.

use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder,
    http::{Method, header::ALLOW},
    web::{self, ServiceConfig},
};

use super::{
    handlers::{account, api_index, api_viewer, external_tokens, health, principal, user_agent},
    paths::{self, Paths},
    problem::{ACCEPT_POST, Problem, types_read},
};

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
