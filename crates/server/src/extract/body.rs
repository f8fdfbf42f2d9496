//! The body of a request.
//!
//! Invariant: no more than the limit is ever held in memory.

use actix_web::{
    http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap},
    web::Payload,
};
use negotiate::{MediaType, body::Body};

use crate::problem::Problem;

/// Reads a body as its headers say.
///
/// # Errors
/// 413 over `limit` bytes, 415 for a type or coding that is not read here, 400 for what is malformed.
pub(crate) async fn read(
    headers: &HeaderMap,
    payload: Payload,
    limit: usize,
) -> Result<Body, Problem> {
    let is_plain = |coding: &[u8]| coding.eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).any(|coding| !is_plain(coding.as_bytes())) {
        return Err(Problem::content_encoding());
    }
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    match MediaType::of_body(content_type)? {
        MediaType::ApplicationJson | MediaType::TextJson => {}
    }
    let bytes = payload
        .to_bytes_limited(limit)
        .await
        .map_err(|_over| Problem::too_large(limit))?
        .map_err(|_broken| Problem::invalid("the body broke off"))?;
    Ok(Body::from_json(&bytes)?)
}
