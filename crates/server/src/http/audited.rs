//! Records each audited request in the audit log.
//!
//! Invariant: every request to an audited route has exactly one event. Its answer is sent after the event is safe, or
//! is replaced by a 503 if the settings say so.

use std::{cell::RefCell, rc::Rc};

use actix_web::{
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
    web::Data,
};

use super::{client::client_address, problem::Problem, request_identity::RequestIdentity, routes};
use crate::{
    audit::{Action, Audit, Details, Event, Outcome, in_call},
    state::App,
};

/// Middleware: records the request, if it is one that is audited.
pub(crate) async fn audited(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let app = request.app_data::<Data<App>>().expect("the app is set up with its state");
    let action = app.audit.is_on().then(|| routes::audits(request.path(), request.method()));
    let Some(action) = action.flatten() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let audit = app.audit.clone();
    if audit.admit().is_err() {
        return Ok(request.error_response(Problem::not_audited()));
    }
    let address = client_address(app, request.request());
    let address = address.or_else(|| request.peer_addr().map(|peer| peer.ip()));
    let RequestIdentity { id, trace } = RequestIdentity::of(request.request());
    let details = Details { address, request: Some(id), trace, ..Details::default() };
    let call =
        Call { audit: &audit, action, details: Rc::new(RefCell::new(details)), is_ended: false };
    let response = match in_call(Rc::clone(&call.details), next.call(request)).await {
        Ok(response) => response,
        Err(error) => {
            let status = error.as_response_error().status_code();
            let _ = audit.record(call.end(status, None)).await;
            return Err(error);
        }
    };
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    let event = call.end(response.status(), problem);
    match audit.record(event).await {
        Ok(()) => Ok(response.map_into_boxed_body()),
        Err(_unrecorded) => Ok(response.error_response(Problem::not_audited())),
    }
}

/// A call under way. If the client leaves before its end, the call is recorded as unanswered.
struct Call<'a> {
    audit: &'a Audit,
    action: Action,
    details: Rc<RefCell<Details>>,
    is_ended: bool,
}

impl Call<'_> {
    fn end(mut self, status: StatusCode, problem: Option<&Problem>) -> Event {
        self.is_ended = true;
        let mut details = self.details.take();
        details.status = Some(status.as_u16());
        if let Some(problem) = problem {
            details.reason = Some(problem.reason().to_owned());
        }
        let outcome = if details.is_withheld { Outcome::Denied } else { outcome_of(status) };
        Event { action: self.action, outcome, details }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            let details = self.details.take();
            let (action, outcome) = (self.action, Outcome::Unanswered);
            self.audit.record_later(Event { action, outcome, details });
        }
    }
}

fn outcome_of(status: StatusCode) -> Outcome {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            Outcome::Denied
        }
        status if status.is_server_error() => Outcome::Failed,
        status if status.is_client_error() => Outcome::Refused,
        _ => Outcome::Success,
    }
}
