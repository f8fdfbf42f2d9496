//! Forms of the pages for people.
//!
//! Invariant: a form is short.

use actix_web::{HttpRequest, web::Payload};

use crate::{
    config::Limits,
    http::{
        extract::{self, HeldBody},
        problem::Problem,
    },
    state::App,
};

/// The most bytes that a form may have.
const FORM_BYTES: usize = 16 * 1024;

/// The body of a form, which is short.
pub(super) async fn read_form(
    app: &App,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HeldBody, Problem> {
    let limits = Limits { body_bytes: FORM_BYTES.min(app.limits.body_bytes), ..app.limits };
    extract::read_body(request, payload, limits).await
}
