//! `GET /healthz` and `GET /readyz`, for whoever supervises the process.
//!
//! Invariant: they need no login and tell nothing but yes or no.

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use serde::Serialize;

use crate::{answer, app::App, problem::Problem};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: &'static str,
}

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> HttpResponse {
    answer::json(StatusCode::OK, &Health { status: "alive" })
}

/// `GET /readyz`: the database answers and the master key opens its sentinel; 503 or 500 if not.
pub(crate) async fn ready(app: Data<App>) -> Result<HttpResponse, Problem> {
    app.store.check().await?;
    Ok(answer::json(StatusCode::OK, &Health { status: "ready" }))
}
