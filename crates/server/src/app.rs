//! What a running server has, and the one list of its routes.
//!
//! Invariant: a route that is not in `configure` does not exist; every other path and method is
//! answered as CONTRACT 34 says.

use std::sync::Arc;

use actix_web::{
    Handler, Resource, Responder,
    http::Method,
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
        .service(only(Method::POST, &agent("SaveExternalTokens"), user_agent::save))
        .service(only(Method::POST, &agent("GetExternalTokens"), user_agent::get))
        .service(only(Method::GET, "/healthz", health::alive))
        .service(only(Method::GET, "/readyz", health::ready))
        .default_service(web::to(async || Err::<String, _>(Problem::no_such_path())));
}

/// A path that serves one method.
fn only<F, Args>(method: Method, path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let allowed = method.clone();
    web::resource(path).route(web::method(method).to(handler)).default_service(web::to(move || {
        let problem = Problem::method_not_allowed(&allowed);
        async { Err::<String, _>(problem) }
    }))
}
