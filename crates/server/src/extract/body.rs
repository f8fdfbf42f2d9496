//! The body of a request.
//!
//! Invariant: a body is neither held past its size limit, before or after it is decompressed, nor
//! waited for past its time limit. What its headers tell is judged before it is waited for.

use std::{borrow::Cow, time::Duration};

use actix_web::{
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap},
    web::Payload,
};
use negotiate::{ContentCoding, ContentType, UnsupportedMediaType, body::Body};

use super::preferences;
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
    let coding = preferences::text(headers, &CONTENT_ENCODING).unwrap_or_default();
    let coding = ContentCoding::parse(&coding)?;
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let content_type = content_type.map(|header| ContentType::parse(Some(header))).transpose()?;
    let announced = preferences::text(headers, &CONTENT_LENGTH).and_then(|text| text.parse().ok());
    if announced.is_some_and(|length: usize| length > limits.body_bytes) {
        return Err(Problem::too_long(limits.body_bytes));
    }
    let time_limit = Duration::from_secs(limits.body_seconds);
    let sent = tokio::time::timeout(time_limit, payload.to_bytes_limited(limits.body_bytes))
        .await
        .map_err(|_elapsed| Problem::too_slow(limits.body_seconds))?
        .map_err(|_over| Problem::too_long(limits.body_bytes))?
        .map_err(|_broken| Problem::body_broke_off())?;
    let bytes = match coding {
        Some(coding) if !sent.is_empty() => Cow::Owned(coding.decode(&sent, limits.body_bytes)?),
        _ => Cow::Borrowed(&sent[..]),
    };
    if bytes.is_empty() {
        return Ok(Body::empty());
    }
    Ok(Body::read(content_type.ok_or(UnsupportedMediaType::Missing)?, &bytes)?)
}
