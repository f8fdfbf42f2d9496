//! The description of the API, for people and programs: `GET /api`, `GET /api/v1`, the OpenAPI document, and `GET` on
//! an operation (CONTRACT O5–O7).
//!
//! Invariant: no call here needs a login or runs an operation. Every listed path and method comes from the OpenAPI
//! document.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION, web::Data};
use askama::Template;
use jiff::Timestamp;
use negotiate::MediaType;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    http::{
        answer,
        client::PublicOrigin,
        mount::{Mount, Paths},
        openapi::{self, Call},
        pages::{self, Frame},
        paths::{API, API_V1, DOCS, HOME, OPENAPI},
        preferences::{Preferences, locale, media_type},
        problem::Problem,
    },
    state::App,
    texts::{Locale, Message},
};

/// The day of the release, unless the build sets another (`SOURCE_DATE_EPOCH`). It is never the machine's clock, so
/// that the same sources build the same server.
const RELEASED: &str = "2026-11-28";

/// The versions of the API and of the server. All values are texts, because SuperOffice's C# client reads a
/// dictionary of texts.
#[derive(Serialize, ToSchema, Template)]
#[template(path = "versions.html")]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Versions {
    /// The URL of version 1.
    #[serde(rename = "v1")]
    v1: String,
    /// The version of the API.
    #[schema(example = "v1")]
    version: &'static str,
    /// The version of this server.
    net_server_version: &'static str,
    /// The same version, as four numbers.
    net_server_assembly: String,
    /// The day of the release.
    #[schema(example = "2026-11-28")]
    net_server_date: String,
    /// The name of this server.
    #[schema(example = "Latchkey")]
    net_server_label: &'static str,
    /// The name of this server, with its version.
    net_server: String,
    /// The served version of the API.
    #[schema(example = "v1")]
    services: &'static str,
    /// The URL of that version.
    services_current: String,
    #[serde(skip)]
    viewer: String,
    #[serde(skip)]
    frame: Frame,
    #[serde(skip)]
    words: Words,
}

/// `GET` on the base URL: redirects to the index.
#[utoipa::path(
    get,
    path = HOME,
    operation_id = "Home",
    summary = "SR_API_VERSIONS",
    description = "Redirects to the index, `GET /api`.",
    tag = "API",
    security(()),
    responses((status = 307, description = "To the versions"))
)]
pub(crate) async fn to_index(request: HttpRequest) -> HttpResponse {
    let index = format!("{}{API}", Mount::of(&request).base);
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, index)).finish()
}

/// `GET /api`: answers the versions (CONTRACT O6).
#[utoipa::path(
    get,
    path = API,
    operation_id = "Versions",
    summary = "SR_API_VERSIONS",
    description = "Answers the URLs of the API and the version of the server.",
    tag = "API",
    security(()),
    responses((status = 200, description = "The versions", body = Versions))
)]
pub(crate) async fn versions(
    request: HttpRequest,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    let (name, version) = ("Latchkey", env!("CARGO_PKG_VERSION"));
    let v1 = url(&request, &app, API_V1);
    let locale = locale(request.headers());
    let versions = Versions {
        v1: v1.clone(),
        version: "v1",
        net_server_version: version,
        net_server_assembly: format!("{version}.0"),
        net_server_date: released(option_env!("SOURCE_DATE_EPOCH")),
        net_server_label: name,
        net_server: format!("{name} {version}"),
        services: "v1",
        services_current: v1,
        viewer: url(&request, &app, DOCS),
        frame: Frame::of(&request, locale.as_ref()),
        words: Words::of(locale.as_ref()),
    };
    respond(&request, &app, "Api", &versions)
}

/// Returns the day of the release. `epoch` is the number of seconds since 1970 that a build may set.
fn released(epoch: Option<&str>) -> String {
    let epoch = epoch.and_then(|seconds| Timestamp::from_second(seconds.parse().ok()?).ok());
    epoch.map_or_else(|| RELEASED.to_owned(), |moment| moment.strftime("%Y-%m-%d").to_string())
}

/// Each method of a path, with its summary.
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

/// `GET /api/v1`: lists the served URLs (CONTRACT O7).
#[utoipa::path(
    get,
    path = API_V1,
    operation_id = "Routes",
    summary = "SR_API_ROUTES",
    description = "Lists every served URL with its methods.",
    tag = "API",
    security(()),
    responses((
        status = 200,
        description = "URLs, each with its methods and their summaries",
        body = BTreeMap<String, BTreeMap<String, String>>
    ))
)]
pub(crate) async fn routes(
    request: HttpRequest,
    app: Data<App>,
    paths: Data<Paths>,
) -> Result<HttpResponse, Problem> {
    let locale = locale(request.headers());
    let mut routes: BTreeMap<String, Methods> = BTreeMap::new();
    for Call { method, path, summary } in openapi::calls().filter(|call| paths.serves(call.path)) {
        let methods = routes.entry(url(&request, &app, path)).or_default();
        methods.insert(method, Message::new(summary).in_words(locale.as_ref()));
    }
    let (frame, words) = (Frame::of(&request, locale.as_ref()), Words::of(locale.as_ref()));
    respond(&request, &app, "Routes", &Routes { routes, frame, words })
}

/// `GET /api/openapi.json`: answers the OpenAPI document.
#[utoipa::path(
    get,
    path = OPENAPI,
    operation_id = "OpenApi",
    summary = "SR_OPENAPI",
    description = "This document.",
    tag = "API",
    security(()),
    responses((status = 200, description = "The document", body = serde_json::Value))
)]
pub(crate) async fn document(
    request: HttpRequest,
    app: Data<App>,
    paths: Data<Paths>,
) -> HttpResponse {
    let (base, token_bytes) = (Mount::of(&request).base, app.limits.token_bytes);
    answer::json(&openapi::document_below(&paths, &base, token_bytes))
}

/// The description of a call, its request and its answer, as in OpenAPI.
#[derive(Serialize, ToSchema, Template)]
#[template(path = "operation.html")]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Operation {
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
    let locale = locale(request.headers());
    let described = openapi::describe(request.path());
    let described = described.ok_or_else(|| Problem::no_such_path(API_V1.to_owned()))?;
    let operation = Operation {
        method: "POST",
        url: url(&request, &app, described.call.path),
        summary: Message::new(described.call.summary).in_words(locale.as_ref()),
        description: described.description,
        request: described.request,
        answer: described.answer,
        open_api: url(&request, &app, OPENAPI),
        frame: Frame::of(&request, locale.as_ref()),
        words: Words::of(locale.as_ref()),
    };
    respond(&request, &app, "Operation", &operation)
}

/// The texts of the pages.
struct Words {
    routes: String,
    viewer: String,
    document: String,
    request: String,
    answer: String,
}

impl Words {
    fn of(locale: Option<&Locale>) -> Self {
        let text = |name| Message::new(name).in_words(locale);
        Self {
            routes: text("SR_API_ROUTES"),
            viewer: text("SR_API_VIEWER"),
            document: text("SR_OPENAPI"),
            request: text("SR_REQUEST"),
            answer: text("SR_ANSWER"),
        }
    }
}

/// Answers HTML to a client that prefers it, and otherwise like any other call. A page for people is never refused
/// because of its type (CONTRACT 14): a client that accepts no served type gets JSON.
fn respond<T: Serialize + Template>(
    request: &HttpRequest,
    app: &App,
    root: &str,
    page: &T,
) -> Result<HttpResponse, Problem> {
    if pages::are_preferred(request.headers()) {
        return pages::html(HttpResponse::Ok(), page);
    }
    let media_type = media_type(request.headers()).unwrap_or(MediaType::ApplicationJson);
    let preferences = Preferences::in_type(media_type, request, &app.base_time_zone);
    answer::write(&preferences, root, page)
}

/// Returns the URL of a path, as the client of this request would write it.
fn url(request: &HttpRequest, app: &App, path: &str) -> String {
    let origin = PublicOrigin::of(request, app).origin().unwrap_or_default();
    format!("{origin}{}{path}", Mount::of(request).base)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONTRACT O6: the day is that of the build's sources.
    #[test]
    fn the_day_is_that_of_the_release() {
        assert_eq!(released(None), RELEASED);
        assert_eq!(released(Some("1764288000")), "2025-11-28");
        assert_eq!(released(Some("yesterday")), RELEASED);
    }
}
