//! The middleware that completes every answer.
//!
//! Invariant: no answer leaves the server without the headers that all answers have.

use actix_web::{
    HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{
            CACHE_CONTROL, HOST, HeaderValue, STRICT_TRANSPORT_SECURITY, VARY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    web::Data,
};

use super::Problem;
use crate::{
    http::request_identity::{REQUEST_ID, RequestIdentity},
    state::App,
    texts::Message,
};

const A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// The headers that determine the form of an answer (CONTRACT 15).
const CHOSEN_BY: HeaderValue =
    HeaderValue::from_static("Accept, Accept-Language, SO-Language, SO-Culture, SO-TimeZone");

/// Middleware: adds a body to every error, and the common headers to every answer.
pub(crate) async fn finish(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let answer = response.response().error().map(|error| match error.as_error::<Problem>() {
        Some(problem) => problem.answer(response.request()),
        None => from_framework(error).answer(response.request()),
    });
    let mut response = match answer {
        Some(mut answer) => {
            let (request, replaced) = response.into_parts();
            // The headers that the answer to another site's script needs (CONTRACT 32).
            let of_cors = replaced
                .headers()
                .iter()
                .filter(|(name, _)| **name == VARY || name.as_str().starts_with("access-control-"));
            for (name, value) in of_cors {
                answer.headers_mut().append(name.clone(), value.clone());
            }
            ServiceResponse::new(request, answer)
        }
        None => response,
    };
    // The server supports no other protocol, and the framework does not reuse such a connection for another request.
    if response.request().head().connection_type() == ConnectionType::Upgrade {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let RequestIdentity { id, .. } = RequestIdentity::of(response.request());
    let is_strict = is_strict(response.request());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.append(VARY, CHOSEN_BY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_strict {
        headers.insert(STRICT_TRANSPORT_SECURITY, A_YEAR);
    }
    Ok(response)
}

/// Returns whether the browser must use only HTTPS from now on (RFC 6797). Never for `localhost`, where other
/// programs answer on other ports.
fn is_strict(request: &HttpRequest) -> bool {
    if !request.app_data::<Data<App>>().is_some_and(|app| app.sends_hsts) {
        return false;
    }
    let host = request.uri().host().or_else(|| request.headers().get(HOST)?.to_str().ok());
    let host = host.unwrap_or_default().split(':').next().unwrap_or_default().to_lowercase();
    host != "localhost" && !host.ends_with(".localhost")
}

/// Converts an error that actix-web raised, such as for a truncated body.
fn from_framework(error: &actix_web::Error) -> Problem {
    let status = error.as_response_error().status_code();
    if status.is_client_error() {
        Problem::new(status, "ArgumentException", Message::new("SR_BAD_REQUEST"))
    } else {
        let cause = std::io::Error::other(error.to_string());
        Problem::internal(&cause)
    }
}
