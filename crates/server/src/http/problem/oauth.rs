//! Errors of the token endpoint, in the form that OAuth clients read (RFC 6749 §5.2; CONTRACT 63).
//!
//! Invariant: a description contains only characters that the standard allows, and no value that the client sent.

use actix_web::{HttpResponse, http::StatusCode};
use negotiate::MediaType;
use serde::Serialize;
use utoipa::ToSchema;

use super::{ACCEPT_POST, Problem};
use crate::{http::answer, texts::Message};

/// An error of the token endpoint.
#[derive(Serialize, ToSchema)]
pub(crate) struct OAuthError {
    /// One of RFC 6749 §5.2, or `invalid_target` (RFC 8693 §2.2.2), `temporarily_unavailable` or `server_error`.
    #[schema(example = "invalid_grant")]
    error: &'static str,
    /// The error, in English.
    error_description: String,
}

/// Returns the answer, without the headers that belong to the status.
pub(super) fn answer(problem: &Problem) -> HttpResponse {
    let (status, error) = code(problem);
    let messages = [&problem.message].into_iter().chain(&problem.details);
    let messages: Vec<String> = messages.map(ToString::to_string).collect();
    let error_description = messages.join(" ").chars().map(allowed).collect();
    answer::json_of_status(status, &OAuthError { error, error_description })
}

/// Returns the status and the code. For errors of the client the standard has only 400 and 401. The statuses of HTTP
/// itself stay.
fn code(problem: &Problem) -> (StatusCode, &'static str) {
    let status = problem.status;
    match status {
        StatusCode::UNAUTHORIZED => (status, "invalid_client"),
        StatusCode::FORBIDDEN => (StatusCode::BAD_REQUEST, "unauthorized_client"),
        StatusCode::FAILED_DEPENDENCY => (StatusCode::BAD_REQUEST, "invalid_grant"),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            (status, "temporarily_unavailable")
        }
        _ if status.is_server_error() => (status, "server_error"),
        _ => (status, problem.oauth_code.unwrap_or("invalid_request")),
    }
}

/// Returns the character if `error_description` may have it: printable ASCII without `"` and `\`. Otherwise returns a
/// replacement.
fn allowed(character: char) -> char {
    match character {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => character,
        _ => '?',
    }
}

impl Problem {
    fn oauth(code: &'static str, message: Message) -> Self {
        Self { oauth_code: Some(code), ..Self::invalid(message) }
    }

    /// 400: the subject token retrieves no token that can be returned.
    pub(crate) fn invalid_grant(message: &'static str) -> Self {
        Self::oauth("invalid_grant", Message::new(message))
    }

    /// 400: the scopes are not known to be granted.
    pub(crate) fn invalid_scope() -> Self {
        Self::oauth("invalid_scope", Message::new("SR_SCOPE"))
    }

    /// 400: a target is named. A token is valid only for the API of its provider.
    pub(crate) fn invalid_target(parameter: &'static str) -> Self {
        Self { oauth_code: Some("invalid_target"), ..Self::not_supported(parameter) }
    }

    /// 400: the grant type is not the supported one.
    pub(crate) fn unsupported_grant_type(supported: &'static str) -> Self {
        let problem = Self::must_be("grant_type", supported);
        Self { oauth_code: Some("unsupported_grant_type"), ..problem }
    }

    /// 400: a parameter has another value than the only allowed one.
    pub(crate) fn must_be(property: &'static str, expected: &'static str) -> Self {
        let message = Message::new("SR_MUST_BE").with("property", property);
        Self::invalid(message.with("expected", expected))
    }

    /// 400: the parameter is part of the standard, but this server does not support it.
    pub(crate) fn not_supported(property: &'static str) -> Self {
        Self::invalid(Message::new("SR_NOT_SUPPORTED").with("property", property))
    }

    /// 415: the body must be a form, but is not.
    pub(crate) fn no_form() -> Self {
        let form = MediaType::Form.essence();
        let message = Message::new("SR_CONTENT_TYPE").with("types", form);
        Self::unsupported(message).with_list(ACCEPT_POST, form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grants::GrantError;
    use model::CauseKind;
    use store::StoreError;

    /// CONTRACT 63: each kind of error has its code, and a status that OAuth clients expect.
    #[test]
    fn errors_have_the_codes_of_oauth() {
        let of_grant = |error| Problem::of_grant(error, "et".to_owned());
        let dead = GrantError::Dead(CauseKind::InvalidGrant.into());
        let blocked = GrantError::Blocked(CauseKind::InvalidClient.into());
        let failing = GrantError::Failing { cause: CauseKind::Timeout.into(), retry_after: 5 };
        for (problem, status, code) in [
            (Problem::required("grant_type"), 400, "invalid_request"),
            (Problem::invalid_target("audience"), 400, "invalid_target"),
            (Problem::unsupported_grant_type("x"), 400, "unsupported_grant_type"),
            (Problem::invalid_grant("SR_SUBJECT_TOKEN"), 400, "invalid_grant"),
            (auth::AuthError::Refused.into(), 401, "invalid_client"),
            (Problem::agent_is_closed(), 400, "unauthorized_client"),
            (Problem::method_not_allowed("POST"), 405, "invalid_request"),
            (Problem::no_form(), 415, "invalid_request"),
            (of_grant(dead), 400, "invalid_grant"),
            (of_grant(GrantError::TooMany { retry_after: 3 }), 429, "temporarily_unavailable"),
            (StoreError::Sentinel.into(), 500, "server_error"),
            (of_grant(blocked), 502, "server_error"),
            (of_grant(failing), 503, "temporarily_unavailable"),
        ] {
            let found = super::code(&problem);
            assert_eq!((found.0.as_u16(), found.1), (status, code), "{problem}");
        }
    }

    #[test]
    fn a_description_has_the_characters_of_the_standard() {
        let found: String = "é \u{7f}\t\"a\\b\" ~!".chars().map(allowed).collect();
        assert_eq!(found, "? ??'a/b' ~!");
    }
}
