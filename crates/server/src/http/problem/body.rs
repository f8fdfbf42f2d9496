//! The body of an error: in the type and the language that the request prefers, or as a page.
//!
//! Invariant: the body contains the id that identifies the request in the log, and no other part of the log.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{HeaderValue, WWW_AUTHENTICATE},
    },
    web::Data,
};
use auth::Scheme;
use negotiate::MediaType;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Problem, SEC_FETCH_MODE, SEC_FETCH_SITE, oauth};
use crate::{
    http::{answer, pages, paths::is_oauth, preferences, request_identity::RequestIdentity},
    state::App,
    texts::{Locale, Message},
};

/// An error: why the call was refused. `ErrorMessage` and `Message` have the same content.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ErrorBody {
    /// Always true.
    error: bool,
    /// A stable name of the kind of error.
    #[schema(example = "ArgumentException")]
    error_type: &'static str,
    /// The error, in the language of the request.
    #[schema(example = "TokenManagementInfo.Provider is required.")]
    error_message: String,
    #[schema(example = "Latchkey")]
    error_source: &'static str,
    pub(crate) message: String,
    /// More details, and the id of the request in the server's log.
    pub(crate) message_detail: String,
}

impl ErrorBody {
    fn new(problem: &Problem, request_id: &str, locale: Option<&Locale>) -> Self {
        let message = problem.message.in_words(locale);
        let id = Message::new("SR_REQUEST_ID").with("id", request_id.to_owned());
        let details = problem.details.iter().chain([&id]).map(|message| message.in_words(locale));
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

impl Problem {
    /// Returns the answer: the body, and the headers that belong to the status. Keeps the reason for the log.
    pub(super) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        self.note_for_log(request);
        let locale = preferences::locale(request.headers());
        let accepted = preferences::media_type(request.headers());
        // The error about an unacceptable type cannot be in that type.
        let media_type = match self.status {
            StatusCode::NOT_ACCEPTABLE => MediaType::ApplicationJson,
            _ => accepted.unwrap_or(MediaType::ApplicationJson),
        };
        let body = ErrorBody::new(self, &RequestIdentity::of(request).id, locale.as_ref());
        let mut answer = if is_oauth(request.path()) {
            oauth::answer(self)
        } else if pages::are_preferred(request.headers()) {
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

/// Returns whether a challenge is sent. Four facts decide about Basic:
///
/// - A script in a browser gets no Basic challenge, because the browser would ask for a password in a dialog of its
///   own (CONTRACT 25).
/// - If sessions are off, scripts get it, because they have no other scheme.
/// - OAuth clients need the challenge of the scheme that they used (RFC 6749 §5.2).
/// - OAuth clients in Node send `Sec-Fetch-Mode` without `Sec-Fetch-Site`; a browser sends both.
fn is_offered(scheme: Scheme, app: &App, request: &HttpRequest) -> bool {
    let mode = request.headers().get(SEC_FETCH_MODE);
    let is_script = mode.is_some_and(|mode| mode != "navigate");
    let is_oauth = is_oauth(request.path()) && !request.headers().contains_key(SEC_FETCH_SITE);
    let has_sessions = app.authenticator.policy.is_on(Scheme::Session);
    scheme != Scheme::Basic || is_oauth || !is_script || !has_sessions
}
