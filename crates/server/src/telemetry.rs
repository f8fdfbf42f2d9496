//! Logs: one line a request, and what went wrong.
//!
//! Invariant: no body, query string, path, header or credential is ever a field; a request is known
//! by its route and its id.

use std::{
    io::{self, IsTerminal as _},
    net::IpAddr,
    time::Instant,
};

use actix_web::{
    Error, HttpMessage as _,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    web::Data,
};
use anyhow::Context as _;
use tracing::{Span, error, field::Empty, info, info_span};
use tracing_actix_web::{RequestId, RootSpanBuilder};
use tracing_subscriber::EnvFilter;

use crate::{app::App, config::Config, problem::Refusal};

/// What `log.filter` lets through.
pub(crate) fn filter(config: &Config) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&config.log.filter).context("log.filter is not valid")
}

/// Starts logging to standard error: for people in development, JSON otherwise.
pub(crate) fn init(config: &Config) -> anyhow::Result<()> {
    let filter = filter(config)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // By default a line that cannot be written is reported on standard error, with a panic if
        // that fails too: a log collector that went away would take every request with it.
        .log_internal_errors(false);
    if config.is_development() {
        subscriber.init();
    } else {
        subscriber.json().flatten_event(true).init();
    }
    Ok(())
}

/// Tells where something panicked, and not what it said: that may quote what a client sent.
pub(crate) fn hide_what_panics_say() {
    std::panic::set_hook(Box::new(|panic| {
        error!(location = panic.location().map(ToString::to_string), "panicked");
    }));
}

/// When a request came in.
#[derive(Clone, Copy)]
struct Start(Instant);

/// The span of a request, and the line when it was answered.
pub(crate) struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        request.extensions_mut().insert(Start(Instant::now()));
        let id = request.extensions().get::<RequestId>().map(ToString::to_string);
        let route = request.match_pattern();
        info_span!(
            "request",
            request.id = id,
            http.method = known_method(request.method().as_str()),
            http.route = route.as_deref().unwrap_or("(none)"),
            client.address = client_address(request).map(|address| address.to_string()),
            tenant.id = Empty,
            user.login = Empty,
            auth.scheme = Empty,
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let _entered = span.enter();
        match outcome {
            Ok(response) => {
                let extensions = response.request().extensions();
                let start = extensions.get::<Start>().copied();
                let refusal = extensions.get::<Refusal>().map(|Refusal(message)| message.as_str());
                let microseconds = start.map(|Start(start)| start.elapsed().as_micros() as f64);
                let duration_ms = microseconds.map(|microseconds| microseconds / 1000.0);
                let status = response.status().as_u16();
                info!(http.status = status, duration_ms, refusal, "answered");
            }
            Err(error) => {
                let status = error.as_response_error().status_code().as_u16();
                info!(http.status = status, "failed");
            }
        }
    }
}

/// That of the client, or of the proxy if no more is known.
fn client_address(request: &ServiceRequest) -> Option<IpAddr> {
    let app = request.app_data::<Data<App>>();
    let client = app.and_then(|app| app.client_address(request.request()));
    client.or_else(|| request.peer_addr().map(|peer| peer.ip()))
}

/// A method is text of the client's choice; only the known ones are logged.
fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "TRACE" | "CONNECT" => {
            method
        }
        _ => "(other)",
    }
}
