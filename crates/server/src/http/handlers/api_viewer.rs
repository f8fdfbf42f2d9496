//! Swagger UI, to read the API and to try it (CONTRACT O7).
//!
//! Invariant: every file of the viewer comes from this process. Its policy lets a browser load from no other origin.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CONTENT_SECURITY_POLICY, LOCATION},
    web::{Bytes, Data, Path},
};
use utoipa_swagger_ui::Config;

use crate::http::{
    mount::{Mount, Paths},
    paths::{DOCS, DOCS_FILE},
    problem::Problem,
};

const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The document, by its path relative to the viewer. It is not validated by another host.
static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("../openapi.json").validator_url("none")));

/// `GET /api/docs`: redirects to the folder of the viewer's files.
#[utoipa::path(
    get,
    path = DOCS,
    operation_id = "Viewer",
    summary = "SR_API_VIEWER",
    description = "Redirects to the page on which the API can be read and tried.",
    tag = "API",
    security(()),
    responses((status = 307, description = "To the viewer, in the folder of the same name"))
)]
pub(crate) async fn to_viewer(request: HttpRequest) -> HttpResponse {
    let folder = format!("{}{DOCS}/", Mount::of(&request).base);
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, folder)).finish()
}

/// `GET /api/docs/{file}`: answers a file of the viewer, or the index if none is named.
#[utoipa::path(
    get,
    path = DOCS_FILE,
    operation_id = "ViewerFile",
    summary = "SR_API_VIEWER",
    description = "A file of the page on which the API can be read and tried.",
    tag = "API",
    security(()),
    params(("file" = String, Path, description = "The file's name", example = "index.css")),
    responses((
        status = 200,
        description = "The file",
        content(
            (String = "text/html"),
            (String = "text/css"),
            (String = "text/javascript"),
            (String = "image/png"),
            (String = "application/json")
        )
    ))
)]
pub(crate) async fn viewer(
    request: HttpRequest,
    file: Path<String>,
    paths: Data<Paths>,
) -> Result<HttpResponse, Problem> {
    let found = utoipa_swagger_ui::serve(&file, Arc::clone(&CONFIG));
    let found = found.map_err(|error| Problem::internal(&std::io::Error::other(error.to_string())));
    let file = found?.ok_or_else(|| Problem::no_such_path(paths.index(&request)))?;
    let charset = if file.content_type.starts_with("text/") { "; charset=utf-8" } else { "" };
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Ok(HttpResponse::Ok()
        .content_type(format!("{}{charset}", file.content_type))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(bytes))
}
