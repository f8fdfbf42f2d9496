//! What a running server has, and the one list of its routes.
//!
//! Invariant: a route that is not in `configure` does not exist; every other path and method is
//! answered as CONTRACT 34 says.

use std::sync::Arc;

use actix_web::{
    FromRequest, Handler, HttpResponse, Resource, Responder,
    http::{Method, header::ALLOW},
    web::{self, ServiceConfig},
};
use auth::VerifiedLogins;
use negotiate::TimeZone;
use store::Store;
use tokio::sync::Semaphore;

use crate::{
    config::Limits,
    paths::{self, Paths},
    problem::{ACCEPT_POST, Problem, types_read},
    routes::{api_index, api_viewer, health, user_agent},
};

/// The state that all workers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    /// The zone of dates, unless a request names another.
    pub(crate) base_time_zone: TimeZone,
    /// `http` or `https`, as clients see it.
    pub(crate) scheme: &'static str,
    pub(crate) verified_logins: VerifiedLogins,
    /// How many passwords may be hashed at a time: each takes a core and 19 MiB.
    pub(crate) hashing: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(
        store: Store,
        limits: Limits,
        base_time_zone: TimeZone,
        scheme: &'static str,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            store,
            limits,
            base_time_zone,
            scheme,
            verified_logins: VerifiedLogins::new(),
            hashing: Arc::new(Semaphore::new(cores)),
        }
    }
}

/// The routes; their paths are those of `paths`, which alone get here.
pub(crate) fn configure(routes: &mut ServiceConfig) {
    routes
        .service(operation(paths::SAVE_EXTERNAL_TOKENS, user_agent::save))
        .service(operation(paths::GET_EXTERNAL_TOKENS, user_agent::get))
        .service(get(paths::HOME, api_index::to_index))
        .service(get(paths::API, api_index::versions))
        .service(get(paths::API_V1, api_index::routes))
        .service(get(paths::OPENAPI, api_viewer::document))
        .service(get(paths::DOCS, api_viewer::to_viewer))
        .service(get(&format!("{}/{{file:.*}}", paths::DOCS), api_viewer::viewer))
        .service(get(paths::HEALTH, health::alive))
        .service(get(paths::READINESS, health::ready))
        .service(serving(paths::SERVER, "GET, HEAD, POST, OPTIONS"))
        .default_service(web::to(async |paths: web::Data<Paths>| {
            Err::<String, _>(Problem::no_such_path(paths.index()))
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
