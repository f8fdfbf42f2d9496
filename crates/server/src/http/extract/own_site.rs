//! Rejects forms of other sites, which browsers send without a preflight request.
//!
//! Invariant: a form with a password, or one that acts by a cookie, is read only from this site. So no other site can
//! sign a visitor in or out, or try passwords from a visitor's browser.

use actix_web::{HttpRequest, http::header::ORIGIN};

use crate::{
    http::{
        client::PublicOrigin,
        problem::{Problem, SEC_FETCH_SITE},
    },
    state::App,
};

/// Rejects a form that comes from another site according to the browser.
pub(crate) fn refuse_other_sites(app: &App, request: &HttpRequest) -> Result<(), Problem> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_own = match (header(SEC_FETCH_SITE), header(ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => PublicOrigin::of(request, app).is_origin(origin),
        (None, None) => true,
    };
    if is_own { Ok(()) } else { Err(Problem::other_site()) }
}
