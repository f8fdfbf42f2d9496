//! Forms of the pages for people.
//!
//! Invariant: a form is short.

use actix_web::{HttpRequest, web::Payload};

use crate::{
    http::{
        extract::{self, HeldBody},
        problem::Problem,
    },
    state::App,
};

/// The body of a form, which is short.
pub(super) async fn read_form(
    app: &App,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HeldBody, Problem> {
    extract::read_body(request, payload, extract::form_limits(app.limits)).await
}
