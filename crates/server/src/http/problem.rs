//! Errors as the wire has them (CONTRACT 34–36): the only `ResponseError`.
//!
//! Invariant: an error that the client did not cause is logged here, once. The client gets only the request's id.

mod body;
mod causes;
mod finish;
mod oauth;

use std::{borrow::Cow, error::Error};

use actix_web::{
    HttpMessage as _, HttpRequest, ResponseError,
    http::{
        StatusCode,
        header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER},
    },
};
use model::GrantCause;
use negotiate::MediaType;
use provider::InvalidParameter;
use store::Quota;
use tracing::error;

use crate::audit;
use crate::error_text::error_chain;
use crate::grants::{
    AuthorizationError, ConnectError, ExchangeError, GrantError, IntrospectionError, ReplaceError,
};
use crate::texts::{Locale, Message};
pub(crate) use body::ErrorBody;
pub(crate) use finish::finish;
pub(crate) use oauth::OAuthError;

/// Sent by browsers (W3C Fetch Metadata).
pub(crate) const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
pub(crate) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// An error that is sent to the client.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Problem {
    status: StatusCode,
    error_type: &'static str,
    message: Message,
    /// More details. Like the message, they contain no secret value.
    details: Vec<Message>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
    /// Whether a bearer token was rejected, which the challenge then says.
    refuses_bearer: bool,
    /// The error code of the token endpoint, if the status does not imply it.
    oauth_code: Option<&'static str>,
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
            oauth_code: None,
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

    /// 400: a property or a header is not valid. The message names it.
    pub(crate) fn invalid(message: Message) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "ArgumentException", message)
    }

    /// 400: a property is missing or null.
    pub(crate) fn required(property: impl Into<Cow<'static, str>>) -> Self {
        let property = property.into();
        let detail = Message::new("SR_DETAIL_REQUIRED").with("property", property.clone());
        Self::invalid(Message::new("SR_REQUIRED").with("property", property)).with_details([detail])
    }

    /// 400: the body has neither of two properties.
    pub(crate) fn either_required(
        property: impl Into<Cow<'static, str>>,
        other: impl Into<Cow<'static, str>>,
    ) -> Self {
        let message = Message::new("SR_EITHER_REQUIRED").with("property", property.into());
        Self::invalid(message.with("other", other.into()))
    }

    /// 400: both of two names for one thing are given, of which only one is allowed.
    pub(crate) fn not_both(property: &'static str, other: &'static str) -> Self {
        Self::invalid(Message::new("SR_NOT_BOTH").with("property", property).with("other", other))
    }

    /// 400: a text is too long.
    pub(crate) fn too_many_bytes(property: &'static str, limit: usize, found: usize) -> Self {
        let message = Message::new("SR_TOO_MANY_BYTES").with("property", property);
        let detail = Message::new("SR_DETAIL_LENGTH").with("found", found).with("limit", limit);
        Self::invalid(message.with("limit", limit)).with_details([detail])
    }

    /// 400: a text cannot be a PKCE verifier.
    pub(crate) fn no_verifier() -> Self {
        Self::invalid(Message::new("SR_PKCE_VERIFIER"))
    }

    /// 400: a number is too small or too large.
    pub(crate) fn out_of_range(property: &'static str, from: u64, to: u64, found: i64) -> Self {
        let message = Message::new("SR_RANGE").with("property", property);
        let detail = Message::new("SR_DETAIL_FOUND").with("found", found.to_string());
        Self::invalid(message.with("from", from).with("to", to)).with_details([detail])
    }

    /// 403: the caller may not revoke another user's record.
    pub(crate) fn only_owner_revokes() -> Self {
        Self::forbidden(Message::new("SR_ONLY_OWNER_REVOKES"))
    }

    /// 403: the caller may not change the key of another user's record.
    pub(crate) fn only_owner_rekeys() -> Self {
        Self::forbidden(Message::new("SR_ONLY_OWNER_REKEYS"))
    }

    /// 400: a header that may occur only once is repeated.
    pub(crate) fn many_headers(header: &'static str) -> Self {
        Self::invalid(Message::new("SR_MANY_HEADERS").with("header", header))
    }

    /// 400: the host is malformed, or `CONNECT` names another server.
    pub(crate) fn no_host() -> Self {
        Self::invalid(Message::new("SR_NO_HOST"))
    }

    /// 421: this server does not have the host (RFC 9110 §15.5.20).
    pub(crate) fn other_host() -> Self {
        let message = Message::new("SR_OTHER_HOST");
        Self::new(StatusCode::MISDIRECTED_REQUEST, "SoNotFoundException", message)
    }

    /// 400: the body ends too early.
    pub(crate) fn body_broke_off() -> Self {
        Self::invalid(Message::new("SR_BODY_BROKE_OFF"))
    }

    /// 404: the path is not served. `index` is the path of the list of served paths.
    pub(crate) fn no_such_path(index: String) -> Self {
        let message = Message::new("SR_NO_SUCH_PATH").with("index", index);
        Self::new(StatusCode::NOT_FOUND, "SoNotFoundException", message)
    }

    /// 405: the path serves only the methods `allowed`.
    pub(crate) fn method_not_allowed(allowed: &'static str) -> Self {
        let message = Message::new("SR_METHOD_NOT_ALLOWED").with("methods", allowed);
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "NotSupportedException", message)
            .with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// 408: the body does not arrive in time.
    pub(crate) fn too_slow(seconds: u64) -> Self {
        let message = Message::new("SR_TOO_SLOW").with("limit", seconds);
        Self::new(StatusCode::REQUEST_TIMEOUT, "SoLimitException", message)
    }

    /// 403: the caller is authenticated but may not do this.
    fn forbidden(message: Message) -> Self {
        Self::new(StatusCode::FORBIDDEN, "SoSentryException", message)
    }

    /// 403: the agents are closed to the caller (CONTRACT 31).
    pub(crate) fn agent_is_closed() -> Self {
        Self::forbidden(Message::new("SR_AGENT_CLOSED"))
    }

    /// 403: another site sent the form.
    pub(crate) fn other_site() -> Self {
        Self::forbidden(Message::new("SR_OTHER_SITE"))
    }

    /// 413: the body exceeds the limit.
    pub(crate) fn too_long(limit: usize) -> Self {
        let message = Message::new("SR_BODY_TOO_LONG").with("limit", limit);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SoLimitException", message)
    }

    /// 422: the idempotency key belongs to another call (CONTRACT 43).
    fn other_call() -> Self {
        let message = Message::new("SR_IDEMPOTENCY_KEY_USED");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "InvalidOperationException", message)
    }

    /// 403: the user has reached its limit of rows (CONTRACT 35). A retry alone does not help.
    fn quota_reached(quota: Quota) -> Self {
        let (name, limit) = match quota {
            Quota::Records(limit) => ("SR_QUOTA_RECORDS", limit),
            Quota::IdempotencyKeys(limit) => ("SR_QUOTA_IDEMPOTENCY_KEYS", limit),
        };
        let message = Message::new(name).with("limit", limit);
        Self::new(StatusCode::FORBIDDEN, "SoLimitException", message)
    }

    /// 429: there were too many wrong passwords.
    fn throttled(seconds: u64) -> Self {
        let message = Message::new("SR_THROTTLED").with("limit", seconds);
        Self::new(StatusCode::TOO_MANY_REQUESTS, "SoLimitException", message)
            .with(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Converts the reason why there are no fresh tokens of a provider (CONTRACT 47).
    pub(crate) fn of_grant(error: GrantError, provider: String) -> Self {
        let of = |name, cause: GrantCause| {
            Message::new(name).with("provider", provider).with("cause", cause.to_string())
        };
        match error {
            GrantError::Dead(cause) => {
                let status = StatusCode::FAILED_DEPENDENCY;
                Self::new(status, "SoGrantException", of("SR_GRANT_DEAD", cause))
            }
            GrantError::Blocked(cause) => {
                let status = StatusCode::BAD_GATEWAY;
                Self::new(status, "SoProviderException", of("SR_GRANT_BLOCKED", cause))
            }
            GrantError::Failing { cause, retry_after } => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Self::new(status, "SoUnavailableException", of("SR_GRANT_FAILING", cause))
                    .with(RETRY_AFTER, HeaderValue::from(retry_after))
            }
            GrantError::Paused => Self::unavailable("SR_GRANTS_PAUSED"),
            GrantError::Busy => Self::unavailable("SR_GRANT_BUSY"),
            GrantError::Unsaved => Self::unavailable("SR_GRANT_UNSAVED"),
            GrantError::TooMany { retry_after } => {
                let message = Message::new("SR_REFRESHES_LIMIT").with("limit", retry_after);
                Self::new(StatusCode::TOO_MANY_REQUESTS, "SoLimitException", message)
                    .with(RETRY_AFTER, HeaderValue::from(retry_after))
            }
            GrantError::Store(error) => error.into(),
        }
    }

    /// Converts the reason why a code was not exchanged at a provider (CONTRACT O4).
    pub(crate) fn of_exchange(error: ExchangeError, provider: String) -> Self {
        let of = |name| Message::new(name).with("provider", provider.clone());
        match error {
            ExchangeError::Connect(error) => Self::of_connect(error, provider),
            ExchangeError::State => Self::invalid(Message::new("SR_STATE")),
            ExchangeError::Issuer => Self::invalid(of("SR_ISSUER")),
            ExchangeError::OtherUser => Self::conflict(of("SR_OTHER_USER")),
            ExchangeError::CodeSent => Self::invalid(of("SR_CODE_SENT")),
            ExchangeError::Refused(cause) => {
                Self::invalid(of("SR_CODE_REFUSED").with("cause", cause.to_string()))
            }
            ExchangeError::Lost(cause) => {
                let message = of("SR_CODE_LOST").with("cause", cause.to_string());
                Self::new(StatusCode::BAD_GATEWAY, "SoProviderException", message)
            }
            ExchangeError::Unsaved => {
                let message = of("SR_CODE_UNSAVED");
                Self::new(StatusCode::BAD_GATEWAY, "SoProviderException", message)
            }
            ExchangeError::IdToken => Self::invalid(of("SR_ID_TOKEN")),
            ExchangeError::NoIdToken => Self::invalid(of("SR_NO_ID_TOKEN")),
            ExchangeError::Nonce => Self::invalid(of("SR_NONCE")),
            ExchangeError::Grant(error) => Self::of_grant(error, provider),
        }
    }

    /// Converts the reason why a provider did not answer whether a token works (CONTRACT O17).
    pub(crate) fn of_introspection(error: IntrospectionError, provider: String) -> Self {
        match error {
            IntrospectionError::NotSupported => {
                Self::invalid(Message::new("SR_NO_INTROSPECTION").with("provider", provider))
            }
            IntrospectionError::Grant(error) => Self::of_grant(error, provider),
        }
    }

    /// Converts the reason why a user cannot be connected to a provider (CONTRACT O4, O12).
    pub(crate) fn of_connect(error: ConnectError, provider: String) -> Self {
        match error {
            ConnectError::UnknownProvider => Self::invalid(Message::new("SR_PROVIDER")),
            ConnectError::UnknownRedirect => {
                Self::invalid(Message::new("SR_REDIRECT_URI").with("provider", provider))
            }
            ConnectError::Parameter(
                InvalidParameter::Missing { name, allowed }
                | InvalidParameter::NotAllowed { name, allowed },
            ) => {
                let message = Message::new("SR_PARAMETER").with("name", name);
                Self::invalid(message.with("allowed", allowed))
            }
            ConnectError::Parameter(InvalidParameter::Unknown { known }) => {
                Self::invalid(Message::new("SR_UNKNOWN_PARAMETER").with("known", known))
            }
            ConnectError::UnknownKey => Self::invalid(Message::new("SR_NOTHING_TO_RECONNECT")),
            ConnectError::Record(error) => Self::of_replace(error),
        }
    }

    /// Converts the reason why there is no URL at which a user consents (CONTRACT O12).
    pub(crate) fn of_authorization(error: AuthorizationError, provider: String) -> Self {
        match error {
            AuthorizationError::Connect(error) => Self::of_connect(error, provider),
            AuthorizationError::NoEndpoint => {
                let message = Message::new("SR_NO_AUTHORIZATION_ENDPOINT");
                Self::invalid(message.with("provider", provider))
            }
            AuthorizationError::Grant(error) => Self::of_grant(error, provider),
        }
    }

    /// Converts the reason why the tokens of a record were not replaced (CONTRACT O4, O14).
    pub(crate) fn of_replace(error: ReplaceError) -> Self {
        match error {
            ReplaceError::NotOwner => Self::forbidden(Message::new("SR_ONLY_OWNER_REPLACES")),
            ReplaceError::OtherProvider => Self::invalid(Message::new("SR_OTHER_PROVIDER")),
            ReplaceError::OtherGeneration(now) => Self::conflict(
                Message::new("SR_OTHER_GENERATION").with("generation", now.to_string()),
            ),
            ReplaceError::Store(error) => error.into(),
        }
    }

    /// 409: the record does not match the call, or no longer does.
    fn conflict(message: Message) -> Self {
        Self::new(StatusCode::CONFLICT, "SoConflictException", message)
    }

    /// 503: the audit log cannot be written, and the settings say that calls fail then.
    pub(crate) fn not_audited() -> Self {
        Self::unavailable("SR_NOT_AUDITED")
    }

    /// 503: the call needs more than the server may hold.
    pub(crate) fn overloaded() -> Self {
        Self::unavailable("SR_OVERLOADED")
    }

    /// 500: the cause is logged with all its sources.
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

    /// Returns the message in the reader's language.
    pub(crate) fn in_words(&self, locale: Option<&Locale>) -> String {
        self.message.in_words(locale)
    }

    /// Returns the name of the message.
    pub(crate) fn reason(&self) -> &'static str {
        self.message.name()
    }

    /// Returns the message, for use elsewhere.
    pub(crate) fn into_message(self) -> Message {
        self.message
    }

    /// Returns the header that belongs to the status, if there is one.
    pub(crate) fn header(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.header.as_deref()
    }

    /// Keeps the reason of the refusal for the log line about the request.
    pub(crate) fn note_for_log(&self, request: &HttpRequest) {
        audit::note(|details| details.reason = Some(self.reason().to_owned()));
        request
            .extensions_mut()
            .insert(Refusal { name: self.message.name(), reason: self.message.to_string() });
    }
}

/// The reason of a refusal, for the log. Like every problem it contains no value from the client.
pub(crate) struct Refusal {
    /// The name of the message.
    pub(crate) name: &'static str,
    pub(crate) reason: String,
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }
}

/// Returns the types that requests may have, as `Accept-Post` lists them.
pub(crate) fn types_read() -> String {
    list(MediaType::READ)
}

/// The names of types, as headers list them.
pub(crate) fn list(types: &[MediaType]) -> String {
    let names: Vec<&str> = types.iter().map(|media_type| media_type.essence()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::StoreError;

    /// CONTRACT 35: a caller that meets a full queue may retry.
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
