//! The secret headers of a request.
//!
//! Invariant: only `secret_headers` gives access to them, and they are dropped with their request. The framework
//! reuses the heads of requests, and with them the buffers that they were read into, including bodies.

use std::rc::Rc;

use actix_web::{
    HttpMessage as _, HttpRequest,
    dev::ServiceRequest,
    http::header::{
        AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION,
    },
};

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const SO_APP_TOKEN: HeaderName = HeaderName::from_static("so-apptoken");
pub(crate) const X_XSRF_TOKEN: HeaderName = HeaderName::from_static("x-xsrf-token");

const SECRET: [HeaderName; 6] =
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, IDEMPOTENCY_KEY, SO_APP_TOKEN, X_XSRF_TOKEN];

struct SecretHeaders(Rc<HeaderMap>);

/// Takes the secrets out of a request's head, and copies the other headers out of the buffer that they were read
/// into. `normalize::normalize_head` does the same for the path.
pub(crate) fn take_secrets(request: &mut ServiceRequest) {
    let headers = &mut request.head_mut().headers;
    let (mut plain, mut secret) = (HeaderMap::with_capacity(headers.len()), HeaderMap::new());
    for (name, value) in headers.iter() {
        if SECRET.contains(name) {
            secret.append(name.clone(), value.clone());
        } else {
            let copy = HeaderValue::from_bytes(value.as_bytes());
            plain.append(name.clone(), copy.unwrap_or_else(|_invalid| value.clone()));
        }
    }
    *headers = plain;
    request.extensions_mut().insert(SecretHeaders(Rc::new(secret)));
}

/// Returns the secret headers of a request.
pub(crate) fn secret_headers(request: &HttpRequest) -> Rc<HeaderMap> {
    let extensions = request.extensions();
    extensions.get().map(|SecretHeaders(headers)| Rc::clone(headers)).unwrap_or_default()
}
