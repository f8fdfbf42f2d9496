//! The OpenAPI document as a tree of JSON.
//!
//! Invariant: a missing required part stops the program, with the reason why it is required.

use negotiate::MediaType;
use serde_json::{Map, Value};

/// Returns the members of a required object.
pub(super) fn members<'a>(
    value: &'a mut Value,
    reason: &str,
) -> impl Iterator<Item = &'a mut Value> {
    value.as_object_mut().expect(reason).values_mut()
}

/// Returns a required text.
pub(super) fn text<'a>(value: &'a Value, reason: &str) -> &'a str {
    value.as_str().expect(reason)
}

/// Returns the name of the schema that a `$ref` refers to.
pub(super) fn schema_name(reference: &str) -> &str {
    reference.strip_prefix("#/components/schemas/").expect("every reference is to a schema")
}

/// Returns the schema of this name.
pub(super) fn schema<'a>(schemas: &'a Value, name: &str) -> &'a Value {
    schemas.get(name).expect("every schema that is referred to is in the document")
}

/// Like `schema`, but mutable.
pub(super) fn schema_mut<'a>(schemas: &'a mut Value, name: &str) -> &'a mut Value {
    schemas.get_mut(name).expect("every schema that is referred to is in the document")
}

/// Returns a schema in which every reference is replaced by its schema.
pub(super) fn in_place(part: &Value, schemas: &Value) -> Value {
    match part {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                return in_place(schema(schemas, schema_name(reference)), schemas);
            }
            let member = |(name, member): (&String, _)| (name.clone(), in_place(member, schemas));
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(items) => items.iter().map(|item| in_place(item, schemas)).collect(),
        plain => plain.clone(),
    }
}

/// Returns the same content for each of these types.
pub(super) fn of_types(types: &[MediaType], content: &Value) -> Value {
    let of_type = |media_type: &MediaType| (media_type.essence().to_owned(), content.clone());
    types.iter().map(of_type).collect::<Map<_, _>>().into()
}
