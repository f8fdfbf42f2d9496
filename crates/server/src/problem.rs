//! Errors as the wire has them (CONTRACT 34–36): the only `ResponseError`.
//!
//! Invariant: a problem holds text of this project's own and names of properties, never a value that
//! a client sent or the database holds. What is not the client's fault is logged here, once, and
//! tells the client nothing but the request's id.

use std::error::Error;

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse, ResponseError,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{
            ALLOW, CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
};
use auth::AuthError;
use model::{InvalidCarrier, MalformedKey};
use negotiate::{
    MediaType, UnsupportedMediaType,
    body::{Malformed, WrongType},
};
use serde::Serialize;
use store::StoreError;
use tracing::error;
use tracing_actix_web::RequestId;

use crate::answer;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// An error on its way to the client.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    status: StatusCode,
    error_type: &'static str,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(status: StatusCode, error_type: &'static str, cause: impl ToString) -> Self {
        Self { status, error_type, message: sentence(&cause.to_string()), header: None }
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// 400; the cause names the property.
    pub(crate) fn invalid(cause: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ArgumentException", cause)
    }

    /// 400 for a property that is missing or null.
    pub(crate) fn required(property: &str) -> Self {
        Self::invalid(format_args!("{property} is required"))
    }

    /// 404 for a path that nothing is served on.
    pub(crate) fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "SoNotFoundException",
            "nothing is served on this path; the operations are below /api/v1/Agents/User/",
        )
    }

    /// 405 for a path that serves only the methods `allowed`.
    pub(crate) fn method_not_allowed(allowed: &'static str) -> Self {
        let cause = format_args!("this path serves only {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "NotSupportedException", cause)
            .with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// 408 for a body that does not arrive.
    pub(crate) fn too_slow(seconds: u64) -> Self {
        let cause = format_args!("the body did not arrive within {seconds} seconds");
        Self::new(StatusCode::REQUEST_TIMEOUT, "SoLimitException", cause)
    }

    /// 413 for a body over the limit.
    pub(crate) fn too_large(limit: usize) -> Self {
        let cause = format_args!("the body is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SoLimitException", cause)
    }

    /// 415 for a body that was compressed.
    pub(crate) fn content_encoding() -> Self {
        let cause = "a compressed body is not read here; send it without Content-Encoding";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "NotSupportedException", cause)
    }

    /// 500; the cause goes to the log with all its sources.
    pub(crate) fn internal(cause: &(dyn Error + 'static)) -> Self {
        error!(error = chain(cause), "internal error");
        let told =
            "something went wrong in the server; its log has the cause under this request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "SoServerException", told)
    }

    fn unavailable(cause: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "SoUnavailableException", cause)
            .with(RETRY_AFTER, RETRY_SECONDS)
    }

    /// The answer: body, and the header that belongs to the status. Leaves word for the log.
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        request.extensions_mut().insert(Refusal(self.message.clone()));
        let id = request.extensions().get::<RequestId>().map(|id| format!("Request id: {id}"));
        let body = Body {
            error: true,
            error_type: self.error_type,
            error_message: &self.message,
            error_source: "Latchkey",
            message: &self.message,
            message_detail: id.as_deref().unwrap_or_default(),
        };
        let mut answer = answer::json(self.status, &body);
        if let Some((name, value)) = &self.header {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
        answer
    }
}

/// Why a request was refused, for the log; like every problem it holds no value of the client's.
pub(crate) struct Refusal(pub(crate) String);

/// The wire's shape (CONTRACT 34).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    error: bool,
    error_type: &'static str,
    error_message: &'a str,
    error_source: &'static str,
    message: &'a str,
    message_detail: &'a str,
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }
}

/// Middleware: gives every error its body, and every answer the headers that all have.
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
        Some(answer) => ServiceResponse::new(response.into_parts().0, answer),
        None => response,
    };
    let id = response.request().extensions().get::<RequestId>().map(ToString::to_string);
    let headers = response.headers_mut();
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// An error that actix-web raised by itself, such as a body that broke off.
fn from_framework(error: &actix_web::Error) -> Problem {
    let status = error.as_response_error().status_code();
    if status.is_client_error() {
        let cause = status.canonical_reason().unwrap_or("bad request");
        Problem::new(status, "ArgumentException", cause)
    } else {
        let cause = std::io::Error::other(error.to_string());
        Problem::internal(&cause)
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing
            | AuthError::Malformed(_)
            | AuthError::UnsupportedScheme
            | AuthError::Refused
            | AuthError::InvalidTicket => {
                Self::new(StatusCode::UNAUTHORIZED, "SoSessionException", error)
                    .with(WWW_AUTHENTICATE, HeaderValue::from_static(auth::CHALLENGE))
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => {
                Self::unavailable("the server is overloaded and has saved nothing; try again")
            }
            StoreError::Unavailable(_) => {
                error!(error = chain(&error), "the database is unavailable");
                Self::unavailable("the database is unavailable and nothing was saved; try again")
            }
            StoreError::Closed => Self::unavailable("the server is stopping and has saved nothing"),
            StoreError::Conflict(_)
            | StoreError::Damaged(_)
            | StoreError::Sentinel
            | StoreError::Query(_) => Self::internal(&error),
        }
    }
}

impl From<UnsupportedMediaType> for Problem {
    fn from(error: UnsupportedMediaType) -> Self {
        let cause = format_args!("{error}; send application/json in utf-8");
        let problem = Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "NotSupportedException", cause);
        let types = MediaType::ALL.map(MediaType::essence).join(", ");
        match HeaderValue::from_str(&types) {
            Ok(types) => problem.with(ACCEPT_POST, types),
            Err(_) => problem,
        }
    }
}

impl From<Malformed> for Problem {
    fn from(error: Malformed) -> Self {
        Self::invalid(error)
    }
}

impl From<WrongType> for Problem {
    fn from(error: WrongType) -> Self {
        Self::invalid(error)
    }
}

impl From<InvalidCarrier> for Problem {
    fn from(error: InvalidCarrier) -> Self {
        Self::invalid(error)
    }
}

impl From<MalformedKey> for Problem {
    fn from(error: MalformedKey) -> Self {
        Self::invalid(format_args!("Key {error}"))
    }
}

/// Error texts are lower case without a full stop; people read sentences.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), characters.as_str())
}

/// An error with all its sources.
fn chain(error: &(dyn Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONTRACT 35: whoever meets a full queue is told to come back.
    #[test]
    fn an_overload_is_a_503_with_retry_after() {
        for error in [StoreError::Overloaded, StoreError::Closed] {
            let problem = Problem::from(error);
            assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(problem.header, Some((RETRY_AFTER, HeaderValue::from_static("1"))));
        }
    }

    #[test]
    fn messages_are_sentences() {
        assert_eq!(sentence("TokenManagementInfo is required"), "TokenManagementInfo is required.");
        assert_eq!(sentence("the body broke off"), "The body broke off.");
    }
}
