//! What the API is, for people and programs: `GET /api`, `GET /api/v1`, and `GET` on an operation
//! (CONTRACT O5–O7).
//!
//! Invariant: no login is needed and nothing is run. Every path and method comes from the OpenAPI
//! document, so what is not in it is not listed.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION, web::Data};
use askama::Template;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    answer,
    app::App,
    extract::{Preferences, preferences::wording_or_default},
    hosts::Reached,
    openapi::{self, Call},
    pages::{self, Frame},
    paths::{API, API_V1, DOCS, HOME, Mount, OPENAPI},
    problem::Problem,
    texts::{Text, Wording},
};

/// The versions of the API and of the server.
#[derive(Serialize, ToSchema, Template)]
#[template(path = "versions.html")]
pub(crate) struct Versions {
    /// Where version 1 is.
    v1: String,
    /// The version of this server.
    #[serde(rename = "Version")]
    version: &'static str,
    /// What this server is.
    #[serde(rename = "NetServerVersion")]
    build: Build,
    #[serde(skip)]
    viewer: String,
    #[serde(skip)]
    frame: Frame,
    #[serde(skip)]
    words: Words,
}

/// Facts about this build of the server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Build {
    #[schema(example = "Latchkey")]
    product_name: &'static str,
    product_version: &'static str,
    file_version: &'static str,
}

/// `GET` where the server says it is: to the index.
#[utoipa::path(
    get,
    path = HOME,
    operation_id = "Home",
    summary = "SR_API_VERSIONS",
    tag = "API",
    security(()),
    responses((status = 307, description = "To the versions"))
)]
pub(crate) async fn to_index(request: HttpRequest) -> HttpResponse {
    let index = format!("{}{API}", Mount::of(&request).base);
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, index)).finish()
}

/// `GET /api` (CONTRACT O6).
#[utoipa::path(
    get,
    path = API,
    operation_id = "Versions",
    summary = "SR_API_VERSIONS",
    tag = "API",
    security(()),
    responses((status = 200, description = "The versions", body = Versions))
)]
pub(crate) async fn versions(
    request: HttpRequest,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    let version = env!("CARGO_PKG_VERSION");
    let build = Build { product_name: "Latchkey", product_version: version, file_version: version };
    let (v1, viewer) = (url(&request, &app, API_V1), url(&request, &app, DOCS));
    let wording = wording_or_default(request.headers());
    let (frame, words) = (Frame::of(&request, wording.as_ref()), Words::of(wording.as_ref()));
    let versions = Versions { v1, version, build, viewer, frame, words };
    respond(&request, &app, "Api", &versions)
}

/// Each method of a path, and what it does.
type Methods = BTreeMap<&'static str, String>;

#[derive(Serialize, Template)]
#[template(path = "routes.html")]
struct Routes {
    #[serde(flatten)]
    routes: BTreeMap<String, Methods>,
    #[serde(skip)]
    frame: Frame,
    #[serde(skip)]
    words: Words,
}

/// `GET /api/v1` (CONTRACT O7).
#[utoipa::path(
    get,
    path = API_V1,
    operation_id = "Routes",
    summary = "SR_API_ROUTES",
    tag = "API",
    security(()),
    responses((
        status = 200,
        description = "URLs, each with its methods and what they do",
        body = BTreeMap<String, BTreeMap<String, String>>
    ))
)]
pub(crate) async fn routes(request: HttpRequest, app: Data<App>) -> Result<HttpResponse, Problem> {
    let wording = wording_or_default(request.headers());
    let mut routes: BTreeMap<String, Methods> = BTreeMap::new();
    for Call { method, path, summary } in openapi::calls() {
        let methods = routes.entry(url(&request, &app, path)).or_default();
        methods.insert(method, Text::new(summary).in_words(wording.as_ref()));
    }
    let (frame, words) = (Frame::of(&request, wording.as_ref()), Words::of(wording.as_ref()));
    respond(&request, &app, "Routes", &Routes { routes, frame, words })
}

/// What a call does, takes and answers, as OpenAPI describes it.
#[derive(Serialize, Template)]
#[template(path = "operation.html")]
#[serde(rename_all = "PascalCase")]
struct Operation {
    method: &'static str,
    url: String,
    summary: String,
    description: &'static str,
    /// The JSON schema of the request.
    request: Value,
    /// The JSON schema of the answer.
    answer: Value,
    open_api: String,
    #[serde(skip)]
    frame: Frame,
    #[serde(skip)]
    words: Words,
}

impl Operation {
    fn request_schema(&self) -> String {
        format!("{:#}", self.request)
    }

    fn answer_schema(&self) -> String {
        format!("{:#}", self.answer)
    }
}

/// `GET` on an operation: describes it (CONTRACT O5).
pub(crate) async fn describe(
    request: HttpRequest,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    let wording = wording_or_default(request.headers());
    let described = openapi::describe(request.path());
    let described = described.ok_or_else(|| Problem::no_such_path(API_V1.to_owned()))?;
    let operation = Operation {
        method: "POST",
        url: url(&request, &app, described.call.path),
        summary: Text::new(described.call.summary).in_words(wording.as_ref()),
        description: described.description,
        request: described.request,
        answer: described.answer,
        open_api: url(&request, &app, OPENAPI),
        frame: Frame::of(&request, wording.as_ref()),
        words: Words::of(wording.as_ref()),
    };
    respond(&request, &app, "Operation", &operation)
}

/// The words of the pages.
struct Words {
    routes: String,
    viewer: String,
    document: String,
    request: String,
    answer: String,
}

impl Words {
    fn of(wording: Option<&Wording>) -> Self {
        let text = |name| Text::new(name).in_words(wording);
        Self {
            routes: text("SR_API_ROUTES"),
            viewer: text("SR_API_VIEWER"),
            document: text("SR_OPENAPI"),
            request: text("SR_REQUEST"),
            answer: text("SR_ANSWER"),
        }
    }
}

/// Answers HTML to who prefers it, and otherwise as any other call.
fn respond<T: Serialize + Template>(
    request: &HttpRequest,
    app: &App,
    root: &str,
    page: &T,
) -> Result<HttpResponse, Problem> {
    if pages::are_preferred(request.headers()) {
        return pages::html(HttpResponse::Ok(), page);
    }
    answer::write(&Preferences::of(request, &app.base_time_zone)?, root, page)
}

/// The URL of a path, as the client of this request would write it.
fn url(request: &HttpRequest, app: &App, path: &str) -> String {
    let origin = Reached::by(request, app).origin().unwrap_or_default();
    format!("{origin}{}{path}", Mount::of(request).base)
}
