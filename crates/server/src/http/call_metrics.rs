//! Counts every request, with its route and its duration.
//!
//! Invariant: it is the outermost middleware, so that answers of the others are counted too.

use std::time::Instant;

use actix_web::{
    HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
    web::Data,
};

use super::{problem::Refusal, routes::RouteNumber};
use crate::{
    metrics::{Metrics, calls::Unavailable},
    state::App,
};

/// Middleware: counts the request when its answer begins.
pub(super) async fn count(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let app = request.app_data::<Data<App>>().expect("the app is set up with its state").clone();
    let method = request.method().clone();
    let begun = Instant::now();
    let _under_way = app.metrics.calls.begin();
    let outcome = next.call(request).await;
    let (request, status) = match &outcome {
        Ok(response) => (Some(response.request()), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    };
    let route = request.and_then(|request| request.app_data::<RouteNumber>());
    let route = route.map(|RouteNumber(number)| *number);
    app.metrics.calls.answered(route, method.as_str(), status.as_u16(), begun.elapsed());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        count_unavailable(&app.metrics, request);
    }
    outcome
}

fn count_unavailable(metrics: &Metrics, request: Option<&HttpRequest>) {
    let extensions = request.map(HttpRequest::extensions);
    let refusal = extensions.as_ref().and_then(|extensions| extensions.get::<Refusal>());
    let cause = refusal.map_or(Unavailable::Other, |refusal| match refusal.name {
        "SR_OVERLOADED" => Unavailable::Overloaded,
        "SR_UNAVAILABLE" => Unavailable::Database,
        "SR_DISK_FULL" => Unavailable::DiskFull,
        "SR_DATABASE_REPLACED" => Unavailable::DatabaseReplaced,
        "SR_STOPPING" => Unavailable::Stopping,
        "SR_KEY_MISSING" => Unavailable::KeyMissing,
        "SR_KEY_USED_UP" => Unavailable::KeyUsedUp,
        "SR_KEYS_UNAVAILABLE" => Unavailable::IssuerKeys,
        "SR_GRANTS_PAUSED" => Unavailable::GrantsPaused,
        "SR_GRANT_BUSY" => Unavailable::GrantBusy,
        "SR_GRANT_FAILING" => Unavailable::GrantFailing,
        "SR_GRANT_UNSAVED" => Unavailable::GrantUnsaved,
        "SR_NOT_AUDITED" => Unavailable::Audit,
        _ => Unavailable::Other,
    });
    metrics.calls.unavailable(cause);
}
