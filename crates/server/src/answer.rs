//! Bodies of answers.
//!
//! Invariant: an answer names its type and charset (CONTRACT 2, 15).

use actix_web::{HttpResponse, http::StatusCode};
use serde::Serialize;

const JSON: &str = "application/json; charset=utf-8";

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).content_type(JSON).json(body)
}
