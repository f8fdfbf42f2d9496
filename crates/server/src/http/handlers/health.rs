//! `GET /healthz` and `GET /readyz`, for supervisors of the process.
//!
//! Invariant: they need no login, and reveal only yes or no.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        answer,
        paths::{HEALTH, READINESS},
        problem::Problem,
    },
    state::App,
};

/// The state of the server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Health {
    #[schema(example = "ready")]
    status: &'static str,
}

/// `GET /healthz`: answers as long as the process runs.
#[utoipa::path(
    get,
    path = HEALTH,
    operation_id = "Health",
    summary = "SR_HEALTH",
    description = "Answers as long as the process runs. It does not use the database.",
    tag = "Operation",
    security(()),
    responses((status = 200, description = "The process runs", body = Health))
)]
pub(crate) async fn alive() -> HttpResponse {
    answer::json(&Health { status: "alive" })
}

/// `GET /readyz`: answers 200 if the server can work, and otherwise 503 or 500.
///
/// Writes to the database, at most once a second, and opens the master key's sentinel.
#[utoipa::path(
    get,
    path = READINESS,
    operation_id = "Readiness",
    summary = "SR_READINESS",
    tag = "Operation",
    security(()),
    responses((status = 200, description = "The server can work", body = Health))
)]
pub(crate) async fn ready(app: Data<App>) -> Result<HttpResponse, Problem> {
    app.store.check().await?;
    Ok(answer::json(&Health { status: "ready" }))
}
