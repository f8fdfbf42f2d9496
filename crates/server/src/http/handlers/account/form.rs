//! Forms of the pages for people.
//!
//! Invariant: a form has at most the bytes of `form_limits`.

use actix_web::{HttpRequest, web::Payload};

use crate::{
    http::{
        extract::{self, HeldBody},
        problem::Problem,
    },
    state::App,
};

/// Reads the body of a short form.
pub(super) async fn read_form(
    app: &App,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HeldBody, Problem> {
    extract::read_body(request, payload, extract::form_limits(app.limits)).await
}
