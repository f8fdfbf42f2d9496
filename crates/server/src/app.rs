//! What a running server has, and the one list of its routes.
//!
//! Invariant: a route that is not in `configure` does not exist; every other path and method is
//! answered as CONTRACT 34 says.

use std::sync::Arc;

use actix_web::{
    FromRequest, Handler, Resource, Responder,
    web::{self, ServiceConfig},
};
use auth::VerifiedLogins;
use model::TenantId;
use store::Store;
use tokio::sync::Semaphore;

use crate::{
    config::Limits,
    problem::Problem,
    routes::{health, user_agent},
};

/// The state that all workers share.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) tenant: TenantId,
    pub(crate) limits: Limits,
    pub(crate) verified_logins: VerifiedLogins,
    /// How many passwords may be hashed at a time: each takes a core and 19 MiB.
    pub(crate) hashing: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(store: Store, limits: Limits) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            store,
            tenant: TenantId::single(),
            limits,
            verified_logins: VerifiedLogins::new(),
            hashing: Arc::new(Semaphore::new(cores)),
        }
    }
}

/// The routes.
pub(crate) fn configure(routes: &mut ServiceConfig) {
    let agent = |operation: &str| format!("/api/v1/Agents/User/{operation}");
    routes
        .service(post(&agent("SaveExternalTokens"), user_agent::save))
        .service(post(&agent("GetExternalTokens"), user_agent::get))
        .service(get("/healthz", health::alive))
        .service(get("/readyz", health::ready))
        .default_service(web::to(async || Err::<String, _>(Problem::no_such_path())));
}

/// A path that serves POST.
fn post<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    serving(path, "POST").route(web::post().to(handler))
}

/// A path that serves GET, and HEAD with it (RFC 9110 §9.3.2).
fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    let head = web::head().to(handler.clone());
    serving(path, "GET, HEAD").route(web::get().to(handler)).route(head)
}

/// A path that refuses every method to which no route is added.
fn serving(path: &str, allowed: &'static str) -> Resource {
    let refuse = move || async move { Err::<String, _>(Problem::method_not_allowed(allowed)) };
    web::resource(path).default_service(web::to(refuse))
}
