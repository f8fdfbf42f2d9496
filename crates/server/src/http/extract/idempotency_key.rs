//! The header `Idempotency-Key` (CONTRACT 42).
//!
//! Invariant: its value is neither logged nor shown in an answer.

use actix_web::HttpRequest;
use model::IdempotencyKey;

use crate::http::{
    problem::Problem,
    secret_headers::{IDEMPOTENCY_KEY, secret_headers},
};

/// Returns the idempotency key of a request, if it has one.
///
/// # Errors
/// 400: the key is malformed.
pub(crate) fn idempotency_key(request: &HttpRequest) -> Result<Option<IdempotencyKey>, Problem> {
    let headers = secret_headers(request);
    let value = headers.get(IDEMPOTENCY_KEY);
    Ok(value.map(|value| IdempotencyKey::parse(value.as_bytes())).transpose()?)
}
