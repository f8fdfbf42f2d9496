//! Headers that a request may have only once.
//!
//! Invariant: a request that repeats one of them is rejected as a whole, so that this server and a proxy before it
//! never read different values.

use actix_web::{
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN},
    middleware::Next,
};

use super::secret_headers::{IDEMPOTENCY_KEY, SO_APP_TOKEN, X_XSRF_TOKEN, secret_headers};
use crate::http::problem::{Problem, SEC_FETCH_MODE, SEC_FETCH_SITE};

/// Each header with its documented name. Other headers are lists, such as `Accept`, `SO-Language` and `SO-TimeZone`.
/// Their lines are read as one (RFC 9110 §5.3).
const SINGLE: [(HeaderName, &str); 9] = [
    (AUTHORIZATION, "Authorization"),
    (CONTENT_TYPE, "Content-Type"),
    (HOST, "Host"),
    (IDEMPOTENCY_KEY, "Idempotency-Key"),
    (ORIGIN, "Origin"),
    (SEC_FETCH_MODE, "Sec-Fetch-Mode"),
    (SEC_FETCH_SITE, "Sec-Fetch-Site"),
    (SO_APP_TOKEN, "SO-AppToken"),
    (X_XSRF_TOKEN, "X-XSRF-TOKEN"),
];

/// Middleware: answers a request that repeats a header with a 400 that names the header.
pub(crate) async fn refuse_repeated_headers(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let secret = secret_headers(request.request());
    match repeated(request.headers()).or_else(|| repeated(&secret)) {
        Some(header) => Ok(request.error_response(Problem::many_headers(header))),
        None => Ok(next.call(request).await?.map_into_boxed_body()),
    }
}

fn repeated(headers: &HeaderMap) -> Option<&'static str> {
    if headers.len() == headers.len_keys() {
        return None;
    }
    let is_repeated = |name: &HeaderName| headers.get_all(name).nth(1).is_some();
    SINGLE.iter().find(|(name, _)| is_repeated(name)).map(|(_, name)| *name)
}
