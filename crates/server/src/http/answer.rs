//! Bodies of answers.
//!
//! Invariant: every answer states its type and charset (CONTRACT 2, 15), and none is compressed.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::HeaderValue},
};
use negotiate::{MediaType, write_answer};
use serde::Serialize;

use crate::http::{
    preferences::{Preferences, SO_TIME_ZONE},
    problem::{ErrorBody, Problem},
};

/// Answers 200 in the type that the request prefers, and repeats its time zone. `root` names the element of an object
/// in XML.
///
/// # Errors
/// 406: XML was negotiated, and it cannot represent the answer.
pub(crate) fn write(
    preferences: &Preferences,
    root: &str,
    answer: &impl Serialize,
) -> Result<HttpResponse, Problem> {
    let Preferences { media_type, select, time_zone, .. } = preferences;
    let mut response = if media_type.is_xml() || !select.is_everything() {
        let mut tree = serde_json::to_value(answer).map_err(|error| Problem::internal(&error))?;
        select.apply(&mut tree);
        of_type(StatusCode::OK, *media_type, write_answer(&tree, root, *media_type)?)
    } else {
        let body = serde_json::to_string(answer).map_err(|error| Problem::internal(&error))?;
        of_type(StatusCode::OK, *media_type, body)
    };
    let zone = time_zone.as_ref().ok().map(|zone| HeaderValue::from_str(zone.name()));
    if let Some(Ok(zone)) = zone {
        response.headers_mut().insert(SO_TIME_ZONE, zone);
    }
    Ok(response)
}

/// Answers an error. The body is empty if it cannot be written.
pub(crate) fn error(status: StatusCode, media_type: MediaType, body: &ErrorBody) -> HttpResponse {
    let tree = serde_json::to_value(body).unwrap_or_default();
    of_type(status, media_type, write_answer(&tree, "Error", media_type).unwrap_or_default())
}

/// Answers 200 in JSON, regardless of the request's preferences. For answers that only programs read.
pub(crate) fn json(body: &impl Serialize) -> HttpResponse {
    json_of_status(StatusCode::OK, body)
}

/// Like `json`, with another status.
pub(crate) fn json_of_status(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).content_type(MediaType::ApplicationJson.content_type()).json(body)
}

fn of_type(status: StatusCode, media_type: MediaType, body: String) -> HttpResponse {
    HttpResponse::build(status).content_type(media_type.content_type()).body(body)
}
