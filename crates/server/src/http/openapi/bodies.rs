//! The bodies of requests in the OpenAPI document: a schema for every type that is read.
//!
//! Invariant: every schema of a type has the constraints of the JSON schema, as far as the type can express them.

use negotiate::MediaType;
use serde_json::{Map, Value, json};

use super::tree::{in_place, schema, schema_mut, schema_name, text};

/// The maximum number of operations in a JSON patch (CONTRACT 12).
const MAX_OPERATIONS: usize = 100;

/// Adds the types of its body to a POST (CONTRACT 9–13). Generated clients distinguish types by their schemas, so
/// every type other than plain JSON has its own.
pub(super) fn reads_every_type(post: &mut Value, schemas: &mut Value) {
    let json = post["requestBody"]["content"]["application/json"].take();
    let reference = text(&json["schema"]["$ref"], "an operation reads a schema in JSON");
    let name = schema_name(reference);
    let of_schema =
        |name: &str| json!({"schema": {"$ref": format!("#/components/schemas/{name}")}});
    let plain = schema(schemas, name).clone();
    let may_be_empty = plain["required"].is_null() && plain["allOf"].is_null();
    post["requestBody"]["required"] = (!may_be_empty).into();

    let mut merge_patch = plain.clone();
    merge_patch["description"] = "An RFC 7396 patch of an empty request.".into();
    schemas[format!("{name}MergePatch")] = merge_patch;
    schemas[format!("{name}JsonPatch")] = json!({
        "description": "The request as in JSON, or an RFC 6902 patch of an empty one.",
        // The code that openapi-python-client generates for a top-level choice does not work.
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
        // The pattern excludes U+0000, which XML cannot contain.
        provider.remove("pattern");
    }
    schemas[format!("{name}Xml")] = xml;

    let content = MediaType::READ.iter().map(|media_type| {
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
            // An example would be in JSON.
            xml if xml.is_xml() => of_schema(&format!("{name}Xml")),
            _ => json.clone(),
        };
        (media_type.essence().to_owned(), content)
    });
    post["requestBody"]["content"] = Value::Object(content.collect());
}

/// Returns the form of a request: the properties of its inner objects are placed next to its own (CONTRACT 11).
/// Ignored properties are omitted.
fn form(plain: &Value, schemas: &Value) -> Value {
    let mut form = json!({"type": "object", "properties": {}});
    let mut required = Vec::new();
    let mut parts = vec![plain];
    while let Some(part) = parts.pop() {
        for (name, property) in part["properties"].as_object().into_iter().flatten() {
            if let Some(inner) = property["$ref"].as_str() {
                parts.push(schema(schemas, schema_name(inner)));
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

/// Returns a schema for a type that knows only text, in which no value is null.
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

/// Returns an example in the form of a form body.
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

/// Returns an example in the form of a JSON patch.
fn operations(example: &Value) -> Value {
    let add = |(name, value): (&String, &Value)| json!({"op": "add", "path": format!("/{name}"), "value": value});
    example.as_object().into_iter().flatten().map(add).collect()
}

/// Returns the schema of an operation of RFC 6902.
pub(super) fn operation_of_patch() -> Value {
    json!({
        "type": "object",
        "description": "An operation of RFC 6902. Paths are not case-sensitive.",
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

/// Requires at least one of these texts. The requirement is in `allOf`, so that clients still have one type.
pub(super) fn requires_one_of(schemas: &mut Value, name: &str, names: &[&str]) {
    let is_given = names.iter().map(|name| {
        json!({
            "type": "object",
            "required": [name],
            "properties": {*name: {"type": "string", "minLength": 1}}
        })
    });
    schema_mut(schemas, name)["allOf"] = json!([{"anyOf": is_given.collect::<Vec<_>>()}]);
}

/// Requires either a key or an id (CONTRACT 39).
pub(super) fn requires_key_or_id(schemas: &mut Value, name: &str) {
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
    schema_mut(schemas, name)["allOf"] = json!([{"oneOf": [only("Key", "Id"), only("Id", "Key")]}]);
}
