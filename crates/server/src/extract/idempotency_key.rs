//! The header `Idempotency-Key` (CONTRACT 50).
//!
//! Invariant: its value is neither logged nor told.

use actix_web::http::header::{HeaderMap, HeaderName};
use model::IdempotencyKey;

use crate::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The idempotency key of a request, if it has one.
///
/// # Errors
/// 400 for one that is malformed, and for two.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY);
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Problem::many_headers("Idempotency-Key"));
    }
    Ok(first.map(|value| IdempotencyKey::parse(value.as_bytes())).transpose()?)
}
