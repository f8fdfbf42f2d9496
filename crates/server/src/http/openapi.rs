//! The OpenAPI document of the API.
//!
//! Invariant: what all calls have in common is added here once: the types of bodies, the headers, the
//! errors, the description by `GET`. The rest stands beside each handler. Every path and method that
//! is served is in it.

use std::sync::LazyLock;

use negotiate::MediaType;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::{
    http::{
        handlers::{
            account, api_index, api_viewer, external_tokens, health, principal, user_agent,
        },
        problem::ErrorBody,
    },
    texts::Message,
};

/// What chooses how a call is answered: place, name, format, effect. `Accept` is no parameter in OpenAPI.
const PARAMETERS: [(&str, &str, Option<&str>, &str); 6] = [
    (
        "query",
        "$select",
        None,
        "The properties that are wanted, with slashes between levels and commas between paths; the \
         others are null.",
    ),
    (
        "header",
        "Accept-Language",
        None,
        "The language of texts; without one, references and multi-language values stay as they are.",
    ),
    (
        "header",
        "SO-Language",
        None,
        "As Accept-Language, and before it; `*` switches translation off.",
    ),
    (
        "header",
        "SO-Culture",
        Some("culture"),
        "The culture of numbers and dates in texts, if not the language's: a tag such as nb-NO.",
    ),
    (
        "header",
        "SO-TimeZone",
        Some("time-zone"),
        "The time zone of dates: a code (NO, US-NY), an id (261), an IANA or a Windows name; with \
         `, includeTZOffset` behind it dates have their offset from UTC.",
    ),
    (
        "header",
        "SO-AppToken",
        None,
        "The partner application that is calling; needed with a ticket in an online installation.",
    ),
];

/// A way in which a call may be refused.
struct Refusal {
    status: &'static str,
    /// The component of the document.
    name: &'static str,
    description: &'static str,
    /// The header that such an answer always has, and what it says.
    header: Option<(&'static str, &'static str)>,
}

impl Refusal {
    const fn new(status: &'static str, name: &'static str, description: &'static str) -> Self {
        Self { status, name, description, header: None }
    }

    const fn with(self, header: &'static str, description: &'static str) -> Self {
        Self { header: Some((header, description)), ..self }
    }
}

/// All of them.
const REFUSALS: [Refusal; 13] = [
    Refusal::new(
        "400",
        "BadRequest",
        "The request is malformed or invalid; the message names the property or the header",
    ),
    Refusal::new("401", "Unauthorized", "Nobody is let in by what the request shows")
        .with("WWW-Authenticate", "The schemes that are accepted"),
    Refusal::new("403", "Forbidden", "The caller may not do this"),
    Refusal::new("404", "NotFound", "Nothing is served here"),
    Refusal::new("406", "NotAcceptable", "None of the types in Accept can be answered"),
    Refusal::new("408", "RequestTimeout", "The body does not arrive in time"),
    Refusal::new("413", "ContentTooLarge", "The body is over the size limit"),
    Refusal::new(
        "415",
        "UnsupportedMediaType",
        "The body has a type, charset or coding that is not read",
    ),
    Refusal::new("421", "MisdirectedRequest", "The host is another server's"),
    Refusal::new("422", "UnprocessableContent", "The Idempotency-Key is that of another save"),
    Refusal::new("429", "TooManyRequests", "Too many wrong passwords")
        .with("Retry-After", "Seconds until another password is verified"),
    Refusal::new(
        "500",
        "InternalServerError",
        "The server failed; its log says why, under the request id",
    ),
    Refusal::new("503", "ServiceUnavailable", "The server cannot do it now; nothing is confirmed")
        .with("Retry-After", "Seconds until it is worth trying again"),
];

/// The most operations that a JSON patch may have (CONTRACT 12).
const MAX_OPERATIONS: usize = 100;

/// The tags of the agents' operations, which have bodies of every type.
const AGENTS: [&str; 2] = [AGENT, "External tokens"];
/// The tag of the operations that may have a carrier.
const AGENT: &str = "User agent";
/// The tag of the calls about the caller.
const USER: &str = "User";
/// The tag of the pages for people.
const PAGES: &str = "Pages";
/// The tag of the probes.
const PROBES: &str = "Operation";

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
        (name = "External tokens", description = "What was saved, without the tokens, and its end."),
        (name = "User", description = "Who is calling."),
        (name = "Pages", description = "For people: signing in and out, and tickets of one's own."),
        (name = "API", description = "What the API is."),
        (name = "Operation", description = "For what supervises the process."),
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
    components(schemas(ErrorBody, api_index::Operation)),
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
        // By OpenAPI it is a header: of schemes its tools know Basic and Bearer alone.
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
    });
    let error = json!({"schema": {"$ref": "#/components/schemas/Error"}});
    let refusals = REFUSALS.iter().map(|Refusal { name, description, header, .. }| {
        let mut refusal = json!({
            "description": description, "content": of_types(&MediaType::WRITTEN, &error)
        });
        if let Some((header, description)) = header {
            refusal["headers"] = json!({
                *header: {"description": description, "required": true, "schema": {"type": "string"}}
            });
        }
        ((*name).to_owned(), refusal)
    });
    document["components"]["responses"] = Value::Object(refusals.collect());
    let mut schemas = document["components"]["schemas"].take();
    requires_one_of(&mut schemas["TokensToSave"], &["AccessToken", "RefreshToken"]);
    requires_key_or_id(&mut schemas["WhichExternalTokens"]);
    schemas["JsonPatchOperation"] = operation_of_patch();
    for item in members(&mut document["paths"]) {
        if let Some(mut post) = item.as_object_mut().and_then(|item| item.remove("post")) {
            if is_of_agent(&post) {
                reads_every_type(&mut post, &mut schemas);
                let description = description_of(&post);
                *item = json!({"post": post, "get": description});
            } else {
                item["post"] = post;
            }
        }
        for operation in members(item) {
            let is_call = is_of_agent(operation) || operation["tags"][0] == USER;
            if is_call && operation["security"].is_null() {
                answers_as_asked(operation);
                leaves_out_by_null(&operation["responses"]["200"], &mut schemas);
            }
            if ["Versions", "Routes"].iter().any(|id| operation["operationId"] == **id) {
                let content = &mut operation["responses"]["200"]["content"];
                *content = for_people(&content["application/json"]);
            }
            if let Some(Value::String(description)) = operation.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            may_be_refused(operation);
        }
    }
    document["components"]["schemas"] = schemas;
    document
});

/// The document with its summaries in English.
static IN_ENGLISH: LazyLock<Value> = LazyLock::new(|| {
    let mut document = DOCUMENT.clone();
    for Call { method, path, summary } in calls() {
        let operation = &mut document["paths"][path][method.to_ascii_lowercase()];
        operation["summary"] = Message::new(summary).to_string().into();
    }
    document
});

/// The document for who sees the API below `base`, where a token may have this many bytes.
pub(crate) fn document_below(base: &str, token_bytes: usize) -> Value {
    let mut document = IN_ENGLISH.clone();
    document["servers"] = json!([{ "url": if base.is_empty() { "/" } else { base } }]);
    let carriers = [
        "TokensToSave",
        "SaveExternalTokensForm",
        "SaveExternalTokensXml/properties/TokenManagementInfo",
    ];
    for carrier in carriers {
        for field in ["AccessToken", "RefreshToken", "Claims"] {
            let place = format!("/components/schemas/{carrier}/properties/{field}/maxLength");
            if let Some(limit) = document.pointer_mut(&place) {
                // No text has more characters than bytes.
                *limit = token_bytes.into();
            }
        }
    }
    document
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

/// Adds to a POST the types of its body (CONTRACT 9–13). Generated clients tell types apart by their schemas,
/// so each that is not plain JSON has one of its own.
fn reads_every_type(post: &mut Value, schemas: &mut Value) {
    let json = post["requestBody"]["content"]["application/json"].take();
    let reference = json["schema"]["$ref"].as_str().unwrap_or_default();
    let name = reference.rsplit('/').next().unwrap_or_default().to_owned();
    let of_schema =
        |name: &str| json!({"schema": {"$ref": format!("#/components/schemas/{name}")}});
    let plain = schemas[&name].clone();
    let may_be_empty = plain["required"].is_null() && plain["allOf"].is_null();
    post["requestBody"]["required"] = (!may_be_empty).into();

    let mut merge_patch = plain.clone();
    merge_patch["description"] = "An RFC 7396 patch of an empty request.".into();
    schemas[format!("{name}MergePatch")] = merge_patch;
    schemas[format!("{name}JsonPatch")] = json!({
        "description": "The request as in JSON, or an RFC 6902 patch of an empty one.",
        // openapi-python-client makes no working code of a choice that stands alone.
        "allOf": [{"oneOf": [
            {"$ref": reference},
            {
                "type": "array",
                "items": {"$ref": "#/components/schemas/JsonPatchOperation"},
                "minItems": 1,
                "maxItems": MAX_OPERATIONS
            }
        ]}]
    });
    schemas[format!("{name}Form")] = without_null(form(&plain, schemas));
    let mut xml = without_null(in_place(&plain, schemas));
    if let Some(provider) = xml.pointer_mut("/properties/TokenManagementInfo/properties/Provider")
        && let Some(provider) = provider.as_object_mut()
    {
        // It excludes U+0000, which no XML has.
        provider.remove("pattern");
    }
    schemas[format!("{name}Xml")] = xml;

    let content = MediaType::READ.map(|media_type| {
        let content = match media_type {
            MediaType::Form => {
                let mut content = of_schema(&format!("{name}Form"));
                content["example"] = in_form(&json["example"]);
                content
            }
            MediaType::JsonPatch => {
                let mut content = of_schema(&format!("{name}JsonPatch"));
                content["examples"] = json!({
                    "object": {"summary": "The request as in JSON", "value": json["example"]},
                    "operations": {"summary": "RFC 6902", "value": operations(&json["example"])}
                });
                content
            }
            MediaType::MergePatch => {
                let mut content = of_schema(&format!("{name}MergePatch"));
                content["example"] = json["example"].clone();
                content
            }
            // An example would be JSON.
            xml if xml.is_xml() => of_schema(&format!("{name}Xml")),
            _ => json.clone(),
        };
        (media_type.essence().to_owned(), content)
    });
    post["requestBody"]["content"] = Value::Object(content.into_iter().collect());
}

/// What a form has for a request: the properties of what is in it stand beside its own (CONTRACT 11), and what is
/// ignored is left out.
fn form(plain: &Value, schemas: &Value) -> Value {
    let mut form = json!({"type": "object", "properties": {}});
    let mut required = Vec::new();
    let mut parts = vec![plain];
    while let Some(part) = parts.pop() {
        for (name, property) in part["properties"].as_object().into_iter().flatten() {
            let inner = property["$ref"].as_str().and_then(|place| place.rsplit('/').next());
            if let Some(inner) = inner {
                parts.push(&schemas[inner]);
            } else if !property["type"].is_null() {
                if part["required"].as_array().is_some_and(|names| names.contains(&json!(name))) {
                    required.push(name.clone());
                }
                form["properties"][name] = property.clone();
            }
        }
        if !part["allOf"].is_null() {
            form["allOf"] = part["allOf"].clone();
        }
    }
    if !required.is_empty() {
        form["required"] = required.into();
    }
    form
}

/// A schema with what it refers to in its place.
fn in_place(schema: &Value, schemas: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let referred = members.get("$ref").and_then(Value::as_str);
            if let Some(name) = referred.and_then(|place| place.rsplit('/').next()) {
                return in_place(&schemas[name], schemas);
            }
            let member = |(name, member): (&String, _)| (name.clone(), in_place(member, schemas));
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(items) => items.iter().map(|item| in_place(item, schemas)).collect(),
        plain => plain.clone(),
    }
}

/// A schema for what knows only text, where nothing is null.
fn without_null(mut schema: Value) -> Value {
    let of_value = schema.get("type").and_then(Value::as_array).and_then(|types| types.first());
    if let Some(of_value) = of_value.cloned() {
        schema["type"] = of_value;
    }
    match schema {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, member)| (name, without_null(member)));
            Value::Object(members.collect())
        }
        Value::Array(items) => items.into_iter().map(without_null).collect(),
        plain => plain,
    }
}

/// An example as a form has it.
fn in_form(example: &Value) -> Value {
    let mut fields = Map::new();
    for (name, value) in example.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => fields.extend(inner.clone()),
            plain => {
                fields.insert(name.clone(), plain.clone());
            }
        }
    }
    fields.into()
}

/// An example as a JSON patch.
fn operations(example: &Value) -> Value {
    let add = |(name, value): (&String, &Value)| json!({"op": "add", "path": format!("/{name}"), "value": value});
    example.as_object().into_iter().flatten().map(add).collect()
}

/// The schema of an operation of RFC 6902.
fn operation_of_patch() -> Value {
    json!({
        "type": "object",
        "description": "An operation of RFC 6902. Paths have no case.",
        "required": ["op", "path"],
        "properties": {
            "op": {"type": "string", "enum": ["add", "remove", "replace", "move", "copy", "test"]},
            "path": {
                "type": "string",
                "description": "A JSON pointer.",
                "example": "/TokenManagementInfo/AccessToken"
            },
            "from": {"type": "string", "description": "A JSON pointer, for move and copy."},
            "value": {"description": "For add, replace and test."}
        }
    })
}

/// Requires one of these texts, or more of them. Within `allOf`, so that clients still have one type.
fn requires_one_of(schema: &mut Value, names: &[&str]) {
    let is_given = names.iter().map(|name| {
        json!({
            "type": "object",
            "required": [name],
            "properties": {*name: {"type": "string", "minLength": 1}}
        })
    });
    schema["allOf"] = json!([{"anyOf": is_given.collect::<Vec<_>>()}]);
}

/// Requires a key or an id, and not both (CONTRACT 39).
fn requires_key_or_id(schema: &mut Value) {
    let only = |given: &str, other: &str| {
        json!({
            "type": "object",
            "required": [given],
            "properties": {
                given: {"type": "string", "pattern": "\\S"},
                other: {"type": ["string", "null"], "pattern": "^\\s*$"}
            }
        })
    };
    schema["allOf"] = json!([{"oneOf": [only("Key", "Id"), only("Id", "Key")]}]);
}

/// Adds to an operation what it may be refused with, if it does not say so itself.
fn may_be_refused(operation: &mut Value) {
    let tag = operation["tags"][0].clone();
    let is_post = !operation["requestBody"].is_null();
    let is_call = (is_of_agent(operation) || tag == USER) && operation["security"].is_null();
    let parameters = operation["parameters"].as_array();
    let has = |name: &str| parameters.is_some_and(|all| all.iter().any(|one| one["name"] == name));
    let (is_repeatable, is_file) = (has("Idempotency-Key"), has("file"));
    let is_page = tag == PAGES;
    for Refusal { status, name, .. } in REFUSALS {
        let may_be = match status {
            "401" | "403" | "429" => is_call || (is_page && is_post),
            "404" => is_page || is_file,
            "406" => !is_page && tag != PROBES,
            "408" | "413" | "415" => is_post,
            "421" => tag != PROBES,
            "422" => is_repeatable,
            _ => true,
        };
        if !may_be || !operation["responses"][status].is_null() {
            continue;
        }
        operation["responses"][status] = if is_page && is_post && status.starts_with('4') {
            let mut refusal = json!({"description": "Why the form was refused"});
            let error = json!({"schema": {"$ref": "#/components/schemas/Error"}});
            refusal["content"] = of_types(&MediaType::WRITTEN, &error);
            refusal["content"]["text/html"] = json!({"schema": {"type": "string"}});
            refusal
        } else {
            json!({"$ref": format!("#/components/responses/{name}")})
        };
    }
}

/// Lets the texts and objects of an answer be null, since `$select` may leave them out (CONTRACT 17).
fn leaves_out_by_null(part: &Value, schemas: &mut Value) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let name = reference.rsplit('/').next().unwrap_or_default();
                let mut schema = schemas[name].take();
                // It is null while it is being changed, so that a schema that has itself in it ends.
                if schema.is_null() {
                    return;
                }
                for property in members_of(&mut schema, "properties") {
                    nullable(property);
                }
                if let Some(property) = schema.get_mut("additionalProperties") {
                    nullable(property);
                }
                leaves_out_by_null(&schema, schemas);
                schemas[name] = schema;
            }
            members.values().for_each(|member| leaves_out_by_null(member, schemas));
        }
        Value::Array(items) => items.iter().for_each(|item| leaves_out_by_null(item, schemas)),
        _ => {}
    }
}

fn members_of<'a>(schema: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    schema.get_mut(name).into_iter().flat_map(members)
}

fn nullable(schema: &mut Value) {
    if let Some(inner) = schema.get_mut("additionalProperties") {
        nullable(inner);
    }
    let is_null = |schema: &Value| schema["type"] == "null";
    match &schema["type"] {
        Value::String(of_one) if matches!(&**of_one, "string" | "object") => {
            schema["type"] = json!([of_one, "null"]);
        }
        Value::String(_) | Value::Array(_) => {}
        _ if schema["oneOf"].as_array().is_some_and(|all| all.iter().any(is_null)) => {}
        _ => *schema = json!({"oneOf": [schema.take(), {"type": "null"}]}),
    }
}

/// Adds to a call what chooses how its answer is written, and the types of that (CONTRACT 14–24).
fn answers_as_asked(call: &mut Value) {
    let parameter = |(place, name, format, description): &(&str, &str, Option<&str>, &str)| {
        let mut schema = json!({"type": "string"});
        if let Some(format) = format {
            schema["format"] = (*format).into();
        }
        json!({"in": place, "name": name, "description": description, "schema": schema})
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

/// The types of an answer that is HTML for a client that prefers it (CONTRACT O5–O7).
fn for_people(content: &Value) -> Value {
    let mut types = of_types(&MediaType::WRITTEN, content);
    types["text/html"] = json!({"schema": {"type": "string"}});
    types
}

/// The GET beside a POST (CONTRACT O5).
fn description_of(post: &Value) -> Value {
    let id = post["operationId"].as_str().unwrap_or_default();
    json!({
        "tags": post["tags"],
        "summary": "SR_DESCRIBE",
        "operationId": format!("Describe{id}"),
        "description": "Says what the call does, takes and answers. It runs nothing, and needs no login.",
        "security": [],
        "responses": {"200": {
            "description": "What the call does, takes and answers",
            "content": for_people(&json!({"schema": {"$ref": "#/components/schemas/Operation"}}))
        }}
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
