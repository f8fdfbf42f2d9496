//! Errors as the wire has them (CONTRACT 34–36): the only `ResponseError`.
//!
//! Invariant: what is not the client's fault is logged here, once, and tells the client nothing but
//! the request's id. An error is answered in the type and language that the request asks for, as far
//! as they can be had.

mod causes;

use std::{borrow::Cow, error::Error};

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse, ResponseError,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, StatusCode,
        header::{
            ALLOW, CACHE_CONTROL, HOST, HeaderName, HeaderValue, RETRY_AFTER,
            STRICT_TRANSPORT_SECURITY, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    web::Data,
};
use auth::Scheme;
use negotiate::MediaType;
use serde::Serialize;
use store::Quota;
use tracing::error;
use tracing_actix_web::RequestId;
use utoipa::ToSchema;

use crate::{
    http::{answer, pages, preferences},
    state::App,
    texts::{Locale, Message},
};

/// Sent by browsers (W3C Fetch Metadata).
pub(crate) const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");
const A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// The headers that choose how an answer is written (CONTRACT 15).
const CHOSEN_BY: HeaderValue =
    HeaderValue::from_static("Accept, Accept-Language, SO-Language, SO-Culture, SO-TimeZone");

/// An error on its way to the client.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    status: StatusCode,
    error_type: &'static str,
    message: Message,
    /// What more there is to say about it; like the message, no value that is secret.
    details: Vec<Message>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
    /// Whether it is a bearer token that lets nobody in, which its challenge is to say.
    refuses_bearer: bool,
}

impl Problem {
    fn new(status: StatusCode, error_type: &'static str, message: Message) -> Self {
        Self {
            status,
            error_type,
            message,
            details: Vec::new(),
            header: None,
            refuses_bearer: false,
        }
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    fn with_details(self, details: impl IntoIterator<Item = Message>) -> Self {
        Self { details: details.into_iter().collect(), ..self }
    }

    fn with_list(self, name: HeaderName, list: &str) -> Self {
        match HeaderValue::from_str(list) {
            Ok(value) => self.with(name, value),
            Err(_) => self,
        }
    }

    /// 400; the message names the property or the header.
    pub(crate) fn invalid(message: Message) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ArgumentException", message)
    }

    /// 400 for a property that is missing or null.
    pub(crate) fn required(property: impl Into<Cow<'static, str>>) -> Self {
        let property = property.into();
        let detail = Message::new("SR_DETAIL_REQUIRED").with("property", property.clone());
        Self::invalid(Message::new("SR_REQUIRED").with("property", property)).with_details([detail])
    }

    /// 400 for two properties of which one is to be given: there is neither, or both.
    pub(crate) fn one_of(name: &'static str, other: &'static str, are_both: bool) -> Self {
        let name_of_message = if are_both { "SR_NOT_BOTH" } else { "SR_TOKEN_REQUIRED" };
        Self::invalid(Message::new(name_of_message).with("property", name).with("other", other))
    }

    /// 400 for a number that is too small or too large.
    pub(crate) fn out_of_range(property: &'static str, from: u64, to: u64, found: i64) -> Self {
        let message = Message::new("SR_RANGE").with("property", property);
        let detail = Message::new("SR_DETAIL_FOUND").with("found", found.to_string());
        Self::invalid(message.with("from", from).with("to", to)).with_details([detail])
    }

    /// 403 for who would revoke what belongs to another.
    pub(crate) fn only_owner_revokes() -> Self {
        Self::forbidden(Message::new("SR_ONLY_OWNER_REVOKES"))
    }

    /// 400 for a header that may be there only once.
    pub(crate) fn many_headers(header: &'static str) -> Self {
        Self::invalid(Message::new("SR_MANY_HEADERS").with("header", header))
    }

    /// 400 for a host that is none, or that is another server's.
    pub(crate) fn no_host() -> Self {
        Self::invalid(Message::new("SR_NO_HOST"))
    }

    /// 421 for a host that this server does not have (RFC 9110 §15.5.20).
    pub(crate) fn other_host() -> Self {
        let message = Message::new("SR_OTHER_HOST");
        Self::new(StatusCode::MISDIRECTED_REQUEST, "SoNotFoundException", message)
    }

    /// 400 for a body that ends before it should.
    pub(crate) fn body_broke_off() -> Self {
        Self::invalid(Message::new("SR_BODY_BROKE_OFF"))
    }

    /// 404 for a path that nothing is served on; what is, stands at the path `index`.
    pub(crate) fn no_such_path(index: String) -> Self {
        let message = Message::new("SR_NO_SUCH_PATH").with("index", index);
        Self::new(StatusCode::NOT_FOUND, "SoNotFoundException", message)
    }

    /// 405 for a path that serves only the methods `allowed`.
    pub(crate) fn method_not_allowed(allowed: &'static str) -> Self {
        let message = Message::new("SR_METHOD_NOT_ALLOWED").with("methods", allowed);
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "NotSupportedException", message)
            .with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// 408 for a body that does not arrive.
    pub(crate) fn too_slow(seconds: u64) -> Self {
        let message = Message::new("SR_TOO_SLOW").with("limit", seconds);
        Self::new(StatusCode::REQUEST_TIMEOUT, "SoLimitException", message)
    }

    /// 403 for a caller that is known but may not do this.
    fn forbidden(message: Message) -> Self {
        Self::new(StatusCode::FORBIDDEN, "SoSentryException", message)
    }

    /// 403 for a caller to whom the agents are closed (CONTRACT 31).
    pub(crate) fn agent_is_closed() -> Self {
        Self::forbidden(Message::new("SR_AGENT_CLOSED"))
    }

    /// 403 for a form that another site sent.
    pub(crate) fn other_site() -> Self {
        Self::forbidden(Message::new("SR_OTHER_SITE"))
    }

    /// 413 for a body over the limit.
    pub(crate) fn too_long(limit: usize) -> Self {
        let message = Message::new("SR_BODY_TOO_LONG").with("limit", limit);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SoLimitException", message)
    }

    /// 422 for a save under the idempotency key of another one (CONTRACT 43).
    fn other_carrier() -> Self {
        let message = Message::new("SR_IDEMPOTENCY_KEY_USED");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "InvalidOperationException", message)
    }

    /// 403 for a user that has as many rows as it may have (CONTRACT 35). Trying again does not help by itself.
    fn quota_reached(quota: Quota) -> Self {
        let (name, limit) = match quota {
            Quota::Records(limit) => ("SR_QUOTA_RECORDS", limit),
            Quota::IdempotencyKeys(limit) => ("SR_QUOTA_IDEMPOTENCY_KEYS", limit),
        };
        let message = Message::new(name).with("limit", limit);
        Self::new(StatusCode::FORBIDDEN, "SoLimitException", message)
    }

    /// 429 after too many wrong passwords.
    fn throttled(seconds: u64) -> Self {
        let message = Message::new("SR_THROTTLED").with("limit", seconds);
        Self::new(StatusCode::TOO_MANY_REQUESTS, "SoLimitException", message)
            .with(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// 503 for what is more than the server may hold.
    pub(crate) fn overloaded() -> Self {
        Self::unavailable("SR_OVERLOADED")
    }

    /// 500; the cause goes to the log with all its sources.
    pub(crate) fn internal(cause: &(dyn Error + 'static)) -> Self {
        error!(error = error_chain(cause), "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "SoServerException",
            Message::new("SR_INTERNAL"),
        )
    }

    fn not_acceptable(message: Message) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotSupportedException", message)
    }

    fn unsupported(message: Message) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "NotSupportedException", message)
    }

    fn unavailable(name: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "SoUnavailableException", Message::new(name))
            .with(RETRY_AFTER, RETRY_SECONDS)
    }

    /// What is wrong, in the words of the reader.
    pub(crate) fn in_words(&self, locale: Option<&Locale>) -> String {
        self.message.in_words(locale)
    }

    /// The header that belongs to the status, if there is one.
    pub(crate) fn header(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.header.as_deref()
    }

    /// Leaves word for the log.
    pub(crate) fn leave_word(&self, request: &HttpRequest) {
        request.extensions_mut().insert(Refusal(self.message.to_string()));
    }

    /// The answer: body, and the header that belongs to the status. Leaves word for the log.
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        self.leave_word(request);
        let locale = preferences::locale(request.headers());
        let accepted = preferences::media_type(request.headers());
        // A refusal of the type itself cannot be told in that type.
        let media_type = match self.status {
            StatusCode::NOT_ACCEPTABLE => MediaType::ApplicationJson,
            _ => accepted.unwrap_or(MediaType::ApplicationJson),
        };
        let body = ErrorBody::new(self, request_id(request).as_deref(), locale.as_ref());
        let mut answer = if pages::are_preferred(request.headers()) {
            pages::problem(request, self.status, &body, locale.as_ref())
        } else {
            answer::error(self.status, media_type, &body)
        };
        if let Some((name, value)) = self.header.as_deref() {
            answer.headers_mut().insert(name.clone(), value.clone());
        }
        if self.status == StatusCode::UNAUTHORIZED
            && let Some(app) = request.app_data::<Data<App>>()
        {
            let challenges = app.authenticator.policy.challenges(self.refuses_bearer);
            for (_, challenge) in challenges.filter(|(scheme, _)| is_offered(*scheme, app, request))
            {
                let challenge = HeaderValue::from_static(challenge);
                answer.headers_mut().append(WWW_AUTHENTICATE, challenge);
            }
        }
        answer
    }
}

/// Basic is not offered to a script in a browser, which would ask for a password in a dialog of its own
/// instead of telling the script (CONTRACT 25); unless scripts have no other way in.
fn is_offered(scheme: Scheme, app: &App, request: &HttpRequest) -> bool {
    let mode = request.headers().get(SEC_FETCH_MODE);
    let is_script = mode.is_some_and(|mode| mode != "navigate");
    scheme != Scheme::Basic || !is_script || !app.authenticator.policy.is_on(Scheme::Session)
}

/// Why a request was refused, for the log; like every problem it holds no value of the client's.
pub(crate) struct Refusal(pub(crate) String);

/// An error: why the call was refused. `ErrorMessage` and `Message` are the same.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ErrorBody {
    /// Always true.
    error: bool,
    /// A stable name of the kind of error.
    #[schema(example = "ArgumentException")]
    error_type: &'static str,
    /// What is wrong, in the language of the request.
    #[schema(example = "TokenManagementInfo.Provider is required.")]
    error_message: String,
    #[schema(example = "Latchkey")]
    error_source: &'static str,
    pub(crate) message: String,
    /// What more there is to say, and the id under which the server's log has the request.
    pub(crate) message_detail: String,
}

impl ErrorBody {
    fn new(problem: &Problem, request_id: Option<&str>, locale: Option<&Locale>) -> Self {
        let message = problem.message.in_words(locale);
        let id = request_id.map(|id| Message::new("SR_REQUEST_ID").with("id", id.to_owned()));
        let details = problem.details.iter().chain(&id).map(|message| message.in_words(locale));
        Self {
            error: true,
            error_type: problem.error_type,
            error_message: message.clone(),
            error_source: "Latchkey",
            message,
            message_detail: details.collect::<Vec<_>>().join(" "),
        }
    }
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
        Some(mut answer) => {
            let (request, replaced) = response.into_parts();
            // What the answer to another site's script must have (CONTRACT 32).
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
    // No other protocol is spoken here, and the framework keeps no such connection for another request.
    if response.request().head().connection_type() == ConnectionType::Upgrade {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let id = request_id(response.request());
    let is_strict = is_strict(response.request());
    let headers = response.headers_mut();
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
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

/// Whether the browser is to come back by HTTPS alone (RFC 6797); never to `localhost`, where other programs
/// answer on other ports.
fn is_strict(request: &HttpRequest) -> bool {
    if !request.app_data::<Data<App>>().is_some_and(|app| app.sends_hsts) {
        return false;
    }
    let host = request.uri().host().or_else(|| request.headers().get(HOST)?.to_str().ok());
    let host = host.unwrap_or_default().split(':').next().unwrap_or_default().to_lowercase();
    host != "localhost" && !host.ends_with(".localhost")
}

fn request_id(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<RequestId>().map(ToString::to_string)
}

/// An error that actix-web raised by itself, such as a body that broke off.
fn from_framework(error: &actix_web::Error) -> Problem {
    let status = error.as_response_error().status_code();
    if status.is_client_error() {
        Problem::new(status, "ArgumentException", Message::new("SR_BAD_REQUEST"))
    } else {
        let cause = std::io::Error::other(error.to_string());
        Problem::internal(&cause)
    }
}

/// What requests may have, as `Accept-Post` lists it.
pub(crate) fn types_read() -> String {
    MediaType::READ.map(MediaType::essence).join(", ")
}

/// An error with all its sources.
pub(crate) fn error_chain(error: &(dyn Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::StoreError;

    /// CONTRACT 35: whoever meets a full queue is told to come back.
    #[test]
    fn an_overload_is_a_503_with_retry_after() {
        for error in [StoreError::Overloaded, StoreError::Closed] {
            let problem = Problem::from(error);
            assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
            let retry = (RETRY_AFTER, HeaderValue::from_static("1"));
            assert_eq!(problem.header.as_deref(), Some(&retry));
        }
    }
}
