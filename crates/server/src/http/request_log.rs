//! The log of requests: one span and one line per request, with the fields that a handler adds.
//!
//! Invariant: no field contains a body, query string, path, header or credential, except the id and the trace
//! that a trusted proxy gave the request. A request is identified by its route and its id.

use std::{net::IpAddr, time::Instant};

use actix_web::{
    Error, HttpMessage as _,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    web::Data,
};
use model::RecordId;
use tracing::{Span, debug, field::Empty, info, info_span};
use tracing_actix_web::RootSpanBuilder;

use super::{
    client::client_address, paths::PROBES, problem::Refusal, request_identity::RequestIdentity,
};
use crate::{audit, state::App};

/// The time at which a request arrived.
#[derive(Clone, Copy)]
struct Start(Instant);

/// The span of a request, and the log line after its answer.
pub(crate) struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        request.extensions_mut().insert(Start(Instant::now()));
        let RequestIdentity { id, trace } = RequestIdentity::read(request);
        let route = request.match_pattern();
        info_span!(
            "request",
            request.id = id,
            trace.id = trace,
            http.method = known_method(request.method().as_str()),
            http.route = route.as_deref().unwrap_or("(none)"),
            client.address = address_to_log(request).map(|address| address.to_string()),
            tenant.id = Empty,
            user.login = Empty,
            auth.scheme = Empty,
            application.name = Empty,
            tenant.of_path = Empty,
            record.id = Empty,
            record.found = Empty,
            record.revoked = Empty,
            records = Empty,
        )
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let _entered = span.enter();
        match outcome {
            Ok(response) => {
                let extensions = response.request().extensions();
                let start = extensions.get::<Start>().copied();
                let refusal = extensions.get::<Refusal>().map(|refusal| refusal.reason.as_str());
                let microseconds = start.map(|Start(start)| start.elapsed().as_micros() as f64);
                let duration_ms = microseconds.map(|microseconds| microseconds / 1000.0);
                let status = response.status().as_u16();
                let route = response.request().match_pattern();
                if response.status().is_success() && is_probe(route.as_deref()) {
                    debug!(http.status = status, duration_ms, refusal, "answered");
                } else {
                    info!(http.status = status, duration_ms, refusal, "answered");
                }
            }
            Err(error) => {
                let status = error.as_response_error().status_code().as_u16();
                info!(http.status = status, "failed");
            }
        }
    }
}

/// Returns whether this is the path of a probe, which supervisors call all the time.
fn is_probe(route: Option<&str>) -> bool {
    route.is_some_and(|route| PROBES.contains(&route))
}

/// Logs the record of the call by its id, which retrieves nothing.
pub(crate) fn note_record(id: RecordId) {
    Span::current().record("record.id", id.text());
    audit::note(|details| details.record = Some(id));
}

/// Logs whether the record exists for the caller.
pub(crate) fn note_found(is_found: bool) {
    Span::current().record("record.found", is_found);
    audit::note(|details| details.found = Some(is_found));
}

/// Logs whether the call ended the record.
pub(crate) fn note_revoked(was_revoked: bool) {
    Span::current().record("record.revoked", was_revoked);
    audit::note(|details| details.revoked = Some(was_revoked));
}

/// Logs the number of records in the answer.
pub(crate) fn note_records(count: usize) {
    Span::current().record("records", count);
    audit::note(|details| details.records = Some(count));
}

/// Notes for the audit log that the caller may not see the tokens, which the answer then lacks.
pub(crate) fn note_withheld() {
    audit::note(|details| details.is_withheld = true);
}

/// Notes the provider of the record for the audit log.
pub(crate) fn note_provider(name: &str) {
    audit::note(|details| details.provider = Some(name.to_owned()));
}

/// Returns the address of the client, or that of the proxy if the client's is unknown.
fn address_to_log(request: &ServiceRequest) -> Option<IpAddr> {
    let app = request.app_data::<Data<App>>();
    let client = app.and_then(|app| client_address(app, request.request()));
    client.or_else(|| request.peer_addr().map(|peer| peer.ip()))
}

/// Returns the method if it is a known one, because any other is text of the client's choice.
fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "TRACE" | "CONNECT" => {
            method
        }
        _ => "(other)",
    }
}
