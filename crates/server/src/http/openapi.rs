//! The OpenAPI document of the API.
//!
//! Invariant: the common parts of all calls are added here, once: the types of bodies, the headers, the errors, the
//! description by `GET`. The other parts are in the attributes of each handler. Every served path and method is in
//! the document.

mod answers;
mod bodies;
mod refusals;
mod tags;
mod tree;

use std::sync::LazyLock;

use serde_json::{Value, json};
use utoipa::OpenApi;

use self::{
    answers::{answers_as_asked, description_of, for_people, json_content, leaves_out_by_null},
    bodies::{operation_of_patch, reads_every_type, requires_key_or_id, requires_one_of},
    refusals::may_be_refused,
    tags::{OAUTH, is_call, is_of_agent},
    tree::{in_place, members, text},
};
use crate::{
    http::{
        handlers::api_index,
        mount::Paths,
        paths::TOKEN,
        problem::{ErrorBody, OAuthError},
        routes,
    },
    texts::Message,
};

/// The operations that answer people with a page, besides those of agents.
const HAVE_PAGES: [&str; 2] = ["Versions", "Routes"];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Latchkey",
        description = "Keeps the OAuth tokens that an application holds for its users at other \
                       providers, behind the calls of the SuperOffice WebAPI.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    tags(
        (name = "User agent", description = "Saves tokens and gets them back, as SuperOffice's User agent does."),
        (name = "External tokens", description = "Lists, describes, changes and ends saved records."),
        (name = "OAuth", description = "Access tokens for clients that support only OAuth."),
        (name = "User", description = "The caller and its access token."),
        (name = "Pages", description = "Pages for people: signing in and out, and their own tickets."),
        (name = "API", description = "The description of the API."),
        (name = "Operation", description = "Probes for supervisors of the process."),
    ),
    components(schemas(ErrorBody, OAuthError, api_index::Operation)),
    security(("Basic" = []), ("SoTicket" = []), ("Bearer" = []), ("Session" = [], "XSRF" = [])),
)]
struct Api;

/// A method of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// In capitals.
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// The name of a text.
    pub(crate) summary: &'static str,
}

/// The description of a POST, with the schemas of its request and its answer.
pub(crate) struct Described {
    pub(crate) call: Call,
    pub(crate) description: &'static str,
    /// JSON schemas, without references to other parts of the document.
    pub(crate) request: Value,
    pub(crate) answer: Value,
}

/// The document. Its summaries are names of texts, as in the handlers.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let api = Api::openapi().merge_from(routes::documented());
    let mut document = serde_json::to_value(api).expect("an OpenAPI document is JSON");
    document["components"]["securitySchemes"] = security_schemes();
    document["components"]["responses"] = refusals::responses();
    let mut schemas = document["components"]["schemas"].take();
    requires_one_of(&mut schemas, "CarrierToSave", &["AccessToken", "RefreshToken"]);
    requires_key_or_id(&mut schemas, "WhichExternalTokens");
    schemas["JsonPatchOperation"] = operation_of_patch();
    for path in members(&mut document["paths"], "the document has paths") {
        complete(path, &mut schemas);
    }
    document["components"]["schemas"] = schemas;
    document
});

/// Adds the common parts to the operations of a path.
fn complete(path: &mut Value, schemas: &mut Value) {
    if is_of_agent(&path["post"]) {
        let mut post = path["post"].take();
        reads_every_type(&mut post, schemas);
        let description = description_of(&post);
        *path = json!({"post": post, "get": description});
    }
    for operation in members(path, "a path has operations") {
        if is_call(operation) {
            answers_as_asked(operation);
            leaves_out_by_null(&operation["responses"]["200"], schemas);
        }
        if HAVE_PAGES.iter().any(|id| operation["operationId"] == **id) {
            let content = json_content(&operation["responses"]["200"]);
            operation["responses"]["200"]["content"] = for_people(&content);
        }
        if let Some(Value::String(description)) = operation.get_mut("description") {
            *description = description.replace('\n', " ");
        }
        may_be_refused(operation);
    }
}

fn security_schemes() -> Value {
    json!({
        "Basic": {"type": "http", "scheme": "basic"},
        // The scheme is described as a header, because tools for OpenAPI know only the schemes Basic and Bearer.
        "SoTicket": {
            "type": "apiKey", "in": "header", "name": "Authorization",
            "description": "The word SoTicket, a space, and a ticket: SoTicket 7T:…"
        },
        "Bearer": {"type": "http", "scheme": "bearer"},
        "Session": {
            "type": "apiKey", "in": "cookie", "name": "latchkey-session",
            "description": "Under TLS its name begins with __Host-."
        },
        "XSRF": {"type": "apiKey", "in": "header", "name": "X-XSRF-TOKEN"}
    })
}

/// The document with its summaries in English.
static IN_ENGLISH: LazyLock<Value> = LazyLock::new(|| {
    let mut document = DOCUMENT.clone();
    for Call { method, path, summary } in calls() {
        let operation = &mut document["paths"][path][method.to_ascii_lowercase()];
        operation["summary"] = Message::new(summary).to_string().into();
    }
    document
});

/// Returns the document of the served paths, for a client that sees the API below `base`. `token_bytes` is the
/// maximum size of a token.
pub(crate) fn document_below(paths: &Paths, base: &str, token_bytes: usize) -> Value {
    let mut document = IN_ENGLISH.clone();
    if !paths.has_token_endpoint {
        without_token_endpoint(&mut document);
    }
    document["servers"] = json!([{ "url": if base.is_empty() { "/" } else { base } }]);
    let carriers = [
        "CarrierToSave",
        "SaveExternalTokensForm",
        "SaveExternalTokensXml/properties/TokenManagementInfo",
    ];
    for carrier in carriers {
        for field in ["AccessToken", "RefreshToken", "Claims"] {
            let place = format!("/components/schemas/{carrier}/properties/{field}/maxLength");
            let limit = document.pointer_mut(&place);
            // A text never has more characters than bytes.
            *limit.expect("each carrier limits the length of its tokens") = token_bytes.into();
        }
    }
    document
}

/// Removes the token endpoint, with the parts that only it refers to.
fn without_token_endpoint(document: &mut Value) {
    for (place, name) in [
        ("/paths", TOKEN),
        ("/components/schemas", "TokenExchange"),
        ("/components/schemas", "IssuedToken"),
        ("/components/schemas", "OAuthError"),
    ] {
        let members = document.pointer_mut(place).and_then(Value::as_object_mut);
        let removed = members.and_then(|members| members.shift_remove(name));
        removed.expect("the document has the token endpoint");
    }
    let tags = document["tags"].as_array_mut().expect("the document has tags");
    tags.retain(|tag| tag["name"] != OAUTH);
}

/// Iterates over every path that can be served, with each of its methods.
pub(crate) fn calls() -> impl Iterator<Item = Call> {
    let paths = DOCUMENT["paths"].as_object().expect("the document has paths");
    paths.iter().flat_map(|(path, operations)| {
        let operations = operations.as_object().expect("a path has operations");
        operations.iter().map(move |(method, operation)| Call {
            method: in_capitals(method),
            path,
            summary: text(&operation["summary"], "a handler has a summary"),
        })
    })
}

/// Returns a method as requests write it (RFC 9110 §9.1).
fn in_capitals(method: &str) -> &'static str {
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];
    let found = methods.into_iter().find(|capitals| capitals.eq_ignore_ascii_case(method));
    found.expect("a path of an OpenAPI document has methods alone")
}

/// Returns the description of the POST of a path.
pub(crate) fn describe(path: &str) -> Option<Described> {
    let call = calls().find(|call| call.method == "POST" && call.path == path)?;
    let post = &DOCUMENT["paths"][call.path]["post"];
    let schemas = &DOCUMENT["components"]["schemas"];
    let schema = |part: &Value| in_place(&part["content"]["application/json"]["schema"], schemas);
    Some(Described {
        call,
        description: text(&post["description"], "a handler has a description"),
        request: schema(&post["requestBody"]),
        answer: schema(&post["responses"]["200"]),
    })
}
