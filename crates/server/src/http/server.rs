//! The HTTP server: the middleware around the routes, the limits of a connection, the threads.
//!
//! Invariant: every request passes the same middleware, and every connection the same acceptor.

use std::{net::TcpListener, time::Duration};

use actix_cors::Cors;
use actix_http::HttpService;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{
    App as ActixApp,
    dev::{AppConfig, Server},
    http::header::{RETRY_AFTER, WWW_AUTHENTICATE},
    middleware::{Condition, from_fn},
    web::Data,
};
use tracing_actix_web::TracingLogger;

use super::{
    audited::audited,
    call_metrics,
    connections::Acceptor,
    extract::BodyBudget,
    hosts::{self, Hosts},
    mount::Paths,
    normalize::normalize_head,
    origins::Origins,
    preferences::SO_TIME_ZONE,
    problem,
    request_identity::REQUEST_ID,
    routes,
    single_headers::refuse_repeated_headers,
};
use crate::{config, http::request_log::RequestSpan, state::App};

/// The time for which a connection stays half open after a refusal, to receive the rest that the client still sends.
const LINGER: Duration = Duration::from_secs(1);

/// The hosts and paths of this server, and the origins whose scripts may call it.
pub(crate) struct Site {
    pub(crate) paths: Paths,
    pub(crate) hosts: Hosts,
    pub(crate) cors_origins: Origins,
}

/// Starts to accept connections. Also returns the acceptor, for its figures.
///
/// # Errors
/// The process may open too few files.
pub(crate) fn start(
    settings: &config::Server,
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
    app: App,
    site: Site,
) -> anyhow::Result<(Server, Acceptor)> {
    let limits = app.limits;
    let acceptor = Acceptor::new(settings, &limits, app.proxy_trust.trusted.clone(), tls)?;
    acceptor.watch();
    let Site { paths, hosts, cors_origins } = site;
    let app = Data::new(app);
    let paths = Data::new(paths);
    let hosts = Data::new(hosts);
    let body_budget = Data::new(BodyBudget::new(limits.bodies_bytes));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let server = Server::build()
        .disable_signals()
        .workers(workers)
        .max_concurrent_connections(acceptor.most_per_worker(workers))
        .shutdown_timeout(settings.drain_seconds);
    let drain = server.graceful_shutdown_signal();
    let figures = acceptor.clone();
    let server = server.listen("http", listener, move || {
        let app = ActixApp::new()
            .app_data(app.clone())
            .app_data(paths.clone())
            .app_data(hosts.clone())
            .app_data(body_budget.clone())
            .wrap(from_fn(refuse_repeated_headers))
            .wrap(Condition::new(!cors_origins.is_empty(), cors(&cors_origins)))
            .wrap(from_fn(hosts::check))
            .wrap(from_fn(audited))
            .wrap(from_fn(problem::finish))
            .wrap(TracingLogger::<RequestSpan>::new())
            .wrap(from_fn(normalize_head))
            .wrap(from_fn(call_metrics::count))
            .configure(routes::configure)
            .into_factory()
            .map_err(|error: actix_web::Error| error.error_response());
        let (acceptor, drain) = (acceptor.clone(), drain.clone());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let drain = drain.clone();
                async move { drain.notified().await }
            })
            .client_request_timeout(limits.head_time())
            .keep_alive(limits.idle_time())
            .client_disconnect_timeout(LINGER)
            .h1(map_config(app, |()| AppConfig::default()));
        let admit = move |tcp| {
            let acceptor = acceptor.clone();
            async move { acceptor.admit(tcp).await.map_err(drop) }
        };
        fn_service(admit).and_then(http.map_err(drop))
    })?;
    Ok((server.run(), figures))
}

/// Allows scripts of these origins to call (CONTRACT 32), but without cookies.
fn cors(origins: &Origins) -> Cors {
    let origins = origins.clone();
    Cors::default()
        .allowed_methods(["GET", "HEAD", "POST"])
        .allow_any_header()
        .expose_headers([REQUEST_ID, RETRY_AFTER, SO_TIME_ZONE, WWW_AUTHENTICATE])
        .max_age(600)
        .allowed_origin_fn(move |origin, _head| {
            origin.to_str().is_ok_and(|origin| origins.allow(origin))
        })
}
