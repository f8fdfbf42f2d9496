//! The body of a request.
//!
//! Invariant: a body is neither held past its size limit nor waited for past its time limit.

use std::time::Duration;

use actix_web::{
    http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap},
    web::Payload,
};
use negotiate::{MediaType, body::Body};

use crate::{config::Limits, problem::Problem};

/// Reads a body as its headers say; one that is empty needs no type.
///
/// # Errors
/// 408 and 413 over a limit, 415 for a type or coding that is not read here, 400 for what is
/// malformed.
pub(crate) async fn read(
    headers: &HeaderMap,
    payload: Payload,
    limits: Limits,
) -> Result<Body, Problem> {
    let is_plain = |coding: &[u8]| coding.eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).any(|coding| !is_plain(coding.as_bytes())) {
        return Err(Problem::content_encoding());
    }
    let mut content_types = headers.get_all(CONTENT_TYPE);
    let content_type = content_types.next().map(|value| value.to_str().unwrap_or_default());
    if content_types.next().is_some() {
        return Err(Problem::invalid("there is more than one Content-Type header"));
    }
    let time_limit = Duration::from_secs(limits.body_seconds);
    let bytes = tokio::time::timeout(time_limit, payload.to_bytes_limited(limits.body_bytes))
        .await
        .map_err(|_elapsed| Problem::too_slow(limits.body_seconds))?
        .map_err(|_over| Problem::too_large(limits.body_bytes))?
        .map_err(|_broken| Problem::invalid("the body broke off"))?;
    if bytes.is_empty() {
        return Ok(Body::empty());
    }
    match MediaType::of_body(content_type)? {
        MediaType::ApplicationJson | MediaType::TextJson => Ok(Body::from_json(&bytes)?),
    }
}
