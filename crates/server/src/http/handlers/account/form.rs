//! Forms of the pages for people.
//!
//! Invariant: a form is read only from this site, so that no other site signs anybody in or out.

use actix_web::{HttpRequest, http::header::ORIGIN, web::Payload};

use crate::{
    config::Limits,
    http::{
        client::PublicOrigin,
        extract::{self, HeldBody},
        problem::{Problem, SEC_FETCH_SITE},
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

/// Refuses a form that a browser says comes from another site.
pub(super) fn refuse_other_sites(app: &App, request: &HttpRequest) -> Result<(), Problem> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_own = match (header(SEC_FETCH_SITE), header(ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => PublicOrigin::of(request, app).is_origin(origin),
        (None, None) => true,
    };
    if is_own { Ok(()) } else { Err(Problem::other_site()) }
}
