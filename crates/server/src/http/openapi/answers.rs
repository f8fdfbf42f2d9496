//! The answers of calls in the OpenAPI document: the parameters for their form, and their types.
//!
//! Invariant: every value that `$select` may omit can be null.

use negotiate::MediaType;
use serde_json::{Value, json};

use super::tree::{of_types, schema_mut, schema_name, text};

/// The parameters for the form of an answer: place, name, format, effect. OpenAPI does not allow `Accept` as a
/// parameter.
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
        "The language of texts. Without one, references and multi-language values are not translated.",
    ),
    (
        "header",
        "SO-Language",
        None,
        "Like Accept-Language, with precedence over it. `*` disables translation.",
    ),
    (
        "header",
        "SO-Culture",
        Some("culture"),
        "The culture of numbers and dates in texts, if it is not that of the language: a tag such as nb-NO.",
    ),
    (
        "header",
        "SO-TimeZone",
        Some("time-zone"),
        "The time zone of dates: a code (NO, US-NY), an id (261), an IANA or a Windows name; with \
         `, includeTZOffset` after it, dates have their offset from UTC.",
    ),
    (
        "header",
        "SO-AppToken",
        None,
        "The calling partner application. Required with a ticket in an online installation.",
    ),
];

/// Adds the parameters for the form of the answer, and its types, to a call (CONTRACT 14–24).
pub(super) fn answers_as_asked(call: &mut Value) {
    let parameter = |(place, name, format, description): &(&str, &str, Option<&str>, &str)| {
        let mut schema = json!({"type": "string"});
        if let Some(format) = format {
            schema["format"] = (*format).into();
        }
        json!({"in": place, "name": name, "description": description, "schema": schema})
    };
    let own = call["parameters"].as_array().cloned().unwrap_or_default();
    call["parameters"] = own.into_iter().chain(PARAMETERS.iter().map(parameter)).collect();
    let content = json_content(&call["responses"]["200"]);
    call["responses"]["200"]["content"] = of_types(MediaType::WRITTEN, &content);
    call["responses"]["200"]["headers"] = json!({
        "SO-TimeZone": {
            "description": "The time zone of the answer's dates", "schema": {"type": "string"}
        }
    });
}

/// Returns the JSON content of an answer or a body. Text is written as JSON as well.
pub(super) fn json_content(part: &Value) -> Value {
    let content = part["content"].as_object().and_then(|types| types.values().next());
    content.expect("a handler says what it takes and answers").clone()
}

/// Allows the texts and objects of an answer to be null, because `$select` may omit them (CONTRACT 17).
pub(super) fn leaves_out_by_null(part: &Value, schemas: &mut Value) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let name = schema_name(reference);
                let mut schema = schema_mut(schemas, name).take();
                // A schema is null while it is being changed. This ends the recursion of a schema that contains
                // itself.
                if schema.is_null() {
                    return;
                }
                if let Some(Value::Object(properties)) = schema.get_mut("properties") {
                    properties.values_mut().for_each(nullable);
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

/// Returns the types of an answer that is HTML for clients that prefer it (CONTRACT O5–O7).
pub(super) fn for_people(content: &Value) -> Value {
    let mut types = of_types(MediaType::WRITTEN, content);
    types["text/html"] = json!({"schema": {"type": "string"}});
    types
}

/// Returns the GET for the path of a POST (CONTRACT O5).
pub(super) fn description_of(post: &Value) -> Value {
    let id = text(&post["operationId"], "a handler has an operation id");
    json!({
        "tags": post["tags"],
        "summary": "SR_DESCRIBE",
        "operationId": format!("Describe{id}"),
        "description": "Describes the call, its request and its answer. It runs nothing, and needs no login.",
        "security": [],
        "responses": {"200": {
            "description": "The description of the call",
            "content": for_people(&json!({"schema": {"$ref": "#/components/schemas/Operation"}}))
        }}
    })
}
