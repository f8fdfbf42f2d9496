//! Refuses forms of other sites, which a browser sends without asking this server.
//!
//! Invariant: a form that has a password, or acts by a cookie, is read only from this site, so that no other site signs
//! anybody in or out, or tries passwords in a visitor's name.

use actix_web::{HttpRequest, http::header::ORIGIN};

use crate::{
    http::{
        client::PublicOrigin,
        problem::{Problem, SEC_FETCH_SITE},
    },
    state::App,
};

/// Refuses a form that a browser says comes from another site.
pub(crate) fn refuse_other_sites(app: &App, request: &HttpRequest) -> Result<(), Problem> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_own = match (header(SEC_FETCH_SITE), header(ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => PublicOrigin::of(request, app).is_origin(origin),
        (None, None) => true,
    };
    if is_own { Ok(()) } else { Err(Problem::other_site()) }
}
