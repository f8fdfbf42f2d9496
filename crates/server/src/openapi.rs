//! The OpenAPI document of the API.
//!
//! Invariant: what all calls have in common is added here once: the types of bodies, the headers, the
//! errors, the description by `GET`. The rest stands beside each handler. Every path and method that
//! is served is in it.

use std::{borrow::Cow, sync::LazyLock};

use negotiate::MediaType;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::{
    problem::ErrorBody,
    routes::{account, api_index, api_viewer, external_tokens, health, principal, user_agent},
    texts::Text,
};

/// What chooses how a call is answered: place, name, effect.
const PARAMETERS: [(&str, &str, &str); 7] = [
    (
        "query",
        "$select",
        "The properties that are wanted, with slashes between levels and commas between paths; the \
         others are null.",
    ),
    ("header", "Accept", "The types that the answer may have, with quality values."),
    (
        "header",
        "Accept-Language",
        "The language of texts; without one, references and multi-language values stay as they are.",
    ),
    ("header", "SO-Language", "As Accept-Language, and before it; `*` switches translation off."),
    ("header", "SO-Culture", "The culture of numbers and dates in texts, if not the language's."),
    (
        "header",
        "SO-TimeZone",
        "The time zone of dates: a code (NO, US-NY), an id (261), an IANA or a Windows name; with \
         `, includeTZOffset` behind it dates have their offset from UTC.",
    ),
    (
        "header",
        "SO-AppToken",
        "The partner application that is calling; needed with a ticket in an online installation.",
    ),
];

/// The tags of the agents' operations, which have bodies of every type.
const AGENTS: [&str; 2] = [AGENT, "External tokens"];
/// The tag of the operations that may have a carrier.
const AGENT: &str = "User agent";
/// The tag of the calls about the caller.
const USER: &str = "User";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Latchkey",
        description = "Keeps the OAuth tokens that an application holds for its users at other \
                       providers, behind the calls of the SuperOffice WebAPI.",
        license(name = "Apache-2.0 OR MIT"),
    ),
    paths(
        user_agent::save,
        user_agent::get,
        external_tokens::list,
        external_tokens::describe,
        external_tokens::revoke,
        principal::current_principal,
        principal::current_token,
        principal::access_token,
        account::sign_in_page,
        account::sign_in,
        account::sign_out,
        account::page,
        account::issue_ticket,
        account::revoke_ticket,
        api_index::to_index,
        api_index::versions,
        api_index::routes,
        api_viewer::document,
        api_viewer::to_viewer,
        api_viewer::viewer,
        health::alive,
        health::ready,
    ),
    components(schemas(ErrorBody)),
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

/// What a POST does, takes and answers.
pub(crate) struct Described {
    pub(crate) call: Call,
    pub(crate) description: &'static str,
    /// JSON schemas, without references to other parts of the document.
    pub(crate) request: Value,
    pub(crate) answer: Value,
}

/// The document; its summaries are names of texts, as the handlers have them.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::to_value(Api::openapi()).unwrap_or_default();
    document["components"]["securitySchemes"] = json!({
        "Basic": {"type": "http", "scheme": "basic"},
        "SoTicket": {"type": "http", "scheme": "SoTicket"},
        "Bearer": {"type": "http", "scheme": "bearer"},
        "Session": {
            "type": "apiKey", "in": "cookie", "name": "latchkey-session",
            "description": "Under TLS its name begins with __Host-."
        },
        "XSRF": {"type": "apiKey", "in": "header", "name": "X-XSRF-TOKEN"}
    });
    let error = json!({"schema": {"$ref": "#/components/schemas/Error"}});
    document["components"]["responses"] = json!({
        "Error": {
            "description": "Why the call was refused",
            "content": of_types(&MediaType::WRITTEN, &error)
        }
    });
    for item in members(&mut document["paths"]) {
        if let Some(post) = item.get_mut("post").filter(|post| is_of_agent(post)) {
            reads_every_type(post);
            item["get"] = description_of(&item["post"]);
        }
        for operation in members(item) {
            let is_call = is_of_agent(operation) || operation["tags"][0] == USER;
            if is_call && operation["security"].is_null() {
                answers_as_asked(operation);
            }
            if let Some(Value::String(description)) = operation.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            operation["responses"]["default"] = json!({"$ref": "#/components/responses/Error"});
        }
    }
    document
});

/// The document with its summaries in English.
static IN_ENGLISH: LazyLock<Value> = LazyLock::new(|| {
    let mut document = DOCUMENT.clone();
    for Call { method, path, summary } in calls() {
        let operation = &mut document["paths"][path][method.to_ascii_lowercase()];
        operation["summary"] = Text::new(summary).to_string().into();
    }
    document
});

/// The document for who sees the API below `base`.
pub(crate) fn document_below(base: &str) -> Cow<'static, Value> {
    if base.is_empty() {
        return Cow::Borrowed(&IN_ENGLISH);
    }
    let mut document = IN_ENGLISH.clone();
    document["servers"] = json!([{ "url": base }]);
    Cow::Owned(document)
}

/// Every path that is served, with each of its methods.
pub(crate) fn calls() -> impl Iterator<Item = Call> {
    let paths = DOCUMENT["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations.filter_map(move |(method, operation)| {
            let method = if method == "post" { "POST" } else { "GET" };
            Some(Call { method, path, summary: operation["summary"].as_str()? })
        })
    })
}

/// The POST of a path.
pub(crate) fn describe(path: &str) -> Option<Described> {
    let call = calls().find(|call| call.method == "POST" && call.path == path)?;
    let post = &DOCUMENT["paths"][call.path]["post"];
    let schema = |content: &Value| resolved(&content["content"]["application/json"]["schema"]);
    Some(Described {
        call,
        description: post["description"].as_str().unwrap_or_default(),
        request: schema(&post["requestBody"]),
        answer: schema(&post["responses"]["200"]),
    })
}

fn is_of_agent(operation: &Value) -> bool {
    AGENTS.iter().any(|tag| operation["tags"][0] == **tag)
}

fn members(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_object_mut().into_iter().flat_map(|members| members.values_mut())
}

/// Adds to a POST the types of its body (CONTRACT 13).
fn reads_every_type(post: &mut Value) {
    each_type(&mut post["requestBody"]["content"], &MediaType::READ);
    if post["tags"][0] != AGENT {
        return;
    }
    // TokenManagementInfo[Provider]=…, where the default would be JSON within the form.
    post["requestBody"]["content"][MediaType::Form.essence()]["encoding"] =
        json!({"TokenManagementInfo": {"style": "deepObject", "explode": true}});
}

/// Adds to a call what chooses how its answer is written, and the types of that (CONTRACT 14–24).
fn answers_as_asked(call: &mut Value) {
    let parameter = |(place, name, description): &(&str, &str, &str)| {
        json!({
            "in": place, "name": name, "description": description, "schema": {"type": "string"}
        })
    };
    let own = call["parameters"].as_array().cloned().unwrap_or_default();
    call["parameters"] = own.into_iter().chain(PARAMETERS.iter().map(parameter)).collect();
    each_type(&mut call["responses"]["200"]["content"], &MediaType::WRITTEN);
    call["responses"]["200"]["headers"] = json!({
        "SO-TimeZone": {
            "description": "The time zone of the answer's dates", "schema": {"type": "string"}
        }
    });
}

/// Gives every type the content that is there for one.
fn each_type(content: &mut Value, types: &[MediaType]) {
    let of_one_type = members(content).next().cloned().unwrap_or_default();
    *content = of_types(types, &of_one_type);
}

fn of_types(types: &[MediaType], content: &Value) -> Value {
    let of_type = |media_type: &MediaType| (media_type.essence().to_owned(), content.clone());
    types.iter().map(of_type).collect::<Map<_, _>>().into()
}

/// The GET beside a POST (CONTRACT O5).
fn description_of(post: &Value) -> Value {
    let id = post["operationId"].as_str().unwrap_or_default();
    json!({
        "tags": post["tags"],
        "summary": "SR_DESCRIBE",
        "operationId": format!("Describe{id}"),
        "security": [],
        "responses": {"200": {"description": "What the call does, takes and answers"}}
    })
}

/// A schema with the schemas that it refers to in their places.
fn resolved(schema: &Value) -> Value {
    let reference = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    match (reference.and_then(|place| DOCUMENT.pointer(place)), schema) {
        (Some(referred), _) => resolved(referred),
        (None, Value::Object(members)) => {
            let members = members.iter().map(|(name, member)| (name.clone(), resolved(member)));
            Value::Object(members.collect())
        }
        (None, Value::Array(items)) => items.iter().map(resolved).collect(),
        (None, plain) => plain.clone(),
    }
}
