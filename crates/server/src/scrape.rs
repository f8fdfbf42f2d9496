//! The listener of metrics: `GET /metrics`, and nothing else.
//!
//! Invariant: it has a thread and connections of its own, so that no scrape delays a call. It answers without a login,
//! so no answer has data of a tenant.

mod counting;
mod families;

use std::{net::TcpListener, time::Duration};

use actix_http::HttpService;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{
    App as ActixApp, HttpRequest, HttpResponse,
    dev::{AppConfig, Server},
    http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    web::{self, Data},
};

pub(crate) use self::{counting::Counting, families::Watched};
use crate::{
    http::connections::Acceptor,
    metrics::exposition::{Exposition, Format},
};

const PATH: &str = "/metrics";
const METHODS: &str = "GET, HEAD";
/// The maximum number of connections. An idle one makes room for a new one.
pub(crate) const CONNECTIONS: usize = 16;
/// How long a client may take to send a head, and to receive an answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a connection stays open for the next scrape.
const IDLE: Duration = Duration::from_secs(75);
/// How long a connection stays half open after a refusal.
const LINGER: Duration = Duration::from_secs(1);

/// Starts to accept connections.
///
/// # Errors
/// The system refuses.
pub(crate) fn start(listener: TcpListener, watched: Watched) -> anyhow::Result<Server> {
    let acceptor = Acceptor::plain(CONNECTIONS, DEADLINE);
    acceptor.watch();
    let watched = Data::new(watched);
    let server = Server::build()
        .disable_signals()
        .workers(1)
        .max_concurrent_connections(acceptor.most_per_worker(1))
        .shutdown_timeout(1);
    let server = server.listen("metrics", listener, move || {
        let app = ActixApp::new()
            .app_data(watched.clone())
            .service(
                web::resource(PATH)
                    .route(web::get().to(scrape))
                    .route(web::head().to(scrape))
                    .default_service(web::to(refuse_method)),
            )
            .default_service(web::to(refuse_path))
            .into_factory()
            .map_err(|error: actix_web::Error| error.error_response());
        let acceptor = acceptor.clone();
        let http = HttpService::build()
            .client_request_timeout(DEADLINE)
            .keep_alive(IDLE)
            .client_disconnect_timeout(LINGER)
            .h1(map_config(app, |()| AppConfig::default()));
        let admit = move |tcp| {
            let acceptor = acceptor.clone();
            async move { acceptor.admit(tcp).await.map_err(drop) }
        };
        fn_service(admit).and_then(http.map_err(drop))
    })?;
    Ok(server.run())
}

async fn scrape(request: HttpRequest, watched: Data<Watched>) -> HttpResponse {
    let lines = request.headers().get_all(ACCEPT).filter_map(|line| line.to_str().ok());
    let format = Format::accepted(&lines.collect::<Vec<_>>().join(","));
    let mut text = Exposition::new(format);
    watched.write(&mut text).await;
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, format.content_type()))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(text.finish())
}

async fn refuse_method() -> HttpResponse {
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, METHODS)).finish()
}

async fn refuse_path() -> HttpResponse {
    HttpResponse::NotFound()
        .insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"))
        .body(format!("the metrics are at {PATH}\n"))
}
